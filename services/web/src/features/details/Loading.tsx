import type { ModelSummary } from "@/api/types";
import { useEntities } from "@/state/entities";
import { loadFigures, stageWords } from "@/ui/loading";
import { ProgressLine } from "@/ui/ProgressLine";

/** How far a load is: its stage, and as far as it is known how much, how fast, how long still. */
export function Loading({ model }: { model: ModelSummary }) {
  const load = useEntities((state) => state.loads[model.id]);
  const stage = stageWords(model.stage);
  return (
    <ProgressLine
      value={model.progress}
      label={load?.retry ? `${stage}, retry ${load.retry}` : stage}
      detail={load ? loadFigures(load) || load.message : null}
    />
  );
}
