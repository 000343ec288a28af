/** Estimates as the gateway sends them, of which a test states only what it is about. */
import type { Quantization, Schemas } from "@/api/types";
import type { FormatEstimate } from "@/ui/fit";
import { formatEstimate } from "./rows";

export function told(
  quantization: Quantization,
  change: Partial<FormatEstimate> = {},
): FormatEstimate {
  return formatEstimate({ quantization, download_bytes: 548e6, ...change });
}

export function estimate(change: Partial<Schemas["Estimate"]> = {}): Schemas["Estimate"] {
  return {
    model_id: null,
    model_identifier: "openai-community/gpt2",
    model_type: "gpt2",
    num_layers: 12,
    parameter_count: 124_439_808,
    device_id: "dev_1",
    budget_bytes: 6e9,
    used_bytes: 0,
    free_bytes: null,
    formats: (["none", "fp16", "bf16", "int8", "int4"] as const).map((each) => told(each)),
    recommended: "none",
    message: "Choose none.",
    ...change,
  };
}
