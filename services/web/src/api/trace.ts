/** Traces that begin with a click: W3C Trace Context, without a library for one header. */
import { randomHex } from "./random";

const TRACE_BYTES = 16;
const SPAN_BYTES = 8;

/** Return a `traceparent` of a fresh trace, in whose span the gateway's is the first. */
export function newTraceparent(): string {
  return `00-${randomHex(TRACE_BYTES)}-${randomHex(SPAN_BYTES)}-01`;
}
