/** What an estimate says of a format, in words. */
import { useShallow } from "zustand/react/shallow";
import type { Schemas } from "@/api/types";
import { useEntities } from "@/state/entities";
import { FIT_WORDS } from "@/ui/fit";
import { bytes, count } from "@/ui/format";

export type FormatEstimate = Schemas["FormatEstimate"];

const COLORS: Record<Schemas["Fit"], string> = {
  now: "teal",
  after_eviction: "yellow",
  never: "red",
};

/** Return the colour of the verdict, to fill with. */
export function fitColor({ fit, unavailable }: FormatEstimate): string {
  return unavailable ? "gray" : COLORS[fit];
}

const INKS: Record<Schemas["Fit"], string> = {
  now: "light-dark(var(--mantine-color-teal-9), var(--mantine-color-teal-4))",
  // The theme's yellows are too light for words on white.
  after_eviction: "light-dark(#8f5600, var(--mantine-color-yellow-4))",
  never: "light-dark(var(--mantine-color-red-9), var(--mantine-color-red-4))",
};

/** Return the colour of the verdict, to write with. */
export function fitInk({ fit, unavailable }: FormatEstimate): string {
  return unavailable ? "dimmed" : INKS[fit];
}

/** Return the names of models; of one that is not known its id. */
export function useModelNames(ids: readonly string[]): string[] {
  return useEntities(useShallow((state) => ids.map((id) => state.models[id]?.name ?? id)));
}

/** Return the verdict in two or three words. */
export function fitWord({ fit, unavailable }: FormatEstimate): string {
  return unavailable ? "not available here" : FIT_WORDS[fit];
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

/** Return names as a sentence has them: "A, B and C". */
export function listed(names: readonly string[]): string {
  return new Intl.ListFormat("en").format(names);
}
