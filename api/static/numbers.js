// The one stream of numbers, and how old they are.

/** Without an update for this long the numbers are old, ms. */
export const STALE_MS = 4000;

export class Numbers {
  #status = null;
  #arrived = performance.now();
  #onChange;

  constructor(onChange) {
    this.#onChange = onChange;
    const source = new EventSource("/api/v1/events");
    source.addEventListener("report", (event) => {
      this.#status = JSON.parse(event.data);
      this.#arrived = performance.now();
      this.#onChange();
    });
    // EventSource gives up after some answers of a proxy; then the page starts over.
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
    });
    setInterval(() => this.#onChange(), 250);
  }

  /** Last status, or null when none came yet. */
  get status() {
    return this.#status;
  }

  /** Age of the last report, ms: as the server measured it, and the time since. */
  get ageMs() {
    return (this.#status?.age_ms ?? 0) + performance.now() - this.#arrived;
  }

  /** Wall clock of the service, whatever the browser's own says; null while it was never heard. */
  get nowNs() {
    return this.#status?.report ? this.#status.report.time_ns + this.ageMs * 1e6 : null;
  }

  get stale() {
    return this.ageMs > STALE_MS;
  }
}
