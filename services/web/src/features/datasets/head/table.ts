/** What the beginning of a file holds, decided as the service decides it over the whole file. */

export type Kind = "text" | "tokens" | "other";

export interface Column {
  name: string;
  kind: Kind;
}

export interface Table {
  columns: readonly Column[];
  rows: readonly Record<string, unknown>[];
  /** What is not shown, and why; null where all is. */
  remark: string | null;
}

const MOST_TOKEN = 2 ** 31 - 1;

/** Return what values hold; nulls say nothing. */
export function kindOf(values: readonly unknown[]): Kind {
  const known = values.filter((value) => value !== null && value !== undefined);
  if (!known.length) return "other";
  if (known.every((value) => typeof value === "string")) return "text";
  return known.every(isTokens) ? "tokens" : "other";
}

/** Return the column that is taken where none is named: `text`, `input_ids`, the first text. */
export function suggested(columns: readonly Column[]): string | null {
  for (const name of ["text", "input_ids"]) {
    if (columns.some((column) => column.name === name && column.kind !== "other")) return name;
  }
  return columns.find((column) => column.kind === "text")?.name ?? null;
}

function isTokens(value: unknown): boolean {
  return (
    Array.isArray(value) && value.every((id) => Number.isInteger(id) && id >= 0 && id <= MOST_TOKEN)
  );
}
