import { useElementSize, useMergedRef } from "@mantine/hooks";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { memo, useEffect, useLayoutEffect, useRef, useState } from "react";
import { whenIdle } from "@/state/idle";
import { ModelCard } from "./ModelCard";
import classes from "./ModelGrid.module.css";

const GAP = 16;
const LEAST_WIDTH = 340;
const LIKELY_HEIGHT = 244;

interface Props {
  ids: readonly string[];
  onDelete: (id: string) => void;
}

/** The cards, as many columns of them as there is room for; only those in sight are drawn. */
export const ModelGrid = memo(function ModelGrid({ ids, onDelete }: Props) {
  const list = useRef<HTMLUListElement>(null);
  const { ref, width: resized } = useElementSize<HTMLUListElement>();
  // Measured before the first card is drawn, or all would be drawn once too often.
  const [box, setBox] = useState<{ top: number; width: number } | null>(null);
  const top = box?.top ?? 0;
  const width = resized || (box?.width ?? 0);
  const columns = Math.max(1, Math.floor((width + GAP) / (LEAST_WIDTH + GAP)));
  // First what is in sight, then the row that is scrolled to next.
  const [overscan, setOverscan] = useState(0);
  useEffect(() => void whenIdle().then(() => setOverscan(1)), []);
  const rows = useWindowVirtualizer({
    count: box ? Math.ceil(ids.length / columns) : 0,
    estimateSize: () => LIKELY_HEIGHT,
    gap: GAP,
    overscan,
    scrollMargin: top,
  });

  // What is above wraps at other widths.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the width moves the list
  useLayoutEffect(() => {
    if (!list.current) return;
    const { top, width } = list.current.getBoundingClientRect();
    setBox({ top: top + window.scrollY, width });
  }, [resized]);

  const drawn = rows.getVirtualItems();
  const start = drawn[0]?.index ?? 0;
  const end = (drawn.at(-1)?.index ?? -1) + 1;
  return (
    <ul
      ref={useMergedRef(list, ref)}
      aria-label="Models"
      className={classes.list}
      style={{
        gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))`,
        // Room for the rows that are not drawn.
        paddingTop: (drawn[0]?.start ?? top) - top,
        paddingBottom: rows.getTotalSize() - ((drawn.at(-1)?.end ?? top) - top),
      }}
    >
      {ids.slice(start * columns, end * columns).map((id, place) => (
        <li
          key={id}
          // The first of a row is as high as the row.
          ref={place % columns ? undefined : rows.measureElement}
          data-index={start + Math.floor(place / columns)}
          aria-posinset={start * columns + place + 1}
          aria-setsize={ids.length}
        >
          <ModelCard id={id} onDelete={onDelete} />
        </li>
      ))}
    </ul>
  );
});
