/** Charts of mean norms by hook point and position. */
import type { Schemas } from "@/api/types";
import { AMOUNTS, SERIES } from "@/ui/Chart";
import { count, figure } from "@/ui/format";
import { mixed, rgb } from "./rgb";
import { quantile, type Scheme } from "./scale";

type Norms = Schemas["Norms"];

const LOWEST = 0.01;
const HIGHEST = 0.97;

export interface Drawn {
  option: Record<string, unknown>;
  /** What one must know to read it. */
  remark: string;
}

/** Return the positions of a bucket: `0`, `32–35`. */
export function bucketName({ positions, longest }: Norms, bucket: number): string {
  const from = positions[bucket] ?? 0;
  const to = (positions[bucket + 1] ?? longest) - 1;
  return from === to ? count(from) : `${count(from)}–${count(to)}`;
}

/** Return a heat map, hook points from below to above; colours follow the logarithm of norms. */
export function heatMap(norms: Norms, scheme: Scheme, fontFamily: string): Drawn {
  const cells = norms.mean_norms.flatMap((row, y) =>
    row.flatMap((value, x) => (value ? [[x, y, Math.log10(value)] as const] : [])),
  );
  const sorted = cells.map(([, , value]) => value).sort((a, b) => a - b);
  const [low, high] = [quantile(sorted, LOWEST), quantile(sorted, HIGHEST)];
  const above = (sorted.at(-1) ?? 0) > high + 0.02;
  return {
    option: {
      grid: { left: 8, right: 16, top: 44, bottom: 28, containLabel: true },
      tooltip: {
        textStyle: { fontFamily },
        formatter: ({ data: [x, y, value] }: { data: [number, number, number] }) =>
          `${norms.hook_points[y]}<br>position ${bucketName(norms, x)}: <b>${figure(10 ** value)}</b>`,
      },
      xAxis: {
        type: "category",
        data: norms.positions.map((_, bucket) => bucketName(norms, bucket)),
        name: "position in the sample",
        nameLocation: "middle",
        nameGap: 30,
        splitArea: { show: false },
      },
      yAxis: { type: "category", data: norms.hook_points, axisTick: { show: false } },
      visualMap: {
        min: low,
        max: high,
        calculable: false,
        hoverLink: false,
        orient: "horizontal",
        right: 8,
        top: 0,
        itemWidth: 12,
        itemHeight: 180,
        text: [`${figure(10 ** high)}${above ? " and above" : ""}`, figure(10 ** low)],
        inRange: { color: [...AMOUNTS[scheme]] },
        textStyle: { fontFamily },
      },
      series: [
        {
          type: "heatmap",
          data: cells,
          itemStyle: { borderWidth: 1, borderColor: scheme === "dark" ? "#14171f" : "#ffffff" },
          emphasis: { itemStyle: { borderColor: SERIES[1], borderWidth: 2 } },
          progressive: 0,
        },
      ],
    },
    remark: `Colours are logarithmic${above ? ` and end at the ${100 * HIGHEST}th percentile: ${giants(norms, 10 ** high)}` : "."}`,
  };
}

/** Return a line a hook point, on a logarithmic axis. */
export function lines(norms: Norms, scheme: Scheme, fontFamily: string): Drawn {
  const many = norms.hook_points.length;
  return {
    option: {
      grid: { left: 8, right: 16, top: 64, bottom: 28, containLabel: true },
      legend: { type: "scroll", top: 0, textStyle: { fontFamily } },
      tooltip: {
        trigger: "axis",
        textStyle: { fontFamily },
        valueFormatter: (value: number | null) => figure(value),
      },
      xAxis: {
        type: "category",
        boundaryGap: false,
        data: norms.positions.map((_, bucket) => bucketName(norms, bucket)),
        name: "position in the sample",
        nameLocation: "middle",
        nameGap: 30,
      },
      yAxis: {
        type: "log",
        name: "mean norm, logarithmic",
        nameTextStyle: { align: "left", fontFamily },
      },
      series: norms.hook_points.map((name, index) => ({
        name,
        type: "line",
        showSymbol: false,
        lineStyle: { width: 2 },
        color: many <= SERIES.length ? SERIES[index] : shade(index / (many - 1), scheme),
        // A logarithmic axis has no place for zero.
        data: (norms.mean_norms[index] ?? []).map((value) => value || null),
      })),
    },
    remark: "",
  };
}

/** More lines than colours one tells apart: from the first layer to the last, light to dark. */
function shade(share: number, scheme: Scheme): string {
  const [, from = "#b4bdf1", , , to = "#1b2a77"] = AMOUNTS[scheme];
  const [red, green, blue] = mixed(rgb(from), rgb(to), share);
  return `rgb(${Math.round(red)}, ${Math.round(green)}, ${Math.round(blue)})`;
}

function giants(norms: Norms, high: number): string {
  const first = norms.mean_norms.some((row) => (row[0] ?? 0) > high);
  return first
    ? "first positions are often giants, and would wash out the rest."
    : "a few are far above.";
}
