import type { Schemas } from "@/api/types";

/** Whether a model fits a device, in two or three words. */
export const FIT_WORDS: Record<Schemas["Fit"], string> = {
  now: "fits now",
  after_eviction: "fits after eviction",
  never: "never fits",
};
