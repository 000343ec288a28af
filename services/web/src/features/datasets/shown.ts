/** Values of a dataset as one reads them in a cell. */

const MOST = 400;

/** Return a value as text, cut where it is long. */
export function shown(value: unknown): string {
  const text = typeof value === "string" ? value : json(value);
  return text.length > MOST ? `${text.slice(0, MOST)}…` : text;
}

function json(value: unknown): string {
  if (value === undefined || value === null) return "null";
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  const text = JSON.stringify(value, (_, each) => (typeof each === "bigint" ? Number(each) : each));
  return Array.isArray(value) ? text.replaceAll(",", ", ") : text;
}
