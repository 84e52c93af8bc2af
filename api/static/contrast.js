// Counts to colours: histogram, automatic limits, 16-bit look-up table. No page, only numbers.
const VIRIDIS = [0x440154, 0x472d7b, 0x3b528b, 0x2c728e, 0x21918c, 0x28ae80, 0x5ec962, 0xaddc30, 0xfde725];

const MAPS = {
  gray: (v) => [255 * v, 255 * v, 255 * v],
  viridis: (v) => {
    const at = Math.min(VIRIDIS.length - 1.000001, v * (VIRIDIS.length - 1));
    const [a, b, part] = [VIRIDIS[Math.floor(at)], VIRIDIS[Math.floor(at) + 1], at % 1];
    return [16, 8, 0].map((shift) => ((a >> shift) & 255) * (1 - part) + ((b >> shift) & 255) * part);
  },
};

/** Count every value of uint16 pixels. */
export function histogram(pixels) {
  const counts = new Uint32Array(65536);
  for (let i = 0; i < pixels.length; i += 1) counts[pixels[i]] += 1;
  return counts;
}

/** Give the count below which a share of the pixels lies. */
export function quantile(counts, share) {
  let total = 0;
  for (const n of counts) total += n;
  const need = Math.max(1, Math.ceil(share * total));
  let seen = 0;
  for (let value = 0; value < counts.length; value += 1) {
    seen += counts[value];
    if (seen >= need) return value;
  }
  return 0;
}

/** Limits that leave out the darkest 0.5 % and the brightest 0.1 %. */
export function automatic(counts) {
  const low = quantile(counts, 0.005);
  return [low, Math.max(low + 1, quantile(counts, 0.999))];
}

/** Make the table from count to RGBA, in the byte order of ImageData on little-endian machines. */
export function table(low, high, name) {
  const colours = new Uint32Array(256);
  for (let i = 0; i < 256; i += 1) {
    const [r, g, b] = MAPS[name](i / 255).map(Math.round);
    colours[i] = ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  }
  const lut = new Uint32Array(65536);
  const gain = 255 / Math.max(1, high - low);
  for (let value = 0; value < 65536; value += 1) {
    lut[value] = colours[Math.max(0, Math.min(255, Math.round((value - low) * gain)))];
  }
  return lut;
}

/** Draw uint16 pixels through a table onto a canvas of their size. */
export function paint(canvas, pixels, width, height, lut) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const image = new ImageData(width, height);
  const out = new Uint32Array(image.data.buffer);
  for (let i = 0; i < out.length; i += 1) out[i] = lut[pixels[i]];
  canvas.getContext("2d").putImageData(image, 0, 0);
}
