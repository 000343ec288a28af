/** Toasts: what finished, what failed, and what to do about it. */
import { create } from "zustand";
import type { ApiError } from "@/api/errors";

export interface Toast {
  key: number;
  tone: "good" | "bad" | "plain";
  title: string;
  message: string | null;
  remedy: string | null;
}

interface Toasts {
  /** Told, and not yet shown; whoever shows them takes them. */
  waiting: readonly Toast[];
}

const MOST_WAITING = 4;

export const useToasts = create<Toasts>(() => ({ waiting: [] }));

let last = 0;

/** Show a toast; of many at once, the first few. */
export function tell(toast: Omit<Toast, "key">): void {
  last += 1;
  const fresh = { ...toast, key: last };
  useToasts.setState(({ waiting }) => ({
    waiting: waiting.length < MOST_WAITING ? [...waiting, fresh] : waiting,
  }));
}

/** Show what went wrong, with its remedy. */
export function tellError(title: string, error: ApiError): void {
  tell({ tone: "bad", title, message: error.message, remedy: error.remedy });
}

/** Return the toasts that wait, and let them wait no longer. */
export function takeToasts(): readonly Toast[] {
  const { waiting } = useToasts.getState();
  if (waiting.length) useToasts.setState({ waiting: [] });
  return waiting;
}
