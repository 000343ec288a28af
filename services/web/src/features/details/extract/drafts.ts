/** What was chosen for each model; it outlives the panel, and is gone with the page. */
import { useMemo } from "react";
import { create } from "zustand";
import { type Choice, firstChoice } from "./choice";

const useDrafts = create<Readonly<Record<string, Choice>>>(() => ({}));

/** Return what is chosen for a model, and how to choose otherwise. */
export function useChoice(
  modelId: string,
  numLayers: number,
): [Choice, (change: Partial<Choice>) => void] {
  const draft = useDrafts((drafts) => drafts[modelId]);
  const choice = useMemo(() => draft ?? firstChoice(numLayers), [draft, numLayers]);
  return [
    choice,
    (change) =>
      useDrafts.setState((drafts) => ({
        [modelId]: { ...(drafts[modelId] ?? firstChoice(numLayers)), ...change },
      })),
  ];
}

/** Forget what was chosen. */
export function forgetChoices(): void {
  useDrafts.setState({}, true);
}
