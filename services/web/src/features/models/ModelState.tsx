import { CircleAlert } from "lucide-react";
import { remedyOf } from "@/api/errors";
import type { ModelSummary } from "@/api/types";
import { useEntities } from "@/state/entities";
import { bytes, duration, format } from "@/ui/format";
import { loadFigures, stageWords } from "@/ui/loading";
import { ProgressLine } from "@/ui/ProgressLine";
import { StateLines } from "@/ui/StateLines";
import classes from "./ModelCard.module.css";

/** How a model stands: what it takes, how its load goes, or what went wrong. */
export function ModelState({ model }: { model: ModelSummary }) {
  switch (model.status) {
    case "loading":
      return <Loading model={model} />;
    case "failed":
      return <Failed model={model} />;
    case "ready":
      return <InMemory model={model} />;
    case "unloaded":
      return (
        <StateLines
          wrap
          label="Not in memory"
          figure={model.disk_bytes === null ? null : `${bytes(model.disk_bytes)} on disk`}
          detail="Prepared: it loads without a download."
        />
      );
    case "pending":
      return (
        <StateLines
          wrap
          label="Not loaded yet"
          detail={
            model.model_type === null
              ? "Nobody has looked at it yet: its first load will."
              : "Its weights are fetched with its first load."
          }
        />
      );
  }
}

function Loading({ model }: { model: ModelSummary }) {
  const load = useEntities((state) => state.loads[model.id]);
  const stage = stageWords(model.stage);
  const into = model.stage === "quantizing" ? ` to ${format(model.quantization)}` : "";
  return (
    <ProgressLine
      value={model.progress}
      label={load?.retry ? `${stage}${into}, retry ${load.retry}` : `${stage}${into}`}
      detail={load ? loadFigures(load) || load.message : " "}
    />
  );
}

function InMemory({ model }: { model: ModelSummary }) {
  const budget = useEntities((state) => {
    const devices = Object.values(state.devices);
    const holding = devices.find((device) => device.resident_models.includes(model.id));
    return (holding ?? devices.find((device) => device.online))?.memory_budget_bytes ?? null;
  });
  const taken = model.memory_usage_bytes;
  const share = taken !== null && budget ? Math.min(100, (100 * taken) / budget) : null;
  return (
    <StateLines
      label="In memory"
      figure={budget ? `${bytes(taken)} of ${bytes(budget)}` : bytes(taken)}
      value={share ?? 0}
      tone="good"
      detail={
        model.load_time_seconds === null
          ? " "
          : `Loaded in ${duration(model.load_time_seconds)}${kept(model)}`
      }
    />
  );
}

function kept({ pinned, keep_alive_seconds }: ModelSummary): string {
  if (pinned) return " · stays: it is pinned";
  if (keep_alive_seconds === null) return "";
  return ` · leaves after ${duration(keep_alive_seconds)} without use`;
}

function Failed({ model }: { model: ModelSummary }) {
  const remedy = remedyOf(model.error);
  return (
    <div className={classes.failure}>
      <CircleAlert size={14} aria-hidden className={classes.sign} />
      <div>
        <p className={classes.why}>{model.error?.message ?? "Its load failed."}</p>
        {remedy && <p className={classes.remedy}>{remedy}</p>}
      </div>
    </div>
  );
}
