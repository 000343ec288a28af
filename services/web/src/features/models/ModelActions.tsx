import { ActionIcon, Button, Tooltip, VisuallyHidden } from "@mantine/core";
import { Pin, PinOff, Settings2, Trash2 } from "lucide-react";
import { Link, useLocation } from "react-router";
import type { ModelSummary } from "@/api/types";
import { cancelLoad, pinModel, unloadModel } from "@/state/models";
import { useMay } from "@/state/session";
import { LoadButton } from "./LoadButton";
import classes from "./ModelCard.module.css";

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
        <Button component={Link} to={details} size="xs" variant="default">
          Details
          <Of name={model.name} />
        </Button>
      </div>
    );
  }
  const pinning = model.pinned ? `Unpin ${model.name}` : `Pin ${model.name}`;
  const Icon = model.pinned ? PinOff : Pin;
  return (
    <div className={classes.actions}>
      <Turn model={model} />
      <Button
        component={Link}
        to={details}
        size="xs"
        variant="default"
        leftSection={<Settings2 size={14} aria-hidden />}
      >
        Configure
        <Of name={model.name} />
      </Button>
      <Tooltip label={model.pinned ? "Unpin" : "Pin: never evict it"}>
        <ActionIcon
          variant="subtle"
          color="gray"
          className={classes.quiet}
          ml="auto"
          aria-label={pinning}
          disabled={model.status === "loading"}
          onClick={() => void pinModel(model.id, !model.pinned)}
        >
          <Icon size={16} aria-hidden />
        </ActionIcon>
      </Tooltip>
      <Tooltip label="Delete">
        <ActionIcon
          variant="subtle"
          color="gray"
          aria-label={`Delete ${model.name}`}
          onClick={() => onDelete(model.id)}
        >
          <Trash2 size={16} aria-hidden />
        </ActionIcon>
      </Tooltip>
    </div>
  );
}

/** The one thing that takes a model further: load it, stop that, or let it go. */
function Turn({ model }: { model: ModelSummary }) {
  if (model.status === "loading") {
    return (
      <Button size="xs" variant="default" onClick={() => void cancelLoad(model.id)}>
        Cancel
        <Of name={model.name} before="loading " />
      </Button>
    );
  }
  if (model.status === "ready") {
    return (
      <Button size="xs" variant="default" onClick={() => void unloadModel(model.id)}>
        Unload
        <Of name={model.name} />
      </Button>
    );
  }
  return <LoadButton model={model} />;
}

/** Says of which model a button is to who hears the buttons alone. */
function Of({ name, before = "" }: { name: string; before?: string }) {
  return <VisuallyHidden component="span">{` ${before}${name}`}</VisuallyHidden>;
}
