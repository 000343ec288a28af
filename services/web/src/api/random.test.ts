import { expect, test, vi } from "vitest";
import { once } from "./client";

test("a request can be repeated where the page came by plain http, as on a Jetson at home", () => {
  // Browsers have it on https and on localhost alone.
  vi.spyOn(crypto, "randomUUID").mockImplementation(() => {
    throw new TypeError("crypto.randomUUID is not a function");
  });
  const [first, second] = [once(), once()].map((header) => header["Idempotency-Key"]);
  expect(first).toMatch(/^[0-9a-f]{32}$/);
  expect(second).not.toBe(first);
  vi.restoreAllMocks();
});
