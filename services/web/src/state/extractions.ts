/** What can be done with extractions. */
import { api, idempotencyKey, once, unwrap } from "@/api/client";
import type { Extraction, Schemas } from "@/api/types";
import { patch, put, remove } from "./entities";
import { fetchOne } from "./fetching";
import { optimistically } from "./optimism";

/** What to capture. */
export type Capture = Extract<Schemas["ExtractActivations"], { dataset_id: string }>;

/** What a request is taken to mean until the gateway says so. */
export type Expected = Pick<Extraction, "layer_indices" | "hook_points" | "dtype" | "tokenization">;

/** Whether an extraction still waits or works. */
export function underWay({ status }: Extraction): boolean {
  return status === "queued" || status === "extracting";
}

/**
 * Ask for activations; they stand in the list as queued at once, and leave it when refused.
 *
 * @throws ApiError as the gateway answers; a form shows it beside the field it names
 */
export async function requestExtraction(
  modelId: string,
  body: Capture,
  expected: Expected,
): Promise<Schemas["ExtractionAccepted"]> {
  const id = `ext_${idempotencyKey().replaceAll("-", "")}`;
  put("extractions", [queued(id, modelId, body.dataset_id, expected)]);
  try {
    const accepted = await unwrap(
      api.POST("/api/models/{model_id}/extract-activations", {
        params: { path: { model_id: modelId }, header: once() },
        body: { ...body, extraction_id: id },
      }),
    );
    const { status, cached, cache_id } = accepted;
    if (cached) patch("extractions", id, { status, cached, cache_id, progress: 100 });
    void fetchOne("extractions", id);
    if (cache_id) void fetchOne("caches", cache_id);
    return accepted;
  } catch (thrown) {
    remove("extractions", [id]);
    throw thrown;
  }
}

/** Cancel an extraction; its row says so at once. */
export async function cancelExtraction(id: string): Promise<void> {
  const row = await optimistically(
    "extractions",
    id,
    { status: "cancelled", seconds_left: null },
    "The extraction could not be cancelled",
    () =>
      unwrap(
        api.POST("/api/extractions/{extraction_id}/cancel", {
          params: { path: { extraction_id: id }, header: once() },
        }),
      ),
  );
  if (row) put("extractions", [row]);
}

function queued(
  extraction_id: string,
  model_id: string,
  dataset_id: string,
  expected: Expected,
): Extraction {
  const now = new Date().toISOString();
  return {
    ...expected,
    extraction_id,
    model_id,
    dataset_id,
    status: "queued",
    progress: 0,
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
    created_at: now,
    started_at: null,
    completed_at: null,
    updated_at: now,
  };
}
