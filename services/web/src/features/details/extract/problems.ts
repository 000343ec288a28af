/** Which errors stand beside an input, and which beside none. */
import type { ApiError } from "@/api/errors";

/** The inputs of the form, as the contract names them. */
const FIELDS = [
  "dataset_id",
  "layer_indices",
  "hook_kinds",
  "hook_points",
  "sample_count",
  "dtype",
  "batch_size",
  "tokenization.column",
  "tokenization.max_length",
  "tokenization.truncate",
  "tokenization.stride",
  "tokenization",
] as const;

export type Field = (typeof FIELDS)[number];
export type Problems = Partial<Record<Field, string>>;

/** Return the input that an error is about; null where the form has none for it. */
export function fieldOf(error: ApiError): Field | null {
  const { field } = error;
  if (!field) return null;
  return FIELDS.find((name) => field === name || field.startsWith(`${name}.`)) ?? null;
}

/** Return what to write beside which input: what is wrong, and what to do about it. */
export function problemsOf(error: ApiError | null): Problems {
  const field = error && fieldOf(error);
  if (!field) return {};
  return { [field]: [error.message, error.remedy].filter(Boolean).join(" ") };
}

/** Whether an error is about how text becomes tokens. */
export function ofTokenisation(problems: Problems): boolean {
  return Object.keys(problems).some((field) => field.startsWith("tokenization"));
}
