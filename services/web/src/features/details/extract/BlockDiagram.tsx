import { Tooltip, VisuallyHidden } from "@mantine/core";
import { Database } from "lucide-react";
import { useId } from "react";
import classes from "./BlockDiagram.module.css";
import { Drawing, HEIGHT, PLACES, WIDTH } from "./Drawing";
import { type Anatomy, KINDS, type Kind, READS, shapeOf, whyRefused } from "./hooks";
import type { Share } from "./stored";

interface Props {
  chosen: readonly Kind[];
  onToggle: (kind: Kind) => void;
  anatomy: Anatomy;
  numLayers: number;
  /** How much of a kind is in the store already. */
  stored: (kind: Kind) => Share | null;
}

/** A transformer block with a checkbox at each place where activations can be captured. */
export function BlockDiagram({ chosen, onToggle, anatomy, numLayers, stored }: Props) {
  // Where the MLP reads what attention reads, there is no stream between the two.
  const parallel = whyRefused("resid_mid", anatomy) !== null && !whyRefused("mlp_out", anatomy);
  return (
    <div className={classes.scroller}>
      <div className={classes.diagram}>
        <Drawing parallel={parallel} numLayers={numLayers} />
        {KINDS.map((kind) => (
          <Point
            key={kind}
            kind={kind}
            checked={chosen.includes(kind)}
            onToggle={() => onToggle(kind)}
            refused={whyRefused(kind, anatomy)}
            shape={shapeOf(kind, anatomy)}
            stored={stored(kind)}
          />
        ))}
      </div>
    </div>
  );
}

interface PointProps {
  kind: Kind;
  checked: boolean;
  onToggle: () => void;
  refused: string | null;
  shape: string | null;
  stored: Share | null;
}

function Point({ kind, checked, onToggle, refused, shape, stored }: PointProps) {
  const describedBy = useId();
  const [x, y] = PLACES[kind];
  const words = [
    READS[kind],
    refused ? `Not in this model: ${refused}.` : shape && `Rows are ${shape}.`,
    stored && (stored.where ? `Stored already ${stored.where}.` : "Stored already."),
  ].filter(Boolean);
  return (
    <Tooltip
      label={words.map((sentence) => <div key={sentence}>{sentence}</div>)}
      multiline
      maw={280}
    >
      <label
        className={classes.point}
        style={{ left: `${(100 * x) / WIDTH}%`, top: `${(100 * y) / HEIGHT}%` }}
      >
        <input
          type="checkbox"
          className={classes.box}
          checked={checked && !refused}
          onChange={onToggle}
          disabled={refused !== null}
          aria-describedby={describedBy}
        />
        {kind}
        {stored && (
          <Database
            size={12}
            strokeWidth={2.4}
            className={classes.stored}
            data-extent={stored.extent}
            aria-hidden
          />
        )}
        <VisuallyHidden id={describedBy} component="span" aria-hidden>
          {words.join(" ")}
        </VisuallyHidden>
      </label>
    </Tooltip>
  );
}
