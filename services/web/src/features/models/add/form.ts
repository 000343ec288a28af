/** The form that adds a model: its values, and the request they make. */
import type { ApiError } from "@/api/errors";
import type { Quantization, Schemas } from "@/api/types";
import type { FormatEstimate } from "@/ui/fit";
import { nameOf, problemOf } from "./identifier";

export interface Values {
  source: Schemas["Source"];
  model_identifier: string;
  /** Empty takes the last part of the identifier. */
  name: string;
  revision: string;
  /** Null takes what is recommended. */
  quantization: Quantization | null;
  int4_type: Schemas["Int4Type"];
  double_quant: boolean;
  pinned: boolean;
  keep_alive_minutes: number | "";
  offload: boolean;
  auto_load: boolean;
}

export const EMPTY: Values = {
  source: "huggingface",
  model_identifier: "",
  name: "",
  revision: "",
  quantization: null,
  int4_type: "nf4",
  double_quant: true,
  pinned: false,
  keep_alive_minutes: "",
  offload: false,
  auto_load: true,
};

/** Return what to ask an estimate for, or null where nothing can be asked yet. */
export function estimateOf(values: Values): Schemas["EstimateCheckpoint"] | null {
  const identifier = values.model_identifier.trim();
  if (problemOf(values.source, identifier)) return null;
  return {
    source: values.source,
    model_identifier: identifier,
    revision: revisionOf(values),
    quantization_options: optionsOf(values),
  };
}

/** Return the request. */
export function registrationOf(
  values: Values,
  quantization: Quantization,
  told: FormatEstimate | undefined,
): Schemas["RegisterModel"] {
  const identifier = values.model_identifier.trim();
  const minutes = values.keep_alive_minutes;
  return {
    name: values.name.trim() || nameOf(identifier),
    source: values.source,
    model_identifier: identifier,
    revision: revisionOf(values),
    quantization,
    quantization_options: optionsOf(values),
    pinned: values.pinned,
    keep_alive_seconds: minutes === "" ? null : minutes * 60,
    offload: offloads(values, told),
    auto_load: values.auto_load && canLoad(values, told),
  };
}

/** Whether some blocks shall stay on the disk; only where that is offered. */
export function offloads(values: Values, told: FormatEstimate | undefined): boolean {
  return values.offload && Boolean(told?.offload);
}

/** Whether a load may succeed; without an estimate it may. */
export function canLoad(values: Values, told: FormatEstimate | undefined): boolean {
  if (!told) return true;
  return told.unavailable === null && (told.fit !== "never" || offloads(values, told));
}

const FIELDS: Record<string, keyof Values> = {
  source: "source",
  model_identifier: "model_identifier",
  name: "name",
  revision: "revision",
  quantization: "quantization",
  quantization_options: "quantization",
  pinned: "pinned",
  keep_alive_seconds: "keep_alive_minutes",
  offload: "offload",
  auto_load: "auto_load",
};

/** Return the field that an error is shown beside, or null where it is about none of them. */
export function fieldOf(error: ApiError): keyof Values | null {
  const first = error.field?.split(".")[0];
  return (first && FIELDS[first]) || null;
}

/** Return an error as one sentence after the other: what is wrong, and what to do. */
export function sentence(error: ApiError): string {
  return error.remedy ? `${error.message} ${error.remedy}` : error.message;
}

function revisionOf({ source, revision }: Values): string | null {
  return source === "huggingface" ? revision.trim() || null : null;
}

function optionsOf({ int4_type, double_quant }: Values): Schemas["FormatOptions"] {
  return { int4_type, double_quant };
}
