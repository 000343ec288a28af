/** Reading rows again: few at a time, each once however often it was asked for. */

import type { Kind } from "@/state/entities";
import { fetchAll, fetchOne } from "@/state/fetching";
import type { Stale } from "./apply";

const AT_ONCE = 4;
/** From so many rows of one kind on, its whole table is one request and no more. */
const WHOLE_TABLE = 25;

export class Refresher {
  private readonly waiting: Stale = new Map();
  private busy = 0;

  /** Read these rows again, what is being read just now included. */
  refresh(stale: Stale): void {
    for (const [kind, ids] of stale) {
      const known = this.waiting.get(kind) ?? new Set();
      for (const id of ids) known.add(id);
      this.waiting.set(kind, known);
    }
    this.pump();
  }

  private pump(): void {
    while (this.busy < AT_ONCE) {
      const next = this.take();
      if (!next) return;
      this.busy += 1;
      void next().finally(() => {
        this.busy -= 1;
        this.pump();
      });
    }
  }

  private take(): (() => Promise<void>) | null {
    for (const [kind, ids] of this.waiting as Map<Kind, Set<string>>) {
      if (ids.size >= WHOLE_TABLE) {
        this.waiting.delete(kind);
        return () => fetchAll(kind);
      }
      const [id] = ids;
      if (id !== undefined) {
        ids.delete(id);
        return () => fetchOne(kind, id);
      }
    }
    return null;
  }
}
