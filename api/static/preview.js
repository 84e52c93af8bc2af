// Live pixels: one frame in flight. The next comes only after "drawn <number>", so a slow page skips frames, never queues them.
export class Preview {
  #socket = null;
  #run = "";
  #waiting = null;
  #onFrame;
  #wait = 1000;

  constructor(onFrame) {
    this.#onFrame = onFrame;
    document.addEventListener("visibilitychange", () => this.#draw());
  }

  /** Follow a run by id, or "live" for whatever records. */
  follow(run) {
    if (run === this.#run) return;
    this.#run = run;
    this.#connect();
  }

  #connect() {
    this.#socket?.close();
    this.#waiting = null;
    const address = new URL(`/api/v1/runs/${encodeURIComponent(this.#run)}/preview`, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", (event) => {
      this.#wait = 1000;
      this.#waiting = { socket, frame: parse(event.data) };
      requestAnimationFrame(() => this.#draw());
    });
    socket.addEventListener("close", () => {
      if (socket !== this.#socket) return;
      setTimeout(() => socket === this.#socket && this.#connect(), this.#wait);
      this.#wait = Math.min(15_000, 2 * this.#wait);
    });
  }

  #draw() {
    // Nobody looks at a hidden page: it draws nothing and asks for nothing.
    if (document.hidden || !this.#waiting) return;
    const { socket, frame } = this.#waiting;
    this.#waiting = null;
    if (socket !== this.#socket) return;
    this.#onFrame(frame);
    if (socket.readyState === WebSocket.OPEN) socket.send(`drawn ${frame.number}`);
  }
}

/** Read a message: the header is described in api/routes/preview.py. */
export function parse(buffer) {
  const view = new DataView(buffer);
  const magic = String.fromCharCode(...new Uint8Array(buffer, 0, 4));
  if (magic !== "OSPF" || view.getUint16(4, true) !== 1) throw new Error("this page is older than the service: reload it");
  const [height, width] = [view.getUint32(32, true), view.getUint32(36, true)];
  return {
    arrived: performance.now(),
    number: view.getBigUint64(8, true),
    ageMs: Math.max(0, Number(view.getBigInt64(24, true) - view.getBigInt64(16, true)) / 1e6),
    height,
    width,
    step: view.getUint32(40, true),
    run: new TextDecoder().decode(new Uint8Array(buffer, 48, view.getUint32(44, true))),
    pixels: new Uint16Array(buffer, view.getUint16(6, true), width * height),
  };
}
