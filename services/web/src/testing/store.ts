/** The store as a test wants it. */
import { type Kind, type Kinds, put, settle, useEntities } from "@/state/entities";

/** Let the store hold these rows of a kind and no others, as when all of them have been read. */
export function hold<K extends Kind>(kind: K, rows: readonly Kinds[K][]): void {
  const before = Object.keys(useEntities.getState()[kind]);
  settle(kind, before);
  put(kind, rows);
}
