/** Work that can wait for a page that has nothing better to do. */

/** A busy page keeps it waiting no longer than this. */
const LONGEST_MS = 500;

/** Wait until what is on the screen needs no more drawing, or at most half a second. */
export function whenIdle(): Promise<void> {
  return new Promise((resolve) => {
    // Safari has no idle callbacks.
    if (typeof requestIdleCallback === "undefined") setTimeout(resolve);
    else requestIdleCallback(() => resolve(), { timeout: LONGEST_MS });
  });
}
