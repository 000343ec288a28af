import { Paper, Stack, Text, Title } from "@mantine/core";
import { useMemo } from "react";
import type { Cache, Schemas } from "@/api/types";
import { Chart } from "@/ui/Chart";
import { ErrorText } from "@/ui/ErrorText";
import { bytes, count, figure } from "@/ui/format";
import { kindOf, layerOf } from "@/ui/hookPoints";
import { type ListColumn, ListTable } from "@/ui/ListTable";

type Column = Schemas["ColumnSummary"];

/** Figures of each column over all its tokens, and how the norm grows from layer to layer. */
export function Statistics({ cache }: { cache: Cache }) {
  const { columns } = cache;
  const order = new Map(columns.map(({ hook_point }, index) => [hook_point, index]));
  const named: ListColumn<Column> = {
    title: "Hook point",
    sortBy: ({ hook_point }) => order.get(hook_point) ?? 0,
    render: ({ hook_point }) => (
      <Text size="sm" ff="monospace" fw={550}>
        {hook_point}
      </Text>
    ),
  };
  const scaled = columns.some(({ quantization_error }) => quantization_error);
  const overflown = columns.filter(({ overflow }) => overflow > 0);
  const broken = columns.filter(({ non_finite }) => non_finite > 0);
  return (
    <Stack>
      <Paper component="section" aria-label="Mean norm by layer">
        <Title order={2} size="h5" mb="xs">
          Mean norm by layer
        </Title>
        <NormsByLayer columns={columns} />
      </Paper>
      <ListTable
        label="Statistics of each column"
        rows={columns}
        idOf={({ hook_point }) => hook_point}
        columns={[named, ...FIGURES, ...(scaled ? SCALED : []), SIZE]}
        sorted={{ by: "Hook point", down: false }}
      />
      {overflown.length > 0 && (
        <Text size="sm">
          <b>Overflow</b>: some values left the range of float16. Extract again with dtype bfloat16
          or float32 to keep them.
        </Text>
      )}
      {broken.length > 0 && (
        <Text size="sm">
          <b>Non-finite</b>: some values are infinite or no number. Training on these rows spreads
          them; leave the rows out by their norm.
        </Text>
      )}
      {scaled && (
        <Text size="sm" c="dimmed">
          int8 keeps each row as whole numbers times a scale of its own. Its error is the length of
          the difference over that of the rows that were captured.
        </Text>
      )}
    </Stack>
  );
}

function NormsByLayer({ columns }: { columns: readonly Column[] }) {
  const option = useMemo(() => optionOf(columns), [columns]);
  return (
    <Chart
      option={option}
      height={260}
      label="Mean norm by layer; the table below has the same figures"
    />
  );
}

function optionOf(columns: readonly Column[]) {
  const places = [...new Set(columns.map(placeOf))];
  const kinds = [...new Set(columns.map(({ hook_point }) => kindOf(hook_point)))];
  const inBlocks = kinds.filter((kind) =>
    columns.some((each) => isOf(each, kind) && layerOf(each.hook_point) !== null),
  );
  const shown = inBlocks.length ? inBlocks : kinds;
  const few = places.length <= 4;
  return {
    grid: { left: 8, right: 16, top: shown.length > 1 ? 40 : 20, bottom: 24, containLabel: true },
    legend: shown.length > 1 ? { top: 0, type: "scroll" } : undefined,
    tooltip: { trigger: "axis", valueFormatter: (value: number | null) => figure(value) },
    xAxis: {
      type: "category",
      data: places,
      name: "layer",
      nameLocation: "middle",
      nameGap: 28,
      axisLabel: places.length <= 32 ? { interval: 0 } : {},
      axisTick: { show: false },
    },
    yAxis: { type: "value", name: "mean norm" },
    series: shown.map((kind) => ({
      name: kind,
      type: few ? "bar" : "line",
      barMaxWidth: 56,
      itemStyle: few ? { borderRadius: [4, 4, 0, 0] } : {},
      lineStyle: { width: 2.5 },
      symbolSize: 7,
      connectNulls: true,
      data: places.map((place) => {
        const found = columns.find((each) => placeOf(each) === place && belongs(each, kind));
        return found?.mean_norm ?? null;
      }),
    })),
  };
}

/** What stands outside the blocks is the residual stream too. */
function belongs(column: Column, kind: string): boolean {
  return isOf(column, kind) || (kind.startsWith("resid") && layerOf(column.hook_point) === null);
}

function isOf({ hook_point }: Column, kind: string): boolean {
  return kindOf(hook_point) === kind;
}

function placeOf({ hook_point }: Column): string {
  return String(layerOf(hook_point) ?? hook_point);
}

function alarming(value: number) {
  return value === 0 ? "0" : <ErrorText fw={650}>{count(value)}</ErrorText>;
}

const FIGURES: readonly ListColumn<Column>[] = [
  {
    title: "Width",
    sortBy: ({ width }) => width,
    render: ({ width }) => count(width),
    align: "right",
    from: 1000,
  },
  {
    title: "Mean norm",
    sortBy: ({ mean_norm }) => mean_norm ?? -1,
    render: ({ mean_norm }) => figure(mean_norm),
    align: "right",
  },
  {
    title: "Median norm",
    sortBy: ({ median_norm }) => median_norm ?? -1,
    render: ({ median_norm }) => figure(median_norm),
    align: "right",
  },
  {
    title: "Largest |x|",
    sortBy: ({ max_abs }) => max_abs ?? -1,
    render: ({ max_abs }) => figure(max_abs),
    align: "right",
  },
  {
    title: "Non-finite",
    sortBy: ({ non_finite }) => non_finite,
    render: ({ non_finite }) => alarming(non_finite),
    align: "right",
  },
  {
    title: "Overflow",
    sortBy: ({ overflow }) => overflow,
    render: ({ overflow }) => alarming(overflow),
    align: "right",
  },
];

const SCALED: readonly ListColumn<Column>[] = [
  {
    title: "int8 error",
    sortBy: ({ quantization_error }) => quantization_error?.relative_error ?? -1,
    render: ({ quantization_error }) => percent(quantization_error?.relative_error),
    align: "right",
  },
  {
    title: "Worst row",
    sortBy: ({ quantization_error }) => quantization_error?.max_row_error ?? -1,
    render: ({ quantization_error }) => percent(quantization_error?.max_row_error),
    align: "right",
  },
];

const SIZE: ListColumn<Column> = {
  title: "Size",
  sortBy: (column) => column.bytes,
  render: (column) => bytes(column.bytes),
  align: "right",
};

function percent(share: number | undefined): string {
  return share === undefined ? "–" : `${(100 * share).toFixed(2)} %`;
}
