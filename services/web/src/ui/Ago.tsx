import { Tooltip } from "@mantine/core";
import { useEffect, useReducer } from "react";
import { ago, moment } from "./format";

const MINUTE = 60_000;

/** How long ago a moment was, kept true; in full when pointed at. */
export function Ago({ at }: { at: string | null }) {
  const [, again] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    const timer = window.setInterval(again, MINUTE);
    return () => window.clearInterval(timer);
  }, []);
  if (!at) return "–";
  return (
    <Tooltip label={moment(at)}>
      <time dateTime={at}>{ago(at)}</time>
    </Tooltip>
  );
}
