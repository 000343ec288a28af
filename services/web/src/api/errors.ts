import type { ErrorBody } from "./types";

/** An error of the contract, or of the way to the gateway: `code` is then null. */
export class ApiError extends Error {
  readonly code: ErrorBody["code"] | null;
  readonly status: number;
  readonly details: Record<string, unknown>;
  /** Seconds after which it may work, where the gateway said so. */
  readonly retryAfter: number | null;

  constructor(
    message: string,
    status: number,
    body: ErrorBody | null = null,
    retryAfter: number | null = null,
  ) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = body?.code ?? null;
    this.details = body?.details ?? {};
    this.retryAfter = retryAfter;
  }

  /** What to do about it. */
  get remedy(): string | null {
    return text(this.details.remedy);
  }

  /** The input it is about, where it is about one. */
  get field(): string | null {
    return text(this.details.field);
  }
}

/** Return what a person should read of an error of an entity, such as a model's. */
export function remedyOf(body: ErrorBody | null | undefined): string | null {
  return text(body?.details?.remedy);
}

/** Return an error that was thrown as one of ours. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new ApiError(message, 0);
}

/** Return the error that an answer holds; one that is not ours says its status. */
export function errorOf(response: Response, body: unknown): ApiError {
  const found = (body as { error?: ErrorBody } | null)?.error;
  const seconds = Number(response.headers.get("Retry-After"));
  const retryAfter = Number.isFinite(seconds) && seconds > 0 ? seconds : null;
  if (found?.code && found.message) {
    return new ApiError(found.message, response.status, found, retryAfter);
  }
  return new ApiError(
    `The gateway answered ${response.status}.`,
    response.status,
    null,
    retryAfter,
  );
}

function text(value: unknown): string | null {
  return typeof value === "string" && value ? value : null;
}
