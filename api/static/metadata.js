// What the operator said of the run that the page shows, as its technique asks for it.
import { Details } from "./details.js";
import { make } from "./dom.js";

const metadata = new Details("metadata", (told) => [Object.entries(told.metadata).map(row), "nothing was said"]);

export function showMetadata(run) {
  metadata.show(run, run?.technique);
}

function row([name, value]) {
  return make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, String(value)));
}
