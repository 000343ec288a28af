/** What an estimate says of a format, in words. */
import { useShallow } from "zustand/react/shallow";
import { useEntities } from "@/state/entities";
import type { FormatEstimate } from "@/ui/fit";
import { bytes, count } from "@/ui/format";

/** Return the names of models; of one that is not known its id. */
export function useModelNames(ids: readonly string[]): string[] {
  return useEntities(useShallow((state) => ids.map((id) => state.models[id]?.name ?? id)));
}

/** Return the largest batch that runs beside it, in words. */
export function batchWords({ batch_size, sequence_length }: FormatEstimate): string {
  return batch_size
    ? `batches of up to ${count(batch_size)} × ${count(sequence_length)} tokens`
    : "no batch fits beside it";
}

/** Return what it costs to fetch and to keep. */
export function diskWords({ download_bytes, disk_bytes }: FormatEstimate): string {
  const kept = `${bytes(disk_bytes)} on disk`;
  return download_bytes ? `${bytes(download_bytes)} to download, ${kept}` : kept;
}
