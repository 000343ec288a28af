/** A JSON object as lines of path and value. */

export interface Line {
  /** rope_scaling.factor, layers[3]. */
  path: string;
  value: string;
}

/** Return every leaf with its path; short lists of plain values are leaves. */
export function flat(value: unknown, path = ""): Line[] {
  if (Array.isArray(value) && value.some((each) => typeof each === "object" && each !== null)) {
    return value.flatMap((each, index) => flat(each, `${path}[${index}]`));
  }
  if (isRecord(value) && Object.keys(value).length) {
    return Object.entries(value).flatMap(([key, each]) =>
      flat(each, path ? `${path}.${key}` : key),
    );
  }
  return path ? [{ path, value: JSON.stringify(value) }] : [];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
