/** The events as they came, the newest first; progress is not among them. */
import { create } from "zustand";
import type { Frame } from "@/api/types";

export const MOST_EVENTS = 1000;

export interface Happening {
  id: number;
  type: Frame["type"];
  at: string;
  data: Frame["data"];
}

interface Activity {
  events: readonly Happening[];
}

export const useActivity = create<Activity>(() => ({ events: [] }));

/** Add events, the oldest first; ones that were seen already are left out. */
export function addEvents(fresh: readonly Happening[]): void {
  if (!fresh.length) return;
  useActivity.setState(({ events }) => {
    const newest = events[0]?.id ?? -1;
    const added = fresh.filter((event) => event.id > newest).reverse();
    return added.length ? { events: [...added, ...events].slice(0, MOST_EVENTS) } : { events };
  });
}
