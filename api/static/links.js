// Where a store can be opened. These are addresses for the user to click: the page itself asks nothing of them.

/** Full address of a run's store on this server. */
export function storeAddress(run) {
  return new URL(run.data_url, location.origin).href;
}

/** Neuroglancer with the store as one image layer; limits are the counts shown as black and white, or null. */
export function neuroglancer(run, limits) {
  const layer = { type: "image", name: run.name, source: `zarr3://${storeAddress(run)}` };
  if (limits) layer.shaderControls = { normalized: { range: limits } };
  const state = { layers: [layer], layout: "4panel" };
  return `https://neuroglancer-demo.appspot.com/#!${encodeURIComponent(JSON.stringify(state))}`;
}

export function vizarr(run) {
  return `https://hms-dbmi.github.io/vizarr/?source=${encodeURIComponent(storeAddress(run))}`;
}

/** Size of a level-0 pixel in micrometres {z, y, x} from the store's metadata, or null where it does not say. */
export async function pixelSize(run) {
  const answer = await fetch(`${run.data_url}/zarr.json`);
  if (!answer.ok) return null;
  const image = (await answer.json()).attributes?.ome?.multiscales?.[0];
  const scale = image?.datasets?.[0]?.coordinateTransformations?.find((step) => step.type === "scale")?.scale;
  const units = image?.axes?.slice(-3).map((axis) => axis.unit) ?? [];
  if (!scale || !units.slice(1).every((unit) => unit === "micrometer")) return null;
  const [z, y, x] = scale.slice(-3);
  return { z: units[0] === "micrometer" ? z : x, y, x };
}
