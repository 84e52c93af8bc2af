// The page: one stream of numbers, one socket of pixels, and what they change.
import { showAlarms } from "./alarms.js";
import { showCatalogue } from "./catalogue.js";
import { byId, copies, say } from "./dom.js";
import * as as from "./format.js";
import { History } from "./history.js";
import { pixelSize } from "./links.js";
import { LiveImage } from "./live.js";
import { showMetadata } from "./metadata.js";
import { Numbers } from "./numbers.js";
import { Preview } from "./preview.js";
import { Projections } from "./projections.js";
import { showRecipe } from "./recipe.js";
import { showStages } from "./stages.js";
import { showFigures, showVerdict } from "./summary.js";
import { themes } from "./theme.js";

const live = new LiveImage(() => projections.draw());
const projections = new Projections(() => live.map);
const history = new History(() => live.limits);
const preview = new Preview((frame) => live.show(frame));
const sizes = new Map();
let chosen = "";
let rendered = null;

themes();
preview.follow("live");
copies(byId("command-copy"), byId("command"));
byId("run-choice").addEventListener("change", (event) => {
  chosen = event.target.value;
  preview.follow(chosen);
  render();
});
const numbers = new Numbers(render);

/** The run that the page shows: the chosen or newest that records, else the last one. */
function shown(report) {
  const runs = report?.runs ?? [];
  const recording = runs.filter((run) => run.status === "recording");
  return recording.find((run) => run.id === chosen) ?? recording[0] ?? runs[0] ?? history.newest;
}

async function render() {
  const { status } = numbers;
  const run = shown(status?.report);
  showVerdict(numbers, run);
  if (!status || status === rendered) return;
  rendered = status;
  document.body.dataset.page = run ? "run" : "waiting";
  showFigures(status, run);
  showRecipe(run);
  showMetadata(run);
  showAlarms(status.report);
  showStages(status.report);
  choices(status.report);
  say("version", `octostream ${status.version}`);
  say("command", `octostream acquire simulated: --to ${status.ingest || `tcp://${location.hostname}:PORT`} --rate 100`);
  await history.update(status, numbers.nowNs);
  showCatalogue(run && history.get(run.id)?.catalogue, numbers.nowNs);
  const last = shown(status.report);
  if (!run && last) {
    rendered = null;
    await render();
    return;
  }
  if (last) await pictures(last);
}

async function pictures(run) {
  const known = history.get(run.id);
  if (run.stored && known?.data_url && !sizes.has(run.id)) {
    sizes.set(run.id, null);
    // Without an answer there is no scale bar; the pictures do not depend on it.
    sizes.set(run.id, await pixelSize(known).catch(() => null));
  }
  const size = sizes.get(run.id) ?? null;
  live.scale(size?.x);
  await projections.update(run, size);
}

function choices(report) {
  const recording = (report?.runs ?? []).filter((run) => run.status === "recording");
  byId("run-choice-label").hidden = recording.length < 2;
  if (chosen && !recording.some((run) => run.id === chosen)) {
    chosen = "";
    preview.follow("live");
  }
  const ids = recording.map((run) => run.id).join(" ");
  if (byId("run-choice").dataset.ids === ids) return;
  byId("run-choice").dataset.ids = ids;
  byId("run-choice").replaceChildren(...recording.map((run) => new Option(as.path(run), run.id)));
  if (chosen) byId("run-choice").value = chosen;
}
