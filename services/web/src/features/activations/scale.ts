/**
 * Colours for numbers, that a few outliers do not wash out, and text that is readable on each.
 *
 * Amounts run from light to dark (or dark to light on a dark page); numbers of both signs run from
 * orange by the page's colour to blue, which who sees few colours tells apart.
 */
import { AMOUNTS } from "@/ui/Chart";
import { luminance, mixed, type Rgb, rgb } from "./rgb";

export type Scheme = "light" | "dark";

const SIGNED: Record<Scheme, readonly string[]> = {
  light: ["#a34400", "#e0853d", "#f7d3b2", "#fbfbfd", "#c3cbf5", "#6878e0", "#2b3b9c"],
  dark: ["#f2a766", "#b8662a", "#5e3a20", "#1b1f29", "#2b3670", "#5265dc", "#aab4f2"],
};

/** Quantiles of what is shown, beyond which numbers get the colours of the ends. */
export const LOWEST = 0.01;
export const HIGHEST = 0.99;

export interface Scale {
  /** Numbers at the ends of the colours. */
  low: number;
  high: number;
  signed: boolean;
  colours: readonly string[];
  /** Return the background of a number and the text that is readable on it. */
  paint: (value: number) => { background: string; color: string };
  /** Whether a number lies beyond the ends. */
  beyond: (value: number) => boolean;
}

/**
 * Return the scale of some numbers.
 *
 * @param signed whether zero is the middle
 */
export function scaleOf(values: readonly number[], signed: boolean, scheme: Scheme): Scale {
  const sorted = values.toSorted((a, b) => a - b);
  const [least, most] = [quantile(sorted, LOWEST), quantile(sorted, HIGHEST)];
  const reach = Math.max(Math.abs(least), Math.abs(most));
  const [low, high] = signed ? [-reach, reach] : [least, most];
  const colours = signed ? SIGNED[scheme] : AMOUNTS[scheme];
  const stops = colours.map(rgb);
  const span = high - low || 1;
  return {
    low,
    high,
    signed,
    colours,
    paint: (value) => {
      const found = between(stops, Math.min(1, Math.max(0, (value - low) / span)));
      return { background: css(found), color: readableOn(found) };
    },
    beyond: (value) => value < low || value > high,
  };
}

/** Return the value below which a share of the sorted numbers lies; 0 for none. */
export function quantile(sorted: readonly number[], share: number): number {
  if (!sorted.length) return 0;
  const place = share * (sorted.length - 1);
  const below = sorted[Math.floor(place)] ?? 0;
  const above = sorted[Math.ceil(place)] ?? below;
  return below + (above - below) * (place - Math.floor(place));
}

/** Black or white: one of the two has a contrast of 4.5 and more with any colour. */
function readableOn(background: Rgb): string {
  return luminance(background) > 0.179 ? "#000" : "#fff";
}

function between(stops: readonly Rgb[], place: number): Rgb {
  const at = place * (stops.length - 1);
  const from = stops[Math.floor(at)] as Rgb;
  return mixed(from, stops[Math.ceil(at)] ?? from, at - Math.floor(at));
}

function css([red, green, blue]: Rgb): string {
  return `rgb(${Math.round(red)} ${Math.round(green)} ${Math.round(blue)})`;
}
