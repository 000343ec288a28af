/** Whether what is on the screen is live. */
import { create } from "zustand";

export type Liveness =
  /** Not connected yet, for the first time. */
  | "connecting"
  | "live"
  /** The connection was lost, and is being tried again. */
  | "reconnecting"
  /** It has been away for a while: the state is asked for every few seconds. */
  | "polling";

export const useLiveness = create<{ status: Liveness }>(() => ({
  status: "connecting",
}));

/** Note how it stands. */
export function liveness(status: Liveness): void {
  if (useLiveness.getState().status !== status) useLiveness.setState({ status });
}
