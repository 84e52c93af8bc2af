// The path of a frame: every stage with the same numbers.
import * as as from "./format.js";
import { severityOf } from "./alarms.js";
import { byId, make, mark } from "./dom.js";

const rows = new Map();

function row(name) {
  const parts = {
    speed: make("span"), bar: make("i"), sign: make("b"), state: make("p", { class: "note state" }),
    p50: make("dd"), p99: make("dd"), lost: make("dd"),
  };
  parts.node = make("li", {},
    make("div", { class: "top" }, make("h3", {}, name), parts.sign),
    make("p", { class: "speed" }, parts.speed, " ", make("small", {}, "Hz")),
    make("div", { class: "fill", "aria-hidden": "true" }, parts.bar),
    parts.state,
    make("dl", {}, make("dt", {}, "p50"), parts.p50, make("dt", {}, "p99"), parts.p99, make("dt", {}, "lost"), parts.lost));
  return parts;
}

/** Name how full a queue is: 75 % and 100 % are the thresholds that control rooms use. */
export function fillOf(queue, capacity) {
  if (!capacity) return "";
  if (queue >= capacity) return "full";
  return queue >= 0.75 * capacity ? "filling" : "free";
}

/** Show the stages in the order of the report; one that only some agents have may come later. */
export function showStages(report) {
  for (const [place, stage] of (report?.stages ?? []).entries()) {
    if (!rows.has(stage.name)) rows.set(stage.name, row(stage.name));
    const parts = rows.get(stage.name);
    const there = byId("stages").children[place];
    if (there !== parts.node) byId("stages").insertBefore(parts.node, there ?? null);
    const severity = severityOf(report, stage.name);
    mark(parts.node, "severity", severity);
    parts.sign.textContent = severity;
    const fill = fillOf(stage.queue, stage.queue_capacity);
    mark(parts.node, "fill", fill);
    parts.speed.textContent = as.rate(stage.rate_hz);
    parts.bar.style.width = `${stage.queue_capacity ? Math.min(100, (100 * stage.queue) / stage.queue_capacity) : 0}%`;
    parts.state.textContent = fill ? `queue ${as.count(stage.queue)} of ${as.count(stage.queue_capacity)}, ${fill}` : "no queue";
    parts.p50.textContent = as.milliseconds(stage.p50_ms);
    parts.p99.textContent = as.milliseconds(stage.p99_ms);
    parts.lost.textContent = as.count(stage.lost);
    mark(parts.lost, "bad", stage.lost > 0);
  }
  const workers = report?.workers ?? [];
  const ready = workers.filter((worker) => worker.ready).length;
  const trouble = workers.find((worker) => worker.trouble)?.trouble;
  byId("workers").textContent = trouble ?? (workers.length ? `${ready} of ${workers.length} workers ready` : "");
}
