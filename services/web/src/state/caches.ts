/** What can be done with caches of activations, and looked up in them. */
import { api, unwrap } from "@/api/client";
import type { ApiError } from "@/api/errors";
import type { Cache, Schemas } from "@/api/types";
import { deleting } from "./deleting";

const at = (cache_id: string) => ({ params: { path: { cache_id } } });

/**
 * Delete a cache, and those of its columns that no other cache shows.
 *
 * @returns the error, where it could not be
 */
export function deleteCache(id: string): Promise<ApiError | null> {
  return deleting("caches", id, () => unwrap(api.DELETE("/api/activations/{cache_id}", at(id))));
}

/**
 * Read a cache with the statistics of its columns, which lists leave out.
 *
 * @throws ApiError as the gateway answers
 */
export function readCache(id: string): Promise<Cache> {
  return unwrap(api.GET("/api/activations/{cache_id}", at(id)));
}

/** Read mean norms by hook point and position. */
export function readNorms(id: string): Promise<Schemas["Norms"]> {
  return unwrap(api.GET("/api/activations/{cache_id}/norms", at(id)));
}

/** Read a number for each token of some samples. */
export function readHeatMap(
  id: string,
  body: Schemas["ShowHeatMap"],
  signal: AbortSignal,
): Promise<Schemas["HeatMap"]> {
  return unwrap(api.POST("/api/activations/{cache_id}/heat-map", { ...at(id), body, signal }));
}

/** Find the tokens where a number is largest, or least. */
export function findTopTokens(
  id: string,
  body: Schemas["FindTopTokens"],
  signal: AbortSignal,
): Promise<Schemas["TopTokens"]> {
  return unwrap(api.POST("/api/activations/{cache_id}/top-tokens", { ...at(id), body, signal }));
}

/** Ask for an address that downloads a cache's store as one archive, for a while. */
export function linkDownload(id: string): Promise<Schemas["DownloadLink"]> {
  return unwrap(api.POST("/api/activations/{cache_id}/download-link", at(id)));
}

/** What reading a cache's files has found, so far. */
export interface Verified {
  files: number;
  bytes: number;
  totalFiles: number;
  totalBytes: number;
  damaged: readonly Schemas["DamagedFile"][];
  remedy: string | null;
}

/**
 * Have a cache's files read where they lie and compared with what was written, some at a time.
 *
 * @param onStep told what has been found after each time
 * @param signal ends it
 * @throws ApiError as the gateway answers
 */
export async function verifyCache(
  id: string,
  onStep: (found: Verified) => void,
  signal: AbortSignal,
): Promise<void> {
  let found: Verified = NOTHING;
  let after: string | null = null;
  do {
    const query: { after?: string } = after === null ? {} : { after };
    const step: Schemas["StoreVerification"] = await unwrap(
      api.POST("/api/activations/{cache_id}/verify", {
        params: { path: { cache_id: id }, query },
        signal,
      }),
    );
    found = {
      files: found.files + step.verified_files,
      bytes: found.bytes + step.verified_bytes,
      totalFiles: step.total_files,
      totalBytes: step.total_bytes,
      damaged: [...found.damaged, ...step.damaged],
      remedy: found.remedy ?? step.remedy,
    };
    onStep(found);
    after = step.next;
  } while (after !== null);
}

const NOTHING: Verified = {
  files: 0,
  bytes: 0,
  totalFiles: 0,
  totalBytes: 0,
  damaged: [],
  remedy: null,
};
