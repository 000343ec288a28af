/** Which models leave memory for another one, in words. */
import { type FormatEstimate, listed } from "../fit";

type NameOf = (id: string) => string;

/** Whether only force lets it in: it never fits, or something is in the way that does not leave. */
export function mayBeForced({ fit, evict, held_by, unavailable }: FormatEstimate): boolean {
  if (unavailable !== null) return false;
  return fit === "never" || (fit === "after_eviction" && (held_by.length > 0 || !evict.length));
}

/** Return who leaves for a format when it is loaded, and who would have to; null for nobody. */
export function leaving({ fit, evict, held_by }: FormatEstimate, nameOf: NameOf): string | null {
  if (fit !== "after_eviction") return null;
  const sentences = [
    evict.length > 0 && `Evicts ${listed(evict.map(nameOf))}.`,
    held_by.length > 0 &&
      `${listed(held_by.map(nameOf))} must leave too, and ${held_by.length === 1 ? "is" : "are"} pinned or in use.`,
    !evict.length && !held_by.length && "Other programs must free memory first.",
  ];
  return sentences.filter(Boolean).join(" ");
}

/** Return what happens when a format is forced in. */
export function forced({ fit, evict, held_by }: FormatEstimate, nameOf: NameOf): string {
  if (fit === "never") return "Evicts every model that is neither pinned nor in use.";
  const sentences = [
    evict.length > 0 ? `Evicts ${listed(evict.map(nameOf))}.` : "Evicts nothing.",
    held_by.length > 0 &&
      `${listed(held_by.map(nameOf))} ${held_by.length === 1 ? "stays" : "stay"}.`,
  ];
  return sentences.filter(Boolean).join(" ");
}
