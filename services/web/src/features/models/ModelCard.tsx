import { Pin } from "lucide-react";
import { memo } from "react";
import { Link, useLocation } from "react-router";
import type { ModelSummary } from "@/api/types";
import { useEntities } from "@/state/entities";
import { useSelection } from "@/state/selection";
import { familyName } from "@/ui/families";
import { bytes, count, format, magnitude } from "@/ui/format";
import { StatusBadge } from "@/ui/StatusBadge";
import { ModelActions } from "./ModelActions";
import classes from "./ModelCard.module.css";
import { ModelState } from "./ModelState";

interface Props {
  id: string;
  /** Asks whether it shall be deleted. */
  onDelete: (id: string) => void;
}

/**
 * A model: what it is, how it stands, and what can be done with it.
 *
 * It is made of plain elements, which are drawn in a fraction of the time, since cards are drawn by
 * the dozen.
 */
export const ModelCard = memo(function ModelCard({ id, onDelete }: Props) {
  const model = useEntities((state) => state.models[id]);
  const selected = useSelection((selection) => selection.modelId === id);
  const select = useSelection((selection) => selection.select);
  const { search } = useLocation();
  if (!model) return null;
  const title = `model-${id}`;
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: its links and buttons are for the keyboard
    <article
      className={classes.card}
      aria-labelledby={title}
      aria-current={selected || undefined}
      data-selected={selected || undefined}
      data-model={id}
      onClick={() => select(id)}
    >
      <div className={classes.line}>
        <div className={classes.named}>
          <h2 id={title} className={classes.title}>
            <Link to={{ pathname: `/models/${id}`, search }} className={classes.name}>
              {model.name}
            </Link>
          </h2>
          {model.pinned && (
            <span title="Pinned: never evicted" className={classes.pin}>
              <Pin size={14} role="img" aria-label="Pinned" />
            </span>
          )}
        </div>
        <StatusBadge status={model.status} />
      </div>
      <div className={classes.line}>
        <span className={classes.identifier} title={model.model_identifier}>
          {placeOf(model)}
        </span>
        <span className={classes.format}>{formatWords(model)}</span>
      </div>
      <dl className={classes.facts}>
        <Fact name="Family" value={model.model_type ? familyName(model.model_type) : "unknown"} />
        <Fact name="Parameters" value={magnitude(model.parameter_count)} />
        <Fact name="Layers" value={count(model.num_layers)} />
        <Fact name="Memory" value={bytes(model.memory_usage_bytes)} />
      </dl>
      <div className={classes.state}>
        <ModelState model={model} />
      </div>
      <ModelActions model={model} onDelete={onDelete} />
    </article>
  );
});

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd title={value}>{value}</dd>
    </div>
  );
}

/** A checkpoint's id; of a path its end, which tells more than where all of them lie. */
function placeOf({ source, model_identifier }: ModelSummary): string {
  const parts = model_identifier.split("/");
  const long = source !== "huggingface" && parts.length > 3;
  return long ? `…/${parts.slice(-2).join("/")}` : model_identifier;
}

/** The format as a word; of int4 also its code book, and that blocks stay on the disk. */
function formatWords({ quantization, quantization_options, offload }: ModelSummary): string {
  const kind = quantization === "int4" ? ` ${quantization_options.int4_type}` : "";
  return `${format(quantization)}${kind}${offload ? ", offload" : ""}`;
}
