/** What an extraction captures, in a few words. */
import { kindOf, layerOf } from "@/ui/hookPoints";
import { writeLayers } from "./extract/layers";

/** ["layers.0.resid_post", "layers.6.resid_post", "embed"] → "resid_post in layers 0,6 · embed". */
export function summaryOf(hookPoints: readonly string[], numLayers: number | null): string {
  const kinds = new Map<string, number[]>();
  for (const name of hookPoints) {
    const layer = layerOf(name);
    if (layer === null) continue;
    const kind = kindOf(name);
    kinds.set(kind, [...(kinds.get(kind) ?? []), layer]);
  }
  const groups = new Map<string, string[]>();
  for (const [kind, layers] of kinds) {
    const where = writeLayers(layers, numLayers ?? 0);
    groups.set(where, [...(groups.get(where) ?? []), kind]);
  }
  const inside = [...groups].map(([where, names]) => `${names.join(", ")} in ${plural(where)}`);
  const outside = ["embed", "final_norm"].filter((name) => hookPoints.includes(name));
  return [...inside, ...outside].join(" · ");
}

function plural(layers: string): string {
  if (layers === "all") return "all layers";
  return `${/^\d+$/.test(layers) ? "layer" : "layers"} ${layers}`;
}
