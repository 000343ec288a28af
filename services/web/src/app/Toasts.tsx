import { lazy, Suspense, useState } from "react";
import { useToasts } from "@/state/toasts";

const ShownToasts = lazy(() => import("./ShownToasts"));

/** What is told, from the first toast on: before that, a reader need not wait for what shows it. */
export function Toasts() {
  const waiting = useToasts((toasts) => toasts.waiting.length > 0);
  const [begun, setBegun] = useState(waiting);
  if (waiting && !begun) setBegun(true);
  return <Suspense fallback={null}>{begun && <ShownToasts />}</Suspense>;
}
