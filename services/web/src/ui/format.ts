/** Numbers as people read them. */

// Made once: making one takes as long as many uses of it.
const COUNTS = new Intl.NumberFormat("en-US");
const MOMENTS = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

/** 1234567 → "1.23 MB"; powers of 1,000, as disks and the command line count. */
export function bytes(value: number | null | undefined): string {
  if (value == null) return "–";
  let amount = Math.abs(value);
  let unit = 0;
  while (amount >= 999.5 && unit < UNITS.length - 1) {
    amount /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || amount >= 100 ? 0 : amount >= 10 ? 1 : 2;
  return `${value < 0 ? "−" : ""}${amount.toFixed(digits)} ${UNITS[unit]}`;
}

/** 124439808 → "124 M"; as parameters of models are told. */
export function magnitude(value: number | null | undefined): string {
  if (value == null) return "–";
  for (const [size, letter] of [
    [1e12, "T"],
    [1e9, "B"],
    [1e6, "M"],
    [1e3, "k"],
  ] as const) {
    if (value >= size) {
      const amount = value / size;
      return `${amount.toFixed(amount >= 100 ? 0 : amount >= 10 ? 1 : 2)} ${letter}`;
    }
  }
  return String(value);
}

/** 12345 → "12,345". */
export function count(value: number | null | undefined): string {
  return value == null ? "–" : COUNTS.format(value);
}

/** 3725 → "1 h 2 min"; 4.25 → "4.3 s". */
export function duration(seconds: number | null | undefined): string {
  if (seconds == null) return "–";
  if (seconds < 0.0995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return join(Math.floor(whole / 60), "min", whole % 60, "s");
  const minutes = Math.round(whole / 60);
  if (minutes < 24 * 60) return join(Math.floor(minutes / 60), "h", minutes % 60, "min");
  const hours = Math.round(minutes / 60);
  return join(Math.floor(hours / 24), "d", hours % 24, "h");
}

/** How long ago a moment was: "just now", "5 min ago". */
export function ago(moment: string | null | undefined, now: number = Date.now()): string {
  if (!moment) return "–";
  const seconds = Math.max(0, (now - Date.parse(moment)) / 1000);
  if (seconds < 10) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** A moment in full, in the reader's own time zone. */
export function moment(value: string | null | undefined): string {
  return value ? MOMENTS.format(new Date(value)) : "–";
}

/** 0.12345 → "0.123"; three significant digits. */
export function figure(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(3)));
}

/** The name of a quantisation as people say it. */
export function format(quantization: string): string {
  return quantization === "none" ? "as it is" : quantization;
}

function join(large: number, unit: string, small: number, smaller: string): string {
  return small ? `${large} ${unit} ${small} ${smaller}` : `${large} ${unit}`;
}
