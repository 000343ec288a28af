import { count } from "./format";

/** Say that so many extractions `on` a model, or `over` a dataset, must be cancelled first. */
export function stillRunning(running: number, where: "on" | "over"): string | null {
  if (!running) return null;
  const [are, them] =
    running === 1
      ? [`An extraction ${where} it is`, "it"]
      : [`${count(running)} extractions ${where} it are`, "them"];
  return `${are} queued or running. Cancel ${them} first.`;
}
