/** A gateway that answers as a test wants. */
import { HttpResponse } from "msw";
import { setupServer } from "msw/node";
import { afterAll, afterEach, beforeAll } from "vitest";
import type { ErrorBody } from "@/api/types";

/** Stand in for the gateway in all tests of a file; what a test does not answer is an error. */
export function gateway() {
  const server = setupServer();
  beforeAll(() => server.listen({ onUnhandledRequest: "error" }));
  afterEach(() => server.resetHandlers());
  afterAll(() => server.close());
  return server;
}

/** An error as the gateway answers it. */
export function refusal(
  status: number,
  code: ErrorBody["code"],
  message: string,
  details: Record<string, unknown> = {},
) {
  const error: ErrorBody = { code, message, details, timestamp: "2026-01-01T00:00:00Z" };
  return HttpResponse.json({ error }, { status });
}
