import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import { type ApiError, asApiError } from "@/api/errors";
import type { Schemas } from "@/api/types";
import type { Capture } from "@/state/extractions";

const WAIT_MS = 350;
/** The disk fills and caches come meanwhile. */
const FRESH_MS = 20_000;

export interface Estimated {
  estimate: Schemas["ExtractionEstimate"] | null;
  error: ApiError | null;
  /** What is shown is of an earlier choice, or of none. */
  busy: boolean;
}

/**
 * Ask what an extraction would take, a moment after it was last changed.
 *
 * @param capture null while there is nothing to ask for
 * @param stored anything that changes when the store does
 */
export function useEstimate(modelId: string, capture: Capture | null, stored: string): Estimated {
  const now = capture ? JSON.stringify(capture) : null;
  const [asked] = useDebouncedValue(now, WAIT_MS);
  const { data, error, isFetching } = useQuery({
    queryKey: ["extraction-estimate", modelId, asked, stored],
    queryFn: ({ signal }) =>
      unwrap(
        api.POST("/api/models/{model_id}/extract-activations/estimate", {
          params: { path: { model_id: modelId } },
          body: JSON.parse(asked as string) as Capture,
          signal,
        }),
      ),
    enabled: asked !== null,
    placeholderData: keepPreviousData,
    staleTime: FRESH_MS,
    retry: false,
  });
  const settled = now === asked;
  return {
    estimate: now && !error ? (data ?? null) : null,
    error: now && settled && error ? asApiError(error) : null,
    busy: now !== null && (isFetching || !settled),
  };
}
