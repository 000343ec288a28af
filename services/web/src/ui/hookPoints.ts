/** Names of hook points, and writing many of them short. */

/** Return the block of a hook point; null outside the blocks. */
export function layerOf(name: string): number | null {
  const [outer, layer] = name.split(".");
  return outer === "layers" ? Number(layer) : null;
}

/** Return the last part of a hook point's name: `resid_post` of `layers.6.resid_post`. */
export function kindOf(name: string): string {
  return name.slice(name.lastIndexOf(".") + 1);
}

/** Return layers with runs of three and more as ranges: `0–5, 11`. */
export function layerRanges(layers: readonly number[]): string {
  const runs: number[][] = [];
  for (const layer of [...layers].sort((a, b) => a - b)) {
    const run = runs.at(-1);
    if (run?.at(-1) === layer - 1) run.push(layer);
    else runs.push([layer]);
  }
  return runs
    .map((run) => (run.length > 2 ? `${run[0]}–${run.at(-1)}` : run.join(", ")))
    .join(", ");
}

/** Return hook points by kind: `embed`, `resid_post 0–5, 11`. */
export function shortHookPoints(names: readonly string[]): string[] {
  const byKind = new Map<string, number[]>();
  for (const name of names) {
    const layers = byKind.get(kindOf(name)) ?? [];
    const layer = layerOf(name);
    if (layer !== null) layers.push(layer);
    byKind.set(kindOf(name), layers);
  }
  return [...byKind].map(([kind, layers]) =>
    layers.length ? `${kind} ${layerRanges(layers)}` : kind,
  );
}
