/** Traces that begin with a click: W3C Trace Context, without a library for one header. */

const TRACE_BYTES = 16;
const SPAN_BYTES = 8;

/** Return a `traceparent` of a fresh trace, in whose span the gateway's is the first. */
export function newTraceparent(): string {
  return `00-${hex(TRACE_BYTES)}-${hex(SPAN_BYTES)}-01`;
}

function hex(bytes: number): string {
  const drawn = crypto.getRandomValues(new Uint8Array(bytes));
  return Array.from(drawn, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
