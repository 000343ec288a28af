/** The typed way to the gateway's REST API. */
import createClient, { type Middleware } from "openapi-fetch";
import { ApiError, errorOf } from "./errors";
import type { paths } from "./generated/openapi";
import { randomHex } from "./random";
import { newTraceparent } from "./trace";

let token: string | null = null;
let onUnauthorized: () => void = () => {};

/** Send this token with each request; null sends none. */
export function sendToken(value: string | null): void {
  token = value;
}

/** Return the token that is sent, for what is no JSON request. */
export function currentToken(): string | null {
  return token;
}

/** Call this when the gateway no longer takes the token. */
export function whenUnauthorized(callback: () => void): void {
  onUnauthorized = callback;
}

/** Note that the gateway no longer takes the token. */
export function unauthorized(): void {
  onUnauthorized();
}

const authenticated: Middleware = {
  onRequest({ request }) {
    if (token) request.headers.set("Authorization", `Bearer ${token}`);
    // What only reads is many requests and no click of anybody's.
    if (request.method !== "GET") request.headers.set("traceparent", newTraceparent());
    return request;
  },
  onResponse({ response }) {
    if (response.status === 401) unauthorized();
    return response;
  },
  onError() {
    return new ApiError("The gateway cannot be reached.", 0);
  },
};

export const api = createClient<paths>({
  // A whole address, since outside a browser a Request knows of no page it is relative to.
  baseUrl: window.location.origin,
  // Looked up at each call: whoever stands in for it may come later than this module.
  fetch: (request) => fetch(request),
});
api.use(authenticated);

/**
 * Return what a call answered, or throw its error.
 *
 * @throws ApiError always of this class.
 */
export async function unwrap<T>(
  call: Promise<{ data?: T; error?: unknown; response: Response }>,
): Promise<T> {
  const { data, error, response } = await call;
  if (!response.ok) throw errorOf(response, error);
  return data as T;
}

/** Return a key that makes repeating a request harmless. */
export function idempotencyKey(): string {
  return randomHex(16);
}

/** Return the header of a request that does its work once, however often it is sent. */
export function once(): { "Idempotency-Key": string } {
  return { "Idempotency-Key": idempotencyKey() };
}
