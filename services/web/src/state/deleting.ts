/** Deleting what a table holds. */
import { type ApiError, asApiError } from "@/api/errors";
import { type Kind, remove } from "./entities";

/**
 * Ask for a deletion, and take the row away once it is done.
 *
 * @returns the error, where it could not be
 */
export async function deleting(
  kind: Kind,
  id: string,
  call: () => Promise<unknown>,
): Promise<ApiError | null> {
  try {
    await call();
    remove(kind, [id]);
    return null;
  } catch (thrown) {
    return asApiError(thrown);
  }
}
