/** What the numbers of some samples say together: their scale, and what stands out. */
import type { Schemas } from "@/api/types";
import { quantile, type Scale, type Scheme, scaleOf } from "./scale";

type Sample = Schemas["HeatSample"];

/** From so many times the others on, the first position is worth a word. */
const GIANT = 3;

export interface Shown {
  scale: Scale;
  /** Tokens whose number lies beyond the colours. */
  beyond: number;
  tokens: number;
  /** How many times the others' median the first positions' is; null where it is no giant. */
  giant: number | null;
}

/** Return what is common to the samples that are shown beside each other. */
export function shownOf(samples: readonly Sample[], signed: boolean, scheme: Scheme): Shown {
  const firsts = finite(samples.map(({ values }) => values[0]));
  const rest = finite(samples.flatMap(({ values }) => values.slice(1)));
  const all = [...firsts, ...rest];
  const ratio = Math.abs(median(firsts)) / Math.abs(median(rest));
  const giant = !signed && rest.length > 0 && ratio >= GIANT;
  const scale = scaleOf(giant ? rest : all, signed, scheme);
  return {
    scale,
    beyond: all.filter(scale.beyond).length,
    tokens: samples.reduce((sum, { values }) => sum + values.length, 0),
    giant: giant ? ratio : null,
  };
}

function finite(values: readonly (number | null | undefined)[]): number[] {
  return values.filter((value): value is number => value != null);
}

function median(values: readonly number[]): number {
  return quantile(
    values.toSorted((a, b) => a - b),
    0.5,
  );
}
