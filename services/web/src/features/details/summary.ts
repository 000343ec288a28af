/** What an extraction captures, in a few words. */
import { writeLayers } from "./extract/layers";

const OUTSIDE = ["embed", "final_norm"];

/** ["layers.0.resid_post", "layers.6.resid_post", "embed"] → "resid_post in layers 0,6 · embed". */
export function summaryOf(hookPoints: readonly string[], numLayers: number | null): string {
  const kinds = new Map<string, number[]>();
  for (const name of hookPoints) {
    if (OUTSIDE.includes(name)) continue;
    const [, layer = "", kind = ""] = name.split(".");
    kinds.set(kind, [...(kinds.get(kind) ?? []), Number(layer)]);
  }
  const groups = new Map<string, string[]>();
  for (const [kind, layers] of kinds) {
    const where = writeLayers(layers, numLayers ?? 0);
    groups.set(where, [...(groups.get(where) ?? []), kind]);
  }
  const inside = [...groups].map(([where, names]) => `${names.join(", ")} in ${plural(where)}`);
  return [...inside, ...OUTSIDE.filter((name) => hookPoints.includes(name))].join(" · ");
}

function plural(layers: string): string {
  if (layers === "all") return "all layers";
  return `${/^\d+$/.test(layers) ? "layer" : "layers"} ${layers}`;
}
