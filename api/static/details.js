// What the page shows of a run when somebody opens it: a word always, the rest asked for once for each run.
import { byId, say } from "./dom.js";

export class Details {
  #name;
  #rows;
  #run = "";
  #loaded = "";

  /** `rows` gives the rows of the answer, and what to say where there are none. */
  constructor(name, rows) {
    this.#name = name;
    this.#rows = rows;
    this.#part("details").addEventListener("toggle", () => { if (this.#part("details").open) this.#load(); });
  }

  show(run, word) {
    byId(this.#name).hidden = !run;
    if (!run) return;
    say(`${this.#name}-name`, word);
    if (this.#run === run.id) return;
    this.#run = run.id;
    if (this.#part("details").open) this.#load();
  }

  #part(part) {
    return byId(`${this.#name}-${part}`);
  }

  /** What cannot be had now is asked for again when it is opened again. */
  async #load() {
    const asked = this.#run;
    if (this.#loaded === asked) return;
    this.#part("rows").replaceChildren();
    say(`${this.#name}-note`, "asking the service");
    let answer = null;
    try {
      answer = await fetch(`/api/v1/runs/${encodeURIComponent(asked)}/${this.#name}`);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
    if (asked !== this.#run) return;
    if (!answer?.ok) {
      say(`${this.#name}-note`, answer?.status === 404 ? "the store of this run is not there" : "the service does not answer");
      return;
    }
    const [rows, none] = this.#rows(await answer.json());
    if (asked !== this.#run) return;
    this.#loaded = asked;
    say(`${this.#name}-note`, rows.length ? "" : none);
    this.#part("rows").replaceChildren(...rows);
  }
}
