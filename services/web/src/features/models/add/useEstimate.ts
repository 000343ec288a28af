import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import { type ApiError, asApiError } from "@/api/errors";
import type { Schemas } from "@/api/types";

type Asked = Schemas["EstimateCheckpoint"];

export interface Reckoned {
  estimate: Schemas["Estimate"] | null;
  error: ApiError | null;
  /** Whether an answer is on its way, or will be asked for in a moment. */
  busy: boolean;
  again: () => void;
}

const PAUSE_MS = 350;

/** Ask whether a checkpoint fits, once its typing pauses; null asks nothing. */
export function useEstimate(asked: Asked | null): Reckoned {
  const wanted = asked && JSON.stringify(asked);
  const [settled] = useDebouncedValue(wanted, PAUSE_MS);
  // Whoever types on waits for no answer any more: without a reader its request is aborted.
  const key = wanted === settled ? settled : null;
  const query = useQuery({
    queryKey: ["checkpoint-estimate", key],
    queryFn: ({ signal }) => {
      const body = JSON.parse(key ?? "") as Asked;
      return unwrap(api.POST("/api/estimates", { body, signal }));
    },
    enabled: key !== null,
    // What else is in memory changes while one looks.
    staleTime: 5000,
    retry: (failures, error) => failures < 1 && asApiError(error).status >= 500,
  });
  return {
    estimate: query.data ?? null,
    error: key !== null && query.error ? asApiError(query.error) : null,
    busy: wanted !== null && (wanted !== settled || query.isFetching) && !query.data,
    again: () => void query.refetch(),
  };
}
