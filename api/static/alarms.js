// What needs a person: warnings and alarms, each with a shape, a word, and since when.
import * as as from "./format.js";
import { byId, make } from "./dom.js";

const rows = new Map();

function row(name) {
  const parts = { word: make("b"), text: make("span"), since: make("time") };
  parts.node = make("li", { "data-name": name }, parts.word, parts.text, parts.since);
  return parts;
}

/** Change only what changed, so that screen readers speak of an alarm once. */
function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function showAlarms(report) {
  const alarms = report?.alarms ?? [];
  const standing = new Set(alarms.map((alarm) => alarm.name));
  for (const [name, parts] of rows) {
    if (standing.has(name)) continue;
    parts.node.remove();
    rows.delete(name);
  }
  alarms.forEach((alarm, place) => {
    if (!rows.has(alarm.name)) rows.set(alarm.name, row(alarm.name));
    const parts = rows.get(alarm.name);
    parts.node.dataset.severity = alarm.severity;
    put(parts.word, alarm.severity);
    put(parts.text, alarm.text);
    put(parts.since, `since ${as.clock(alarm.since_ns)}`);
    if (byId("alarms").children[place] !== parts.node) byId("alarms").insertBefore(parts.node, byId("alarms").children[place] ?? null);
  });
}

/** Give the severity of the alarm about a stage's queue, or nothing. */
export function severityOf(report, stage) {
  return report?.alarms?.find((alarm) => alarm.name === `queue_${stage}`)?.severity ?? "";
}
