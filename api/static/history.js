// The table of runs, newest first.
import { showStanding } from "./catalogue.js";
import * as as from "./format.js";
import { byId, copies, make, mark } from "./dom.js";
import { neuroglancer, storeAddress, vizarr } from "./links.js";

/** Runs that one answer can hold. */
const MOST = 200;

export class History {
  #runs = [];
  #next = null;
  #seen = "";
  #mark = "";
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

  /** Follow the runs that record; load again when one began or ended, and what the catalogue has of them when it changes. */
  async update({ report, catalogue }, nowNs) {
    for (const run of report?.runs ?? []) if (this.#cells.has(run.id)) fillIn(this.#cells.get(run.id), run);
    mark(byId("runs-card"), "catalogue", Boolean(catalogue));
    for (const run of this.#runs) showStanding(this.#cells.get(run.id).stands, run.catalogue, nowNs);
    const seen = JSON.stringify((report?.runs ?? []).map((run) => [run.id, run.status]));
    const changed = catalogue && catalogue.mark !== this.#mark;
    this.#mark = catalogue?.mark ?? "";
    if (seen !== this.#seen) {
      this.#seen = seen;
      await this.#load(null);
    } else if (changed) {
      await this.#standAnew();
    }
  }

  async #load(before) {
    const page = await ask(20, before);
    if (page === null) this.#seen = ""; // the web process restarts: ask again at the next report
    if (!page) return;
    if (!before) this.#cells.clear();
    this.#runs = before ? [...this.#runs, ...page.runs] : page.runs;
    this.#next = page.next;
    byId("older").hidden = !page.next;
    byId("runs").replaceChildren(...this.#runs.map((run) => this.#row(run)));
  }

  /** Ask how the runs that are shown stand in the catalogue. */
  async #standAnew() {
    let before = null;
    for (let left = this.#runs.length; left > 0; left -= MOST) {
      const page = await ask(Math.min(left, MOST), before);
      if (!page) {
        this.#mark = "";
        return;
      }
      for (const run of page.runs) {
        const shown = this.get(run.id);
        if (shown) shown.catalogue = run.catalogue;
      }
      before = page.next;
      if (!before) return;
    }
  }

  #row(run) {
    const path = make("code", {}, run.store);
    const where = make("p", { class: "where" }, path, copier(`Copy the path of ${run.name}`, "Copy path", () => run.store, path));
    if (run.data_url) where.append(copier(`Copy the URL of ${run.name}`, "Copy URL", () => storeAddress(run), path));
    const status = make("td", {}, make("span", { class: "chip", "data-status": run.status }, run.status));
    if (run.reason) status.append(make("p", { class: "why" }, run.reason));
    const number = (label) => make("td", { class: "n", "data-label": label });
    const stands = make("td", { class: "stands", "data-label": "catalogue" });
    const cells = { frames: number("frames"), lost: number("lost"), rate: number("rate"), compression: number("compression") };
    this.#cells.set(run.id, { ...cells, stands });
    fillIn(cells, run);
    showStanding(stands, run.catalogue, null);
    return make("tr", { "data-run": run.id },
      make("td", {}, make("p", { class: "name" }, as.path(run)), where),
      make("td", {}, as.when(run.opened_ns)),
      status,
      stands,
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

/** Ask for runs; undefined where the service refuses, null where it does not answer. */
async function ask(limit, before) {
  const query = before ? `&before=${encodeURIComponent(before)}` : "";
  try {
    const answer = await fetch(`/api/v1/runs?limit=${limit}${query}`);
    return answer.ok ? await answer.json() : undefined;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return null;
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
