/** What is looked at in a cache: which hook point, and by what. It stands in the address. */
import { useSearchParams } from "react-router";
import { create } from "zustand";
import type { Cache, Schemas } from "@/api/types";

export type Measure = Schemas["Measure"];

/** A vector to project rows on. */
export interface Direction {
  /** Where it comes from, for people. */
  name: string;
  components: readonly number[];
}

/** Too long for an address: it is gone with the page. */
export const useDirection = create<{ direction: Direction | null }>(() => ({ direction: null }));

export interface Look {
  hookPoint: string;
  /** Of a row; null where it is not known yet. */
  width: number | null;
  measure: Measure;
  neuron: number;
  direction: Direction | null;
  /** What to ask for; null where a direction is wanted and none is given. */
  along: Schemas["AlongOptions"] | null;
}

/** Return what is looked at, and how to look at something else. */
export function useLook(cache: Cache): [Look, (change: Record<string, string | null>) => void] {
  const [query, setQuery] = useSearchParams();
  const direction = useDirection((state) => state.direction);
  const hookPoint =
    cache.hook_points.find((name) => name === query.get("hook")) ?? middle(cache.hook_points);
  const by = query.get("by");
  const measure: Measure = by === "neuron" || by === "direction" ? by : "norm";
  const neuron = Math.max(0, Math.trunc(Number(query.get("neuron")) || 0));
  const column = cache.columns.find((each) => each.hook_point === hookPoint);
  const look: Look = {
    hookPoint,
    width: column?.width ?? cache.activation_shape?.[1] ?? null,
    measure,
    neuron,
    direction,
    along: along(measure, neuron, direction),
  };
  const change = (changes: Record<string, string | null>) =>
    setQuery(
      (before) => {
        const next = new URLSearchParams(before);
        for (const [key, value] of Object.entries(changes)) {
          if (value === null) next.delete(key);
          else next.set(key, value);
        }
        return next;
      },
      { replace: true },
    );
  return [look, change];
}

/** What of an address concerns the looking, to go on with it elsewhere. */
export function lookOf(query: URLSearchParams): URLSearchParams {
  const kept = new URLSearchParams();
  for (const key of ["hook", "by", "neuron"]) {
    const value = query.get(key);
    if (value !== null) kept.set(key, value);
  }
  return kept;
}

/** What values are called in a sentence. */
export function nameOf({ measure, neuron, direction }: Look): string {
  if (measure === "norm") return "norm";
  if (measure === "neuron") return `neuron ${neuron}`;
  return direction?.name ?? "direction";
}

function along(
  measure: Measure,
  neuron: number,
  direction: Direction | null,
): Schemas["AlongOptions"] | null {
  if (measure === "norm") return {};
  if (measure === "neuron") return { neuron };
  return direction && { direction: [...direction.components] };
}

function middle(names: readonly string[]): string {
  return names[Math.floor(names.length / 2)] ?? "";
}
