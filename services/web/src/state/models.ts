/** What can be done with models. */
import { api, once, unwrap } from "@/api/client";
import { type ApiError, asApiError } from "@/api/errors";
import type { Model, ModelSummary, Schemas } from "@/api/types";
import { deleting } from "./deleting";
import { put, useEntities } from "./entities";
import { fetchOne } from "./fetching";
import { optimistically } from "./optimism";
import { tellError } from "./toasts";

const at = (model_id: string) => ({ params: { path: { model_id } } });

/** Return what a model is called as of now; one that is not known by its id. */
export function nameOf(id: string): string {
  return useEntities.getState().models[id]?.name ?? id;
}

/**
 * Register a model.
 *
 * @throws ApiError as the gateway answers; a form shows it beside the field it names
 */
export async function addModel(body: Schemas["RegisterModel"]): Promise<Model> {
  const model = await unwrap(api.POST("/api/models", { body, params: { header: once() } }));
  put("models", [model]);
  return model;
}

/** Load a model; its card says so at once. */
export function loadModel(id: string, body: Schemas["LoadModel"] = {}): Promise<unknown> {
  return optimistically(
    "models",
    id,
    { status: "loading", stage: "resolving", progress: 0, error: null },
    "The model could not be loaded",
    () =>
      unwrap(
        api.POST("/api/models/{model_id}/load", {
          params: { path: { model_id: id }, header: once() },
          body,
        }),
      ),
  );
}

/** Unload a model; its card says so at once. */
export function unloadModel(id: string): Promise<unknown> {
  return optimistically(
    "models",
    id,
    { status: "unloaded", pinned: false },
    "The model could not be unloaded",
    () =>
      unwrap(
        api.POST("/api/models/{model_id}/unload", {
          params: { path: { model_id: id }, header: once() },
        }),
      ),
  );
}

/** Cancel a load. What it comes to, the events tell. */
export async function cancelLoad(id: string): Promise<void> {
  try {
    await unwrap(
      api.POST("/api/models/{model_id}/load/cancel", {
        params: { path: { model_id: id }, header: once() },
      }),
    );
    await fetchOne("models", id);
  } catch (thrown) {
    tellError("The load could not be cancelled", asApiError(thrown));
  }
}

/** Pin a model, or let it be evicted again. */
export async function pinModel(id: string, pinned: boolean): Promise<void> {
  const title = "The model could not be changed";
  const row = await optimistically("models", id, { pinned }, title, () =>
    unwrap(api.PATCH("/api/models/{model_id}", { ...at(id), body: { pinned } })),
  );
  // No event tells of it, and the next change names the version that this one made.
  if (row) put("models", [row]);
}

/**
 * Change how a model is loaded next.
 *
 * @param seen the row that the change was made on: whoever changed it meanwhile is not overwritten
 * @throws ApiError as the gateway answers, 412 when it was changed meanwhile
 */
export async function updateModel(
  seen: ModelSummary,
  body: Schemas["UpdateModel"],
): Promise<Model> {
  const model = await unwrap(
    api.PATCH("/api/models/{model_id}", {
      params: { path: { model_id: seen.id }, header: { "If-Match": etagOf(seen) } },
      body,
    }),
  );
  put("models", [model]);
  return model;
}

/**
 * Delete a model and its caches.
 *
 * @returns the error, where it could not be
 */
export function deleteModel(id: string): Promise<ApiError | null> {
  return deleting("models", id, () => unwrap(api.DELETE("/api/models/{model_id}", at(id))));
}

/** Return the entity tag that the gateway gives a row: its last change, to the microsecond. */
function etagOf({ updated_at }: ModelSummary): string {
  const [seconds = "", fraction = ""] = updated_at.replace("Z", "").split(".");
  return `"${seconds}.${fraction.padEnd(6, "0")}Z"`;
}
