import { Box, Group, Text, Tooltip } from "@mantine/core";
import { type KeyboardEvent, memo, useEffect, useId, useRef, useState } from "react";
import type { Schemas } from "@/api/types";
import { count, figure } from "@/ui/format";
import { pieces, quoted } from "./pieces";
import type { Scale } from "./scale";
import classes from "./TokenHeatMap.module.css";

type Sample = Schemas["HeatSample"];

interface Props {
  sample: Sample;
  scale: Scale;
  /** What the numbers are, such as `norm`. */
  measure: string;
  /** A position to point at from the start. */
  marked: number | null;
}

interface Place {
  index: number;
  left: number;
  top: number;
  width: number;
  height: number;
}

/** A sample's tokens as text, each coloured by its number; arrow keys go from one to the next. */
export function TokenHeatMap({ sample, scale, measure, marked }: Props) {
  const list = useRef<HTMLDivElement>(null);
  const id = useId();
  const [at, setAt] = useState<Place | null>(null);
  const label = `Sample ${sample.sample}, of row ${sample.row}`;

  useEffect(() => {
    if (marked === null) return;
    const place = placeOf(list.current, marked);
    setAt(place);
    if (place) tokenOf(list.current, marked)?.scrollIntoView({ block: "center" });
  }, [marked]);

  function step(event: KeyboardEvent) {
    const now = at?.index ?? -1;
    const last = sample.values.length - 1;
    const next = {
      ArrowRight: now + 1,
      ArrowDown: now + 1,
      ArrowLeft: now - 1,
      ArrowUp: now - 1,
      Home: 0,
      End: last,
    }[event.key];
    if (event.key === "Escape") setAt(null);
    if (next === undefined) return;
    event.preventDefault();
    setAt(placeOf(list.current, Math.min(last, Math.max(0, next))));
  }

  return (
    <Box component="section" aria-label={label}>
      <Group justify="space-between" gap="xs" mb={6}>
        <Text size="sm" fw={600}>
          Sample {count(sample.sample)}
        </Text>
        <Text size="xs" c="dimmed">
          row {count(sample.row)}
          {sample.start > 0 && `, from its token ${count(sample.start)}`} ·{" "}
          {sample.values.length < sample.token_count &&
            `the first ${count(sample.values.length)} of `}
          {count(sample.token_count)} tokens
        </Text>
      </Group>
      <Box pos="relative">
        <div
          ref={list}
          className={classes.tokens}
          role="listbox"
          tabIndex={0}
          aria-label={`Tokens of sample ${sample.sample} by ${measure}`}
          aria-orientation="horizontal"
          aria-activedescendant={at ? `${id}-${at.index}` : undefined}
          onKeyDown={step}
          onBlur={() => setAt(null)}
          onMouseOver={({ target }) => {
            const index = indexOf(target);
            if (index !== null) setAt(placeOf(list.current, index));
          }}
          onFocus={() => setAt(at ?? placeOf(list.current, marked ?? 0))}
          onMouseLeave={() => setAt(null)}
        >
          <Tokens sample={sample} scale={scale} id={id} />
        </div>
        {at && <Pointer key={at.index} at={at} sample={sample} measure={measure} />}
      </Box>
    </Box>
  );
}

interface TokensProps {
  sample: Sample;
  scale: Scale;
  id: string;
}

const Tokens = memo(function Tokens({ sample, scale, id }: TokensProps) {
  return sample.values.map((value, index) => {
    const text = textOf(sample, index);
    return (
      // biome-ignore lint/a11y/useFocusableInteractive: the list is focused, and tells which is active
      <span
        // biome-ignore lint/suspicious/noArrayIndexKey: a token is its position
        key={index}
        id={`${id}-${index}`}
        role="option"
        aria-selected="false"
        aria-label={`${quoted(text)}, ${value === null ? "not finite" : figure(value)}`}
        data-index={index}
        data-beyond={(value !== null && scale.beyond(value)) || undefined}
        data-broken={value === null || undefined}
        className={classes.token}
        style={value === null ? undefined : scale.paint(value)}
      >
        {pieces(text).map((piece, place) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: pieces are told apart by their place
          <span key={place} data-piece={piece.kind}>
            {piece.text}
            {piece.kind === "break" && <br />}
          </span>
        ))}
      </span>
    );
  });
});

interface PointerProps {
  at: Place;
  sample: Sample;
  measure: string;
}

/** A frame around the token that is pointed at, and what there is to say about it. */
function Pointer({ at: { index, ...box }, sample, measure }: PointerProps) {
  const value = sample.values[index];
  return (
    <Tooltip
      opened
      openDelay={0}
      withinPortal={false}
      transitionProps={{ duration: 0 }}
      label={
        <Group gap="md" wrap="nowrap">
          <Figure name={measure} value={value == null ? "not finite" : figure(value)} />
          <Figure name="position" value={count(index)} />
          <Figure name="id" value={String(sample.input_ids[index])} />
          <Figure name="token" value={quoted(textOf(sample, index))} />
        </Group>
      }
    >
      <Box className={classes.pointer} style={box} />
    </Tooltip>
  );
}

function Figure({ name, value }: { name: string; value: string }) {
  return (
    <span>
      <span className={classes.name}>{name}</span> <b>{value}</b>
    </span>
  );
}

function textOf(sample: Sample, index: number): string {
  return sample.texts ? (sample.texts[index] ?? "") : `#${sample.input_ids[index]} `;
}

function indexOf(target: EventTarget): number | null {
  const token = (target as Element).closest<HTMLElement>("[data-index]");
  return token ? Number(token.dataset.index) : null;
}

function tokenOf(list: HTMLElement | null, index: number): HTMLElement | null {
  return list?.querySelector<HTMLElement>(`[data-index="${index}"]`) ?? null;
}

function placeOf(list: HTMLElement | null, index: number): Place | null {
  const token = tokenOf(list, index);
  if (!list || !token) return null;
  const outer = list.getBoundingClientRect();
  // Of a token that goes on in the next line, the first part.
  const box = token.getClientRects()[0] ?? token.getBoundingClientRect();
  return {
    index,
    left: box.left - outer.left,
    top: box.top - outer.top,
    width: box.width,
    height: box.height,
  };
}
