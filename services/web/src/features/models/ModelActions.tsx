import { clsx } from "clsx";
import { Pin, PinOff, Settings2, Trash2 } from "lucide-react";
import { Link, useLocation } from "react-router";
import type { ModelSummary } from "@/api/types";
import { cancelLoad, loadModel, nameOf, pinModel, unloadModel } from "@/state/models";
import { useMay } from "@/state/session";
import { LoadButton } from "@/ui/load/LoadButton";
import classes from "./ModelActions.module.css";

interface Props {
  model: ModelSummary;
  onDelete: (id: string) => void;
}

/** What can be done with a model as it stands; who may change nothing can look at it. */
export function ModelActions({ model, onDelete }: Props) {
  const mayWrite = useMay("model:write");
  const { search } = useLocation();
  const details = { pathname: `/models/${model.id}`, search };
  if (!mayWrite) {
    return (
      <div className={classes.actions}>
        <Link to={details} className={classes.button}>
          Details
          <Of name={model.name} />
        </Link>
      </div>
    );
  }
  const Icon = model.pinned ? PinOff : Pin;
  return (
    <div className={classes.actions}>
      <Turn model={model} />
      <Link to={details} className={classes.button}>
        <Settings2 size={14} aria-hidden />
        Configure
        <Of name={model.name} />
      </Link>
      <button
        type="button"
        className={clsx(classes.icon, classes.right)}
        title={model.pinned ? "Unpin" : "Pin: never evict it"}
        aria-label={model.pinned ? `Unpin ${model.name}` : `Pin ${model.name}`}
        disabled={model.status === "loading"}
        onClick={() => void pinModel(model.id, !model.pinned)}
      >
        <Icon size={16} aria-hidden />
      </button>
      <button
        type="button"
        className={classes.icon}
        title="Delete"
        aria-label={`Delete ${model.name}`}
        onClick={() => onDelete(model.id)}
      >
        <Trash2 size={16} aria-hidden />
      </button>
    </div>
  );
}

/** The one thing that takes a model further: load it, stop that, or let it go. */
function Turn({ model }: { model: ModelSummary }) {
  if (model.status === "loading") {
    return (
      <button type="button" className={classes.button} onClick={() => void cancelLoad(model.id)}>
        Cancel
        <Of name={model.name} before="loading " />
      </button>
    );
  }
  if (model.status === "ready") {
    return (
      <button type="button" className={classes.button} onClick={() => void unloadModel(model.id)}>
        Unload
        <Of name={model.name} />
      </button>
    );
  }
  return <LoadButton model={model} onLoad={loadModel} nameOf={nameOf} size="xs" />;
}

/** Says of which model a button is to who hears the buttons alone. */
function Of({ name, before = "" }: { name: string; before?: string }) {
  return <span className={classes.heard}>{` ${before}${name}`}</span>;
}
