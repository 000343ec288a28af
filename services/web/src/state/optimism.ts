/** Showing at once what was asked for, and taking it back when it is refused. */
import { asApiError } from "@/api/errors";
import { type Kind, type Kinds, patch, useEntities } from "./entities";
import { tellError } from "./toasts";

/**
 * Change a row, ask for the same, and undo the change where that is refused.
 *
 * Only fields that nobody has changed meanwhile are put back.
 *
 * @param title what could not be done, for the toast
 * @returns what the call answered, or undefined after an error, which has been shown
 */
export async function optimistically<K extends Kind, T>(
  kind: K,
  id: string,
  change: Partial<Kinds[K]>,
  title: string,
  call: () => Promise<T>,
): Promise<T | undefined> {
  const before = useEntities.getState()[kind][id] as Kinds[K] | undefined;
  patch(kind, id, change);
  try {
    return await call();
  } catch (thrown) {
    const now = useEntities.getState()[kind][id] as Kinds[K] | undefined;
    if (before && now) {
      const undone: Partial<Kinds[K]> = {};
      for (const key of Object.keys(change) as (keyof Kinds[K])[]) {
        if (Object.is(now[key], change[key])) undone[key] = before[key];
      }
      patch(kind, id, undone);
    }
    tellError(title, asApiError(thrown));
    return undefined;
  }
}
