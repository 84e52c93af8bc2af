// The live image with its contrast; all of it happens here in the browser, no round trip.
import * as as from "./format.js";
import { automatic, histogram, paint, quantile, table } from "./contrast.js";
import { byId, mark, say } from "./dom.js";

/** An image older than this looks old, ms. */
const OLD_MS = 2500;
/** Histogram and automatic contrast follow this often, ms: the page shares the computer with the recording. */
const LOOK_MS = 400;
const SATURATED = 65535;

export class LiveImage {
  #frame = null;
  #counts = null;
  #limits = [0, 1023];
  #top = 1023;
  #auto = true;
  #map = "gray";
  #lut = table(0, 1023, "gray");
  #spoken = -Infinity;
  #looked = -Infinity;

  constructor(onContrast) {
    this.onContrast = onContrast;
    byId("low").addEventListener("input", () => this.#slide("low"));
    byId("high").addEventListener("input", () => this.#slide("high"));
    byId("auto").addEventListener("click", () => this.#automatic(!this.#auto));
    byId("map").addEventListener("change", (event) => {
      this.#map = event.target.value;
      this.#apply();
      this.onContrast();
    });
    setInterval(() => this.#tick(), 200);
  }

  /** Counts shown as black and white, once an image came; else null. */
  get limits() {
    return this.#frame ? this.#limits : null;
  }

  get map() {
    return this.#map;
  }

  show(frame) {
    const another = this.#frame?.run !== frame.run;
    if (another) this.#top = 255;
    this.#frame = frame;
    mark(byId("screen"), "empty", false);
    if (another || performance.now() - this.#looked >= LOOK_MS) this.#look();
    else this.#paint();
    this.#tick();
  }

  #look() {
    this.#looked = performance.now();
    this.#counts = histogram(this.#frame.pixels);
    const brightest = quantile(this.#counts, 1);
    while (this.#top < brightest) this.#top = 2 * this.#top + 1;
    if (this.#auto) this.#limits = automatic(this.#counts);
    this.#apply();
  }

  #paint() {
    paint(byId("image"), this.#frame.pixels, this.#frame.width, this.#frame.height, this.#lut);
  }

  #slide(moved) {
    this.#auto = false;
    let [low, high] = [Number(byId("low").value), Number(byId("high").value)];
    if (low >= high) [low, high] = moved === "low" ? [low, low + 1] : [high - 1, high];
    this.#limits = [Math.max(0, low), Math.max(1, high)];
    this.#apply();
  }

  #automatic(on) {
    this.#auto = on;
    if (on && this.#counts) this.#limits = automatic(this.#counts);
    this.#apply();
  }

  #apply() {
    const [low, high] = this.#limits;
    for (const [id, value] of [["low", low], ["high", high]]) {
      byId(id).max = String(this.#top);
      byId(id).value = String(value);
      say(`${id}-value`, as.count(value));
    }
    byId("auto").setAttribute("aria-pressed", String(this.#auto));
    this.#lut = table(low, high, this.#map);
    if (this.#frame) {
      this.#paint();
      this.#plot();
      const n = this.#counts[SATURATED];
      say("saturation", n ? `${as.percent(n, this.#frame.pixels.length)} of the pixels are saturated` : "no pixel is saturated");
    }
  }

  #plot() {
    const canvas = byId("histogram");
    const context = canvas.getContext("2d");
    const { width, height } = canvas;
    const bins = new Float64Array(width / 2);
    const per = (this.#top + 1) / bins.length;
    for (let value = 0; value <= this.#top; value += 1) bins[Math.floor(value / per)] += this.#counts[value];
    const peak = Math.log1p(Math.max(...bins)) || 1;
    const style = getComputedStyle(canvas);
    context.clearRect(0, 0, width, height);
    context.fillStyle = style.getPropertyValue("--soft");
    bins.forEach((n, i) => {
      const tall = (Math.log1p(n) / peak) * (height - 8);
      context.fillRect(2 * i, height - tall, 2, tall);
    });
    const at = (value) => (value / (this.#top + 1)) * width;
    const [low, high] = this.#limits.map(at);
    context.globalAlpha = 0.62;
    context.fillStyle = style.getPropertyValue("--ground");
    context.fillRect(0, 0, low, height);
    context.fillRect(high, 0, width - high, height);
    context.globalAlpha = 1;
    context.strokeStyle = style.getPropertyValue("--good");
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(low, height);
    context.lineTo(high, 3);
    context.stroke();
  }

  #tick() {
    if (!this.#frame) return;
    const age = this.#frame.ageMs + performance.now() - this.#frame.arrived;
    const old = age > OLD_MS;
    say("image-frame", `frame ${as.count(Number(this.#frame.number))}`);
    say("image-age", `age of the image ${as.milliseconds(age)}${old ? ", old" : ""}`);
    mark(byId("image-age"), "old", old);
    mark(byId("screen"), "old", old);
    if (performance.now() - this.#spoken < 1000) return;
    this.#spoken = performance.now();
    const [low, high] = this.#limits;
    byId("image").setAttribute("aria-label", `Live image, frame ${this.#frame.number}, black at ${low} and white at ${high} counts`);
  }

  /** Show a bar of a round length, where the size of a pixel is known. */
  scale(pixelUm) {
    const bar = byId("scale");
    bar.hidden = !pixelUm || !this.#frame;
    if (bar.hidden) return;
    const widthUm = pixelUm * this.#frame.step * this.#frame.width;
    const decade = 10 ** Math.floor(Math.log10(widthUm / 4));
    const length = [5, 2, 1].map((n) => n * decade).find((n) => n <= widthUm / 4);
    bar.style.width = `${(100 * length) / widthUm}%`;
    say("scale-text", `${Number(length.toPrecision(3))} µm`);
  }
}
