import type { LoadProgress, ModelSummary, Schemas } from "@/api/types";
import { useEntities } from "@/state/entities";
import { bytes, duration } from "@/ui/format";
import { ProgressLine } from "@/ui/ProgressLine";

const STAGES: Record<Schemas["LoadStage"], string> = {
  resolving: "Looking it up",
  downloading: "Downloading",
  verifying: "Verifying",
  quantizing: "Quantising",
  placing: "Placing in memory",
};

/** How far a load is: its stage, and as far as it is known how much, how fast, how long still. */
export function Loading({ model }: { model: ModelSummary }) {
  const load = useEntities((state) => state.loads[model.id]);
  const stage = model.stage ? STAGES[model.stage] : "Waiting for its turn";
  return (
    <ProgressLine
      value={model.progress}
      label={load?.retry ? `${stage}, retry ${load.retry}` : stage}
      detail={load ? figures(load) || load.message : null}
    />
  );
}

function figures({
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
