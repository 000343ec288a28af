/** What of a model can be changed, and what a change of it asks for. */
import type { ModelSummary, Quantization, Schemas } from "@/api/types";

export interface Configured {
  name: string;
  quantization: Quantization;
  int4Type: Schemas["Int4Type"];
  doubleQuant: boolean;
  pinned: boolean;
  keepAliveSeconds: number | null;
  offload: boolean;
}

/** Return how a model is configured. */
export function configuredOf(model: ModelSummary): Configured {
  return {
    name: model.name,
    quantization: model.quantization,
    int4Type: model.quantization_options.int4_type,
    doubleQuant: model.quantization_options.double_quant,
    pinned: model.pinned,
    keepAliveSeconds: model.keep_alive_seconds,
    offload: model.offload,
  };
}

/** Return what of the edits differs from how a model is. */
export function changesOf(edits: Partial<Configured>, model: ModelSummary): Partial<Configured> {
  const now = configuredOf(model);
  const keys = Object.keys(edits) as (keyof Configured)[];
  return Object.fromEntries(
    keys.filter((key) => edits[key] !== now[key]).map((key) => [key, edits[key]]),
  );
}

/** Return the request that changes these, of a model that is configured so after it. */
export function updateOf(changes: Partial<Configured>, after: Configured): Schemas["UpdateModel"] {
  const { name, quantization, int4Type, doubleQuant, pinned, keepAliveSeconds, offload } = changes;
  const ofFormat = int4Type !== undefined || doubleQuant !== undefined;
  return {
    ...(name === undefined ? {} : { name }),
    ...(quantization === undefined ? {} : { quantization }),
    ...(ofFormat
      ? { quantization_options: { int4_type: after.int4Type, double_quant: after.doubleQuant } }
      : {}),
    ...(pinned === undefined ? {} : { pinned }),
    ...(keepAliveSeconds === undefined ? {} : { keep_alive_seconds: keepAliveSeconds }),
    ...(offload === undefined ? {} : { offload }),
  };
}

/** Whether two rows of a model are configured alike, whatever else happened between them. */
export function alike(a: ModelSummary, b: ModelSummary): boolean {
  return JSON.stringify(configuredOf(a)) === JSON.stringify(configuredOf(b));
}
