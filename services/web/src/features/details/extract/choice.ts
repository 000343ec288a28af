/** What is chosen in the form of an extraction, and what it comes to. */
import type { Dataset, ModelSummary, Schemas } from "@/api/types";
import type { Capture, Expected } from "@/state/extractions";
import { inOrder, isOutside, type Kind, namesOf } from "./hooks";
import { readLayers } from "./layers";

export type Dtype = Schemas["Dtype"];

/** What becomes of samples that are longer than they may be. */
export type Longer = "skip" | "truncate" | "windows";

export interface Choice {
  datasetId: string | null;
  kinds: readonly Kind[];
  /** As it is written: 0-5,11. */
  layers: string;
  samples: number | null;
  dtype: Dtype | null;
  batchSize: number | null;
  column: string | null;
  maxLength: number | null;
  longer: Longer;
  /** Of windows; null until it is written. */
  stride: number | null;
  specialTokens: boolean;
}

/** Return what a form begins with: the stream after the first, the middle and the last block. */
export function firstChoice(numLayers: number): Choice {
  const layers = [...new Set([0, Math.floor(numLayers / 2), numLayers - 1])];
  return {
    datasetId: null,
    kinds: ["resid_post"],
    layers: layers.join(","),
    samples: null,
    dtype: null,
    batchSize: null,
    column: null,
    maxLength: null,
    longer: "skip",
    stride: null,
    specialTokens: true,
  };
}

/** Return the layers of a choice; none where what is written cannot be read. */
export function layersOf(choice: Choice, numLayers: number): readonly number[] {
  return readLayers(choice.layers, numLayers).layers ?? [];
}

/** Return the names of the hook points that are chosen. */
export function columnsOf(choice: Choice, numLayers: number): string[] {
  return namesOf(choice.kinds, layersOf(choice, numLayers));
}

/** Return the request that a choice means; null while it names no dataset or no hook point. */
export function captureOf(choice: Choice, numLayers: number): Capture | null {
  if (!choice.datasetId || !columnsOf(choice, numLayers).length) return null;
  if (readLayers(choice.layers, numLayers).error) return null;
  if (choice.longer === "windows" && !choice.stride) return null;
  const inside = inOrder(choice.kinds).filter((kind) => !isOutside(kind));
  const outside = inOrder(choice.kinds).filter(isOutside);
  const tokenization = tokenizationOf(choice);
  return {
    dataset_id: choice.datasetId,
    ...(inside.length && choice.layers.trim()
      ? { layer_indices: choice.layers.trim(), hook_kinds: inside }
      : {}),
    ...(outside.length ? { hook_points: outside } : {}),
    ...(choice.samples ? { sample_count: choice.samples } : {}),
    ...(choice.dtype ? { dtype: choice.dtype } : {}),
    ...(choice.batchSize ? { batch_size: choice.batchSize } : {}),
    ...(Object.keys(tokenization).length ? { tokenization } : {}),
  } as Capture;
}

function tokenizationOf(choice: Choice): Partial<Schemas["TokenizationOptions"]> {
  return {
    ...(choice.column ? { column: choice.column } : {}),
    ...(choice.specialTokens ? {} : { add_special_tokens: false }),
    ...(choice.maxLength ? { max_length: choice.maxLength } : {}),
    ...(choice.longer === "truncate" ? { truncate: true } : {}),
    ...(choice.longer === "windows" && choice.stride ? { stride: choice.stride } : {}),
  };
}

/** Return what the gateway will make of a choice, as far as the rows tell. */
export function expectedOf(choice: Choice, model: ModelSummary, dataset: Dataset): Expected {
  const numLayers = model.num_layers ?? 0;
  const inside = choice.kinds.some((kind) => !isOutside(kind));
  return {
    layer_indices: inside ? [...layersOf(choice, numLayers)] : [],
    hook_points: columnsOf(choice, numLayers),
    dtype: choice.dtype ?? model.dtype ?? "float32",
    tokenization: {
      column: choice.column ?? columnOf(dataset),
      add_special_tokens: choice.specialTokens,
      max_length: choice.maxLength ?? model.context_length,
      truncate: choice.longer === "truncate",
      stride: choice.longer === "windows" ? choice.stride : null,
    },
  };
}

/** Return the columns of a dataset that can be tokenised. */
export function usableColumns(dataset: Dataset): string[] {
  return Object.entries(dataset.columns)
    .filter(([, kind]) => kind === "text" || kind === "tokens")
    .map(([name]) => name);
}

/** Return the column that is taken when none is named. */
export function columnOf(dataset: Dataset): string | null {
  const usable = usableColumns(dataset);
  return dataset.text_column ?? (usable.length === 1 ? (usable[0] ?? null) : null);
}
