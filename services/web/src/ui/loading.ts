/** What a loading model tells, in words. */
import type { LoadProgress, Schemas } from "@/api/types";
import { bytes, duration } from "./format";

const STAGES: Record<Schemas["LoadStage"], string> = {
  resolving: "Looking it up",
  downloading: "Downloading",
  verifying: "Verifying",
  quantizing: "Quantising",
  placing: "Placing in memory",
};

/** What a load is doing; without a stage it waits. */
export function stageWords(stage: Schemas["LoadStage"] | null): string {
  return stage ? STAGES[stage] : "Waiting for its turn";
}

/** "35.0 MB of 118 MB · 12.0 MB/s · 7 s left", as far as it is known. */
export function loadFigures({
  bytes_done,
  bytes_total,
  bytes_per_second,
  seconds_left,
}: LoadProgress): string {
  const parts = [
    bytes_done != null && bytes_total != null && `${bytes(bytes_done)} of ${bytes(bytes_total)}`,
    bytes_per_second != null && `${bytes(bytes_per_second)}/s`,
    seconds_left != null && `${duration(seconds_left)} left`,
  ];
  return parts.filter(Boolean).join(" · ");
}
