// The table of runs, newest first.
import * as as from "./format.js";
import { byId, copies, make } from "./dom.js";
import { neuroglancer, storeAddress, vizarr } from "./links.js";

export class History {
  #runs = [];
  #next = null;
  #seen = "";
  #cells = new Map();
  #limits;

  constructor(limits) {
    this.#limits = limits;
    byId("older").addEventListener("click", () => this.#load(this.#next));
  }

  get newest() {
    return this.#runs[0] ?? null;
  }

  get(id) {
    return this.#runs.find((run) => run.id === id) ?? null;
  }

  /** Follow the runs that record; load again when one began or ended. */
  async update(report) {
    for (const run of report?.runs ?? []) if (this.#cells.has(run.id)) fillIn(this.#cells.get(run.id), run);
    const seen = JSON.stringify((report?.runs ?? []).map((run) => [run.id, run.status]));
    if (seen === this.#seen) return;
    this.#seen = seen;
    await this.#load(null);
  }

  async #load(before) {
    const query = before ? `&before=${encodeURIComponent(before)}` : "";
    let answer;
    try {
      answer = await fetch(`/api/v1/runs?limit=20${query}`);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      this.#seen = ""; // the web process restarts: ask again at the next report
      return;
    }
    if (!answer.ok) return;
    const page = await answer.json();
    if (!before) this.#cells.clear();
    this.#runs = before ? [...this.#runs, ...page.runs] : page.runs;
    this.#next = page.next;
    byId("older").hidden = !page.next;
    byId("runs").replaceChildren(...this.#runs.map((run) => this.#row(run)));
  }

  #row(run) {
    const path = make("code", {}, run.store);
    const where = make("p", { class: "where" }, path, copier(`Copy the path of ${run.name}`, "Copy path", () => run.store, path));
    if (run.data_url) where.append(copier(`Copy the URL of ${run.name}`, "Copy URL", () => storeAddress(run), path));
    const status = make("td", {}, make("span", { class: "chip", "data-status": run.status }, run.status));
    if (run.reason) status.append(make("p", { class: "why" }, run.reason));
    const number = (label) => make("td", { class: "n", "data-label": label });
    const cells = { frames: number("frames"), lost: number("lost"), rate: number("rate"), compression: number("compression") };
    this.#cells.set(run.id, cells);
    fillIn(cells, run);
    return make("tr", { "data-run": run.id },
      make("td", {}, make("p", { class: "name" }, as.path(run)), where),
      make("td", {}, as.when(run.opened_ns)),
      status,
      ...Object.values(cells),
      this.#links(run));
  }

  #links(run) {
    if (!run.data_url) return make("td", {}, "not under this server");
    const outside = { target: "_blank", rel: "noopener noreferrer" };
    const viewer = make("a", { ...outside, class: "neuroglancer", href: neuroglancer(run, null) }, "neuroglancer");
    // The contrast of the page at the moment of the click, so that the viewer does not open black.
    for (const event of ["pointerdown", "focus"]) {
      viewer.addEventListener(event, () => { viewer.href = neuroglancer(run, this.#limits()); });
    }
    return make("td", { class: "links" }, viewer,
      make("a", { ...outside, class: "vizarr", href: vizarr(run) }, "vizarr"));
  }
}

function copier(label, text, value, shown) {
  const button = make("button", { type: "button", "aria-label": label }, text);
  copies(button, shown, value);
  return button;
}

function fillIn(cells, run) {
  cells.frames.textContent = `${as.count(run.stored)} of ${as.count(run.expected)}`;
  cells.lost.textContent = as.count(run.lost);
  cells.lost.classList.toggle("bad", run.lost > 0);
  cells.rate.textContent = `${as.rate(run.rate_hz)} Hz`;
  cells.compression.textContent = run.stored_bytes ? `${(run.raw_bytes / run.stored_bytes).toFixed(1)}×` : "–";
}
