/** What an estimate says of a format: in a colour, and in words. */
import type { Schemas } from "@/api/types";

/** Whether a model fits a device, in two or three words. */
export const FIT_WORDS: Record<Schemas["Fit"], string> = {
  now: "fits now",
  after_eviction: "fits after eviction",
  never: "never fits",
};

export type FormatEstimate = Schemas["FormatEstimate"];

const COLORS: Record<Schemas["Fit"], string> = {
  now: "teal",
  after_eviction: "yellow",
  never: "red",
};

/** Return the colour of the verdict, to fill with. */
export function fitColor({ fit, unavailable }: FormatEstimate): string {
  return unavailable ? "gray" : COLORS[fit];
}

const INKS: Record<Schemas["Fit"], string> = {
  now: "light-dark(var(--mantine-color-teal-9), var(--mantine-color-teal-4))",
  // The theme's yellows are too light for words on white.
  after_eviction: "light-dark(#8f5600, var(--mantine-color-yellow-4))",
  never: "light-dark(var(--mantine-color-red-9), var(--mantine-color-red-4))",
};

/** Return the colour of the verdict, to write with. */
export function fitInk({ fit, unavailable }: FormatEstimate): string {
  return unavailable ? "dimmed" : INKS[fit];
}

/** Return the verdict in two or three words. */
export function fitWord({ fit, unavailable }: FormatEstimate): string {
  return unavailable ? "not available here" : FIT_WORDS[fit];
}

/** Return names as a sentence has them: "A, B and C". */
export function listed(names: readonly string[]): string {
  return new Intl.ListFormat("en").format(names);
}
