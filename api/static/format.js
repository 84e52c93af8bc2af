// Numbers as people read them. Every function takes null for "not known" and gives a dash.
const NONE = "–";
const THIN = "\u202f";
const known = (value) => typeof value === "number" && Number.isFinite(value);

/** Where a run belongs, and its name. */
export function path(run) {
  return [run.investigation, run.visit, run.name].filter(Boolean).join(" / ");
}

export function count(value) {
  return known(value) ? Math.round(value).toLocaleString("en").replaceAll(",", THIN) : NONE;
}

export function rate(hz) {
  return known(hz) ? hz.toFixed(hz < 999.95 ? 1 : 0) : NONE;
}

export function milliseconds(ms) {
  if (!known(ms)) return NONE;
  if (ms < 10) return `${ms.toFixed(1)}${THIN}ms`;
  if (ms < 1000) return `${Math.round(ms)}${THIN}ms`;
  return ms < 10_000 ? `${(ms / 1000).toFixed(2)}${THIN}s` : duration(ms / 1000);
}

export function duration(seconds) {
  if (!known(seconds)) return NONE;
  const s = Math.round(seconds);
  if (s < 60) return `${s}${THIN}s`;
  if (s < 3600) return `${Math.floor(s / 60)}${THIN}min ${s % 60}${THIN}s`;
  if (s < 86_400 * 2) return `${Math.floor(s / 3600)}${THIN}h ${Math.floor((s % 3600) / 60)}${THIN}min`;
  return `${Math.floor(s / 86_400)} days`;
}

export function bytes(value) {
  if (!known(value)) return NONE;
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let at = 0;
  while (value >= 1000 && at < units.length - 1) {
    value /= 1000;
    at += 1;
  }
  return `${at && value < 100 ? value.toFixed(1) : Math.round(value)}${THIN}${units[at]}`;
}

export function percent(part, whole) {
  if (!known(part) || !whole) return NONE;
  const share = (100 * part) / whole;
  // 100 % is said only of everything: 99.97 % stored is not all stored.
  return `${part < whole ? Math.min(99.9, share).toFixed(1) : "100"}${THIN}%`;
}

export function when(ns) {
  if (!ns) return NONE;
  const date = new Date(ns / 1e6);
  const today = date.toDateString() === new Date().toDateString();
  const time = date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  return today ? `today ${time}` : `${date.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" })} ${time}`;
}

/** Time of day to the second; the day too where it is not today. */
export function clock(ns) {
  if (!ns) return NONE;
  const date = new Date(ns / 1e6);
  const day = date.toDateString() === new Date().toDateString() ? "" : `${date.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} `;
  return day + date.toLocaleTimeString("en-GB");
}
