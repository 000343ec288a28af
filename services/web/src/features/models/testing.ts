/** Estimates as the gateway sends them, of which a test states only what it is about. */
import type { Quantization, Schemas } from "@/api/types";
import type { FormatEstimate } from "./fits";

export function told(
  quantization: Quantization,
  change: Partial<FormatEstimate> = {},
): FormatEstimate {
  return {
    quantization,
    total_bytes: 1e9,
    parts: {
      weights_bytes: 1e9,
      quantization_state_bytes: 0,
      activations_bytes: 0,
      captured_bytes: 0,
      workspace_bytes: 0,
      slack_bytes: 0,
    },
    fit: "now",
    evict: [],
    held_by: [],
    batch_size: 32,
    sequence_length: 1024,
    download_bytes: 548e6,
    disk_bytes: 548e6,
    unavailable: null,
    offload: null,
    ...change,
  };
}

export function estimate(change: Partial<Schemas["Estimate"]> = {}): Schemas["Estimate"] {
  return {
    model_id: null,
    model_identifier: "openai-community/gpt2",
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
