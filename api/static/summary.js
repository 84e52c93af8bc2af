// Verdict and the figures of one run.
import * as as from "./format.js";
import { byId, mark, say } from "./dom.js";

/** Give verdict and reason as the page must say them now. */
export function verdictOf(numbers) {
  const { status, stale } = numbers;
  if (status && !status.report) return ["NO DATA", status.reason];
  if (stale || !status) return ["NO DATA", status ? "no update from the service" : "connecting to the service"];
  return [status.verdict, status.reason];
}

export function showVerdict(numbers, run) {
  const [verdict, reason] = verdictOf(numbers);
  document.body.dataset.verdict = verdict;
  mark(document.body, "stale", Boolean(numbers.status) && verdict === "NO DATA");
  say("verdict-word", verdict);
  say("verdict-reason", reason);
  say("which", which(numbers, run));
  say("alarm", alarm(numbers, verdict, run));
  say("heard", heard(numbers));
  const share = run?.status === "recording" ? ` ${as.percent(run.stored, run.expected)}` : "";
  document.title = `${verdict}${share} · octostream`;
}

function heard(numbers) {
  if (!numbers.status) return "connecting";
  if (!numbers.status.report) return "never heard";
  return numbers.stale ? `no update for ${as.duration(numbers.ageMs / 1000)}` : "live";
}

function which(numbers, run) {
  if (numbers.stale && numbers.status?.report) return "The numbers below are the last ones known. A recording may well go on.";
  if (!run) return "";
  const path = as.path(run);
  const from = [run.instrument, run.source].filter(Boolean).join(" · ");
  return run.status === "recording" ? `${path} · ${from}` : `Last run: ${path}, ${run.status}`;
}

function alarm(numbers, verdict, run) {
  if (numbers.stale && numbers.status) return "No update for 4 s: the numbers on this page are old.";
  const named = numbers.status?.report?.alarms?.some((one) => one.name === "frames_lost");
  if (run?.status === "recording" && run.lost && !named) return `Frames were lost in ${run.name}: the ledger names each one.`;
  return run?.status === "incomplete" && run.reason ? `${run.name} is incomplete: ${run.reason}` : "";
}

export function showFigures(status, run) {
  showFrames(run);
  showLost(run);
  showRate(run);
  showLatency(run);
  showDisk(status);
}

function showFrames(run) {
  const { stored = null, received = 0, expected = 0 } = run ?? {};
  say("frames-stored", as.count(stored));
  say("frames-expected", expected ? `of ${as.count(expected)}` : "");
  const width = (n) => `${expected ? Math.min(100, (100 * n) / expected) : 0}%`;
  byId("progress-stored").style.width = width(stored ?? 0);
  byId("progress-received").style.width = width(received);
  byId("progress").setAttribute("aria-valuenow", expected ? Math.floor((100 * (stored ?? 0)) / expected) : 0);
  say("frames-note", frames(run));
}

function frames(run) {
  if (!run) return "";
  const share = as.percent(run.stored, run.expected);
  if (run.status !== "recording") return `${share}, sealed ${run.status}`;
  if (run.received >= run.expected) return `${share}, finishing`;
  const left = run.rate_hz ? (run.expected - run.received) / run.rate_hz : null;
  return left === null ? share : `${share}, ${as.duration(left)} left`;
}

function showLost(run) {
  say("lost", as.count(run?.lost));
  mark(byId("lost-tile"), "tone", run?.lost ? "bad" : "");
  const share = run && ` ${as.percent(run.lost, run.expected)} of the run`;
  say("lost-note", !run ? "" : run.lost ? `frames lost,${share}` : "nothing lost");
}

function showRate(run) {
  say("rate", as.rate(run?.rate_hz));
  const slow = run?.status === "recording" && run.target_hz && run.rate_hz !== null && run.rate_hz < 0.95 * run.target_hz;
  mark(byId("rate-tile"), "tone", slow ? "warn" : "");
  const target = run?.target_hz ? `${slow ? "below" : "of"} ${as.rate(run.target_hz)} Hz planned` : "as fast as it goes";
  say("rate-note", !run ? "" : run.late ? `${target}, ${as.count(run.late)} late` : target);
}

function showLatency(run) {
  for (const until of ["reduced", "durable"]) {
    for (const quantile of ["p50", "p99"]) say(`${until}-${quantile}`, as.milliseconds(run?.[`${until}_ms`]?.[quantile]));
  }
}

function showDisk(status) {
  const report = status?.report;
  say("disk", as.bytes(report?.disk_free_bytes));
  const left = status?.time_to_full_s ?? null;
  const full = report && report.disk_free_bytes < report.disk_reserve_bytes;
  mark(byId("disk-tile"), "tone", full ? "bad" : left !== null && left < 1800 ? "warn" : "");
  const of = report ? `of ${as.bytes(report.disk_total_bytes)}` : "";
  say("disk-note", full ? "below the reserve, nothing is committed" : left === null ? of : `full in ${as.duration(left)} at this rate`);
}
