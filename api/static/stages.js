// The path of a frame: every stage with the same numbers.
import * as as from "./format.js";
import { byId, make, mark } from "./dom.js";

const rows = new Map();

function row(name) {
  const parts = {
    speed: make("span"), bar: make("i"), state: make("p", { class: "note state" }),
    p50: make("dd"), p99: make("dd"), lost: make("dd"),
  };
  parts.node = make("li", {},
    make("h3", {}, name),
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

export function showStages(report) {
  for (const stage of report?.stages ?? []) {
    if (!rows.has(stage.name)) {
      rows.set(stage.name, row(stage.name));
      byId("stages").append(rows.get(stage.name).node);
    }
    const parts = rows.get(stage.name);
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
