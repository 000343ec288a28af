/** Which columns are in the store already, as the caches tell. */
import type { Cache, Dataset, Extraction } from "@/api/types";
import type { Expected } from "@/state/extractions";
import { inOrder, type Kind, namesOf } from "./hooks";

/** Of how many of the samples that are asked for. */
export type Extent = "all" | "some";
export type Stored = ReadonlyMap<string, Extent>;

const NONE = { empty: 0, too_long: 0 };

type Tokenization = Cache["tokenization"];

/** Return the columns that a model's caches hold of a dataset, captured in the same way. */
export function storedColumns(
  caches: readonly Cache[],
  extractions: Readonly<Record<string, Extraction>>,
  modelId: string,
  dataset: Dataset,
  expected: Expected,
  samples: number | null,
): Stored {
  const same = caches
    .filter(
      (cache) =>
        cache.model_id === modelId &&
        cache.dataset_id === dataset.id &&
        cache.dtype === expected.dtype &&
        alike(cache.tokenization, expected.tokenization),
    )
    .sort((a, b) => b.created_at.localeCompare(a.created_at));
  // One recipe has one store: an older one is of weights that the model had before.
  const store = same[0]?.store_key;
  const wanted = Math.min(samples ?? Number.POSITIVE_INFINITY, dataset.sample_count ?? 0);
  const found = new Map<string, Extent>();
  for (const cache of same) {
    if (cache.store_key !== store) continue;
    const { empty, too_long } = extractions[cache.extraction_id ?? ""]?.skipped ?? NONE;
    const extent = cache.sample_count + empty + too_long >= wanted ? "all" : "some";
    for (const name of cache.hook_points) {
      if (found.get(name) !== "all") found.set(name, extent);
    }
  }
  return found;
}

function alike(a: Tokenization, b: Tokenization): boolean {
  return (
    a.column === b.column &&
    a.add_special_tokens === b.add_special_tokens &&
    a.max_length === b.max_length &&
    a.truncate === b.truncate &&
    a.stride === b.stride
  );
}

/** How much of what is chosen is stored: of a kind in the chosen layers, or of a layer. */
export interface Share {
  extent: Extent;
  /** "in layers 0, 6", "of fewer samples", or empty where it is all there. */
  where: string;
}

/** Return how much of a kind is stored in these layers; null for nothing. */
export function shareOfKind(kind: Kind, layers: readonly number[], stored: Stored): Share | null {
  const names = namesOf([kind], layers);
  const there = names.filter((name) => stored.has(name));
  if (!there.length) return null;
  if (there.length < names.length) {
    return { extent: "some", where: `in layers ${there.map(layerOf).join(", ")}` };
  }
  const whole = names.every((name) => stored.get(name) === "all");
  return whole ? { extent: "all", where: "" } : { extent: "some", where: "of fewer samples" };
}

/** Return how much of these kinds is stored in one layer; null for nothing. */
export function shareOfLayer(layer: number, kinds: readonly Kind[], stored: Stored): Share | null {
  const names = namesOf(
    inOrder(kinds).filter((kind) => kind !== "embed" && kind !== "final_norm"),
    [layer],
  );
  const there = names.filter((name) => stored.has(name));
  if (!there.length) return null;
  const whole = names.every((name) => stored.get(name) === "all");
  return { extent: whole ? "all" : "some", where: "" };
}

function layerOf(name: string): string {
  return name.split(".")[1] ?? name;
}
