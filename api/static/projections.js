// The latest projections of a run, arranged as orthogonal views in true proportions.
import { automatic, histogram, paint, table } from "./contrast.js";
import * as as from "./format.js";
import { byId, say } from "./dom.js";

const PLANES = ["xy", "xz", "yz"];

export class Projections {
  #run = "";
  #mark = "";
  #channel = 0;
  #images = {};
  #limits = [0, 1];
  #busy = false;
  #map;

  constructor(map) {
    this.#map = map;
    byId("channel").addEventListener("change", (event) => {
      this.#channel = Number(event.target.value);
      this.#mark = "";
    });
  }

  /** Fetch again when a run has stored more; pixelUm is the store's scale {z, y, x} or null. */
  async update(run, pixelUm) {
    if (run.id !== this.#run) this.#begin(run);
    this.#arrange(run.shape, pixelUm);
    const mark = `${run.id} ${run.stored}`;
    if (this.#busy || !run.stored || mark === this.#mark || document.hidden) return;
    this.#busy = true;
    try {
      const images = await Promise.all(PLANES.map((plane) => this.#fetch(run.id, plane)));
      if (run.id !== this.#run || images.includes(null)) return;
      this.#mark = mark;
      PLANES.forEach((plane, i) => { this.#images[plane] = images[i]; });
      this.#limits = automatic(histogram(images[0].pixels));
      this.draw();
    } catch (error) {
      // The web process may restart at any moment; the next report asks again.
      if (!(error instanceof TypeError)) throw error;
    } finally {
      this.#busy = false;
    }
  }

  draw() {
    if (!this.#images.xy) return;
    const lut = table(...this.#limits, this.#map());
    for (const plane of PLANES) {
      let { pixels, width, height } = this.#images[plane];
      // yz comes as (z, y); beside xy it stands upright, y downwards and z to the right.
      if (plane === "yz") [pixels, width, height] = [transposed(pixels, width, height), height, width];
      paint(byId(`plane-${plane}`), pixels, width, height, lut);
    }
    say("ortho-at", `latest stack, t = ${as.count(this.#images.xy.t)}`);
  }

  #begin(run) {
    this.#run = run.id;
    this.#mark = "";
    this.#channel = 0;
    this.#images = {};
    say("ortho-at", "none yet");
    for (const plane of PLANES) byId(`plane-${plane}`).width = 1;
    const channels = Array.from({ length: run.shape[1] }, (_, c) => new Option(String(c), String(c)));
    byId("channel").replaceChildren(...channels);
    byId("channel-label").hidden = channels.length < 2;
  }

  async #fetch(id, plane) {
    const answer = await fetch(`/api/v1/runs/${encodeURIComponent(id)}/projections/${plane}?c=${this.#channel}`);
    if (answer.status !== 200) return null;
    const size = (name) => Number(answer.headers.get(`x-octostream-${name}`));
    return { t: size("t"), width: size("width"), height: size("height"), pixels: new Uint16Array(await answer.arrayBuffer()) };
  }

  #arrange([, , z, y, x], pixelUm) {
    const um = pixelUm ?? { z: 1, y: 1, x: 1 };
    // Level 0 is binned, so its pixel is larger than the sensor's; only the proportions matter here.
    const [wide, tall] = [x, y].map((n, i) => n * [um.x, um.y][i] / (pixelUm ? 2 : 1));
    const deep = Math.min(Math.max(z * um.z, 0.12 * wide), 0.6 * wide);
    const style = byId("planes").style;
    for (const [name, value] of [["--x", wide], ["--y", tall], ["--zx", deep], ["--zy", deep]]) {
      style.setProperty(name, `${(value / wide).toFixed(4)}fr`);
    }
    style.setProperty("--ratio", ((wide + deep) / (tall + deep)).toFixed(4));
  }
}

function transposed(pixels, width, height) {
  const out = new Uint16Array(pixels.length);
  for (let y = 0; y < height; y += 1) for (let x = 0; x < width; x += 1) out[x * height + y] = pixels[y * width + x];
  return out;
}
