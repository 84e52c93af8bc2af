// How a run stands in the catalogue: a word and a shape in the table of runs, all of it beside recipe and metadata.
import * as as from "./format.js";
import { byId, make } from "./dom.js";

const MEANING = {
  local: "in the local registry alone",
  queued: "ICAT does not have it yet",
  registered: "ICAT has it, not yet complete",
  complete: "ICAT has it, complete",
  parked: "a person must see to it before ICAT learns more",
};

/** Fill a cell of the table. */
export function showStanding(cell, standing, nowNs) {
  if (!standing) return;
  const notes = [["why", datasets(standing)], ["why", standing.why], ["remedy", standing.remedy], ["why", nextTry(standing, nowNs)]].filter(([, text]) => text);
  if (same(cell, [standing.state, notes])) return;
  const chip = make("span", { class: "chip", "data-status": standing.state }, standing.state);
  cell.replaceChildren(chip, ...notes.map(([name, text]) => make("p", { class: name }, text)));
}

/** Fill the card of the run that the page shows. */
export function showCatalogue(standing, nowNs) {
  byId("catalogue").hidden = !standing;
  if (!standing) return;
  const rows = [
    ["state", MEANING[standing.state]],
    ["datasets", datasets(standing)],
    ["why", standing.why],
    ["what to do", standing.remedy],
    ["next try", nextTry(standing, nowNs)],
    ["waiting", standing.waiting ? `${standing.waiting} ${standing.waiting === 1 ? "entry" : "entries"}` : ""],
    ["complete", standing.lag_s === null ? "" : `${as.milliseconds(1000 * standing.lag_s)} after the last frame`],
  ].filter(([, text]) => text);
  const word = byId("catalogue-state");
  if (same(word, [standing.state, rows])) return;
  word.dataset.status = standing.state;
  word.textContent = standing.state;
  byId("catalogue-rows").replaceChildren(...rows.map(([name, text]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, text))));
}

/** Whether a node shows this already: what is marked or read aloud is not made anew. */
function same(node, shown) {
  const text = JSON.stringify(shown);
  if (node.dataset.shown === text) return true;
  node.dataset.shown = text;
  return false;
}

function datasets(standing) {
  return Object.entries(standing.datasets).map(([part, id]) => `${part} ${id}`).join(", ");
}

function nextTry(standing, nowNs) {
  if (standing.next_try_ns === null || nowNs === null) return "";
  const left = (standing.next_try_ns - nowNs) / 1e9;
  if (left > 0) return `next try in ${as.duration(Math.ceil(left))}`;
  return standing.why ? "tried again soon" : "on its way";
}
