import { type KeyboardEvent, type MouseEvent, useRef, useState } from "react";
import classes from "./LayerStrip.module.css";
import type { Share } from "./stored";

interface Props {
  numLayers: number;
  chosen: readonly number[];
  onChange: (layers: number[]) => void;
  /** How much of what is captured in a layer is in the store already. */
  stored: (layer: number) => Share | null;
}

const STEPS: Record<string, number> = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1 };

/** A cell a layer. With Shift, a click takes all from the one before to here. */
export function LayerStrip({ numLayers, chosen, onChange, stored }: Props) {
  const [current, setCurrent] = useState(0);
  const last = useRef<number | null>(null);
  const cells = useRef<(HTMLButtonElement | null)[]>([]);

  function click(layer: number, { shiftKey }: MouseEvent) {
    const from = shiftKey && last.current !== null ? last.current : layer;
    const range = Array.from(
      { length: Math.abs(layer - from) + 1 },
      (_, step) => Math.min(layer, from) + step,
    );
    // A range becomes what its first cell became by the click before.
    const add = shiftKey && last.current !== null ? chosen.includes(from) : !chosen.includes(layer);
    const rest = chosen.filter((each) => !range.includes(each));
    onChange((add ? [...rest, ...range] : rest).sort((a, b) => a - b));
    last.current = layer;
    setCurrent(layer);
  }

  function move(event: KeyboardEvent) {
    const step = STEPS[event.key];
    const ends: Record<string, number> = { Home: 0, End: numLayers - 1 };
    const to = step === undefined ? ends[event.key] : current + step;
    if (to === undefined) return;
    event.preventDefault();
    const layer = Math.max(0, Math.min(numLayers - 1, to));
    setCurrent(layer);
    cells.current[layer]?.focus();
  }

  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset lays out its children differently
    <div role="group" aria-label="Layers to capture" className={classes.strip} onKeyDown={move}>
      {Array.from({ length: numLayers }, (_, layer) => {
        const share = stored(layer);
        const words = share && (share.extent === "all" ? "stored already" : "stored in part");
        return (
          <button
            // biome-ignore lint/suspicious/noArrayIndexKey: a layer is its index
            key={layer}
            ref={(cell) => {
              cells.current[layer] = cell;
            }}
            type="button"
            className={classes.cell}
            tabIndex={layer === Math.min(current, numLayers - 1) ? 0 : -1}
            aria-pressed={chosen.includes(layer)}
            aria-label={`Layer ${layer}${words ? `, ${words}` : ""}`}
            data-stored={share?.extent}
            onClick={(event) => click(layer, event)}
          >
            {layer}
          </button>
        );
      })}
    </div>
  );
}
