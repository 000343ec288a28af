/** Rows as the gateway sends them, of which a test states only what it is about. */
import type { Cache, Dataset, Device, Extraction, ModelSummary, Schemas } from "@/api/types";

const AT = "2026-01-01T00:00:00Z";

export function model(change: Partial<ModelSummary> = {}): ModelSummary {
  return {
    id: "m_gpt2_1",
    name: "GPT-2",
    model_type: "gpt2",
    architecture: "GPT2LMHeadModel",
    source: "huggingface",
    model_identifier: "openai-community/gpt2",
    revision: null,
    quantization: "none",
    quantization_options: { int4_type: "nf4", double_quant: true },
    pinned: false,
    keep_alive_seconds: null,
    offload: false,
    status: "pending",
    stage: null,
    progress: 0,
    parameter_count: 124_439_808,
    hidden_size: 768,
    num_layers: 12,
    vocab_size: 50_257,
    context_length: 1024,
    memory_usage_bytes: null,
    disk_bytes: null,
    load_time_seconds: null,
    dtype: "float32",
    fingerprint: null,
    task_id: null,
    error: null,
    created_at: AT,
    loaded_at: null,
    last_used_at: null,
    updated_at: AT,
    ...change,
  };
}

export function dataset(change: Partial<Dataset> = {}): Dataset {
  return {
    id: "ds_prose_1",
    name: "prose",
    source: "upload",
    identifier: "prose.jsonl",
    format: "jsonl",
    status: "ready",
    fingerprint: "0123456789abcdef",
    sample_count: 512,
    file_size_bytes: 48_000,
    columns: { text: "text" },
    text_column: "text",
    preview: [{ text: "The first sample." }],
    error: null,
    created_at: AT,
    updated_at: AT,
    ...change,
  };
}

export function extraction(change: Partial<Extraction> = {}): Extraction {
  return {
    extraction_id: "ext_1",
    model_id: "m_gpt2_1",
    dataset_id: "ds_prose_1",
    status: "queued",
    progress: 0,
    layer_indices: [0, 6, 11],
    hook_points: ["layers.0.resid_post", "layers.6.resid_post", "layers.11.resid_post"],
    dtype: "float32",
    tokenization: {
      column: "text",
      add_special_tokens: true,
      max_length: null,
      truncate: false,
      stride: null,
    },
    samples_processed: 0,
    total_samples: null,
    total_tokens: null,
    skipped: { empty: 0, too_long: 0 },
    cached: false,
    cache_id: null,
    storage_path: null,
    file_size_bytes: null,
    activation_shape: null,
    extraction_time_seconds: null,
    seconds_left: null,
    error: null,
    created_at: AT,
    started_at: null,
    completed_at: null,
    updated_at: AT,
    ...change,
  };
}

export function cache(change: Partial<Cache> = {}): Cache {
  return {
    id: "act_1",
    model_id: "m_gpt2_1",
    dataset_id: "ds_prose_1",
    extraction_id: "ext_1",
    status: "ready",
    store_key: "0123456789abcdef",
    storage_path: "activations/0123456789abcdef",
    dtype: "float32",
    tokenization: extraction().tokenization,
    rows_considered: 512,
    sample_count: 512,
    token_count: 12_780,
    layer_indices: [0, 6, 11],
    hook_points: extraction().hook_points,
    activation_shape: [12_780, 768],
    file_size_bytes: 117_780_480,
    extraction_time_seconds: 12.5,
    columns: [],
    created_at: AT,
    last_accessed_at: AT,
    ...change,
  };
}

export function device(change: Partial<Device> = {}): Device {
  return {
    id: "dev_1",
    pool: "default",
    kind: "cpu",
    name: "CPU",
    online: true,
    memory_total_bytes: 24e9,
    memory_budget_bytes: 6e9,
    memory_used_bytes: 0,
    memory_free_bytes: 20e9,
    unavailable_formats: {},
    resident_models: [],
    store_bytes: 0,
    store_free_bytes: 100e9,
    started_at: AT,
    last_seen_at: AT,
    ...change,
  };
}

export function formatEstimate(
  change: Partial<Schemas["FormatEstimate"]> = {},
): Schemas["FormatEstimate"] {
  return {
    quantization: "none",
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
    download_bytes: null,
    disk_bytes: 548e6,
    unavailable: null,
    offload: null,
    ...change,
  };
}
