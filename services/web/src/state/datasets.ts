/** What can be done with datasets. */
import { api, once, unwrap } from "@/api/client";
import type { ApiError } from "@/api/errors";
import type { Dataset, Schemas } from "@/api/types";
import { deleting } from "./deleting";
import { put } from "./entities";

/**
 * Register a dataset of the service's machine or of the hub; reading it begins at once.
 *
 * @throws ApiError as the gateway answers; a form shows it beside the field it names
 */
export async function registerDataset(body: Schemas["RegisterDataset"]): Promise<Dataset> {
  const dataset = await unwrap(api.POST("/api/datasets", { body, params: { header: once() } }));
  put("datasets", [dataset]);
  return dataset;
}

/**
 * Delete a dataset; caches made from it stay.
 *
 * @returns the error, where it could not be
 */
export function deleteDataset(id: string): Promise<ApiError | null> {
  return deleting("datasets", id, () =>
    unwrap(api.DELETE("/api/datasets/{dataset_id}", { params: { path: { dataset_id: id } } })),
  );
}

/**
 * Read a dataset with its first rows, which lists leave out.
 *
 * @throws ApiError as the gateway answers
 */
export function readDataset(id: string): Promise<Dataset> {
  return unwrap(api.GET("/api/datasets/{dataset_id}", { params: { path: { dataset_id: id } } }));
}

/**
 * Ask how long a dataset's rows are in a model's tokens.
 *
 * @param column the one to count in; null for the dataset's own
 * @throws ApiError as the gateway answers
 */
export function countTokens(
  modelId: string,
  datasetId: string,
  column: string | null,
): Promise<Schemas["TokenLengths"]> {
  const query = { dataset_id: datasetId, ...(column === null ? {} : { column }) };
  return unwrap(
    api.GET("/api/models/{model_id}/token-lengths", {
      params: { path: { model_id: modelId }, query },
    }),
  );
}
