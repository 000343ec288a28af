/** Sending a form and telling how much of it is on its way, which fetch cannot do. */
import { currentToken, idempotencyKey, unauthorized } from "./client";
import { ApiError, errorOf } from "./errors";
import { newTraceparent } from "./trace";

/**
 * Send a form.
 *
 * @param onProgress told the bytes that were sent and those of the whole form
 * @param signal ends it; what was sent until then is forgotten by the gateway
 * @returns the answer's JSON
 * @throws ApiError always of this class; its status is 0 where the gateway did not answer
 */
export function sendForm<T>(
  path: string,
  form: FormData,
  onProgress: (sent: number, total: number) => void,
  signal: AbortSignal,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const cancel = () => {
      request.abort();
      reject(new ApiError("It was cancelled.", 0));
    };
    request.open("POST", path);
    request.setRequestHeader("Authorization", `Bearer ${currentToken()}`);
    request.setRequestHeader("Idempotency-Key", idempotencyKey());
    request.setRequestHeader("traceparent", newTraceparent());
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded, event.total));
    request.addEventListener("load", () => {
      const body = parsed(request.responseText);
      if (request.status === 401) unauthorized();
      if (request.status >= 200 && request.status < 300) resolve(body as T);
      else reject(errorOf(answerOf(request), body));
    });
    request.addEventListener("error", () =>
      reject(new ApiError("The connection was lost before all of it was sent.", 0)),
    );
    request.addEventListener("loadend", () => signal.removeEventListener("abort", cancel));
    signal.addEventListener("abort", cancel);
    request.send(form);
  });
}

function answerOf(request: XMLHttpRequest): Response {
  const seconds = request.getResponseHeader("Retry-After");
  const headers: HeadersInit = seconds ? { "Retry-After": seconds } : {};
  return new Response(null, { status: request.status, headers });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // A proxy's page: its status is told instead.
    return null;
  }
}
