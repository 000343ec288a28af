/** Return what a number input holds; null where it is empty. */
export function numberOf(value: string | number): number | null {
  return value === "" || !Number.isFinite(Number(value)) ? null : Number(value);
}
