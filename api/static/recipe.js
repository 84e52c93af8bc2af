// The recipe of the run that the page shows, step by step.
import { Details } from "./details.js";
import { make } from "./dom.js";

const recipe = new Details("recipe", ({ steps }) => [steps.map(row), "no step is done"]);

export function showRecipe(run) {
  recipe.show(run, run?.recipe);
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
