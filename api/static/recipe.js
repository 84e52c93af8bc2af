// The recipe of the run that the page shows: its name always, its steps when somebody opens it.
import { byId, make, say } from "./dom.js";

let run = "";
let loaded = "";

export function showRecipe(shown) {
  byId("recipe").hidden = !shown;
  if (!shown) return;
  say("recipe-name", shown.recipe);
  if (run === shown.id) return;
  run = shown.id;
  if (byId("recipe-details").open) load();
}

export function recipes() {
  byId("recipe-details").addEventListener("toggle", () => { if (byId("recipe-details").open) load(); });
}

/** Ask for the steps, once for each run; what cannot be had now is asked for again when it is opened again. */
async function load() {
  const asked = run;
  if (loaded === asked) return;
  byId("recipe-steps").replaceChildren();
  say("recipe-note", "asking the service");
  let answer = null;
  try {
    answer = await fetch(`/api/v1/runs/${encodeURIComponent(asked)}/recipe`);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
  if (asked !== run) return;
  if (!answer?.ok) {
    say("recipe-note", answer?.status === 404 ? "the store of this run is not there" : "the service does not answer");
    return;
  }
  const { steps } = await answer.json();
  if (asked !== run) return;
  loaded = asked;
  say("recipe-note", steps.length ? "" : "no step is done");
  byId("recipe-steps").replaceChildren(...steps.map(row));
}

function row({ step, parameters }) {
  const values = Object.entries(parameters).map(([name, value]) => make("li", {}, make("span", {}, name), ` ${said(value)}`));
  return make("tr", {}, make("th", { scope: "row" }, step), make("td", {}, make("ul", {}, ...values)));
}

/** A value as people write it; of a map its file, of a long list the beginning. */
function said(value) {
  if (value?.file) return `${value.file} (map)`;
  const text = Array.isArray(value) ? value.map((one) => (Array.isArray(one) ? `[${one}]` : one)).join(", ") || "none" : String(value);
  return text.length > 120 ? `${text.slice(0, 117)}…` : text;
}
