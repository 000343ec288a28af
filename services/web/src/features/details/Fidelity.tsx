import { Group, Paper, SimpleGrid, Stack, Text, Title } from "@mantine/core";
import type { EChartsCoreOption } from "echarts/core";
import { useMemo } from "react";
import type { Schemas } from "@/api/types";
import { Chart, SERIES } from "@/ui/Chart";
import { count, figure } from "@/ui/format";

const STEPS = 4;

type Report = Schemas["Fidelity"];

/** What quantising changed: perplexity, and how near each layer's output stayed. */
export function Fidelity({ report }: { report: Report }) {
  const { layers, probe_tokens, perplexity, reference_perplexity, perplexity_change } = report;
  return (
    <Paper p="lg" component="section" aria-label="Fidelity">
      <Stack gap="md">
        <Group justify="space-between" align="flex-start" gap="md">
          <div>
            <Title order={3} size="h5">
              Fidelity
            </Title>
            <Text size="sm" c="dimmed">
              What quantising changed of resid_post, over {count(probe_tokens)} tokens of text.
            </Text>
          </div>
          {perplexity_change !== null && (
            <div>
              <Text size="xs" c="dimmed" ta="right">
                Perplexity
              </Text>
              <Text fw={650} ta="right">
                {figure(reference_perplexity)} → {figure(perplexity)}{" "}
                <Text span inherit c="dimmed" fw={500}>
                  ({signed(perplexity_change)})
                </Text>
              </Text>
            </div>
          )}
        </Group>
        {layers.length > 0 && <Charts layers={layers} />}
      </Stack>
    </Paper>
  );
}

function Charts({ layers }: { layers: Report["layers"] }) {
  const [cosine, error] = useMemo(() => [cosineChart(layers), errorChart(layers)], [layers]);
  return (
    <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="lg">
      <div>
        <Text size="sm" fw={550}>
          Cosine
        </Text>
        <Chart
          option={cosine}
          height={180}
          label="Cosine of each layer's output with the reference's"
          table={<Table layers={layers} />}
        />
      </div>
      <div>
        <Text size="sm" fw={550}>
          Relative error
        </Text>
        <Chart
          option={error}
          height={180}
          label="Relative error of each layer's output, with its figures in the table before"
        />
      </div>
    </SimpleGrid>
  );
}

/** The same figures for who does not see the pictures. */
function Table({ layers }: { layers: Report["layers"] }) {
  return (
    <table>
      <caption>Fidelity of each layer</caption>
      <thead>
        <tr>
          <th scope="col">Hook point</th>
          <th scope="col">Cosine</th>
          <th scope="col">Relative error</th>
        </tr>
      </thead>
      <tbody>
        {layers.map(({ hook_point, cosine, relative_error }) => (
          <tr key={hook_point}>
            <th scope="row">{hook_point}</th>
            <td>{cosine.toFixed(5)}</td>
            <td>{figure(relative_error)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function base(layers: Report["layers"]): EChartsCoreOption {
  return {
    grid: { left: 8, right: 12, top: 16, bottom: 26, containLabel: true },
    tooltip: { trigger: "axis", confine: true },
    xAxis: {
      type: "category",
      data: layers.map(({ hook_point }) => hook_point.split(".")[1] ?? hook_point),
      name: "layer",
      nameLocation: "middle",
      nameGap: 26,
      axisTick: { show: false },
    },
  };
}

function cosineChart(layers: Report["layers"]): EChartsCoreOption {
  const { from, step } = axisBelowOne(Math.min(...layers.map(({ cosine }) => cosine)));
  const digits = Math.max(0, Math.ceil(-Math.log10(step)) + 1);
  return {
    ...base(layers),
    yAxis: {
      type: "value",
      min: from,
      max: 1,
      interval: step,
      axisLabel: { formatter: (value: number) => value.toFixed(digits) },
    },
    series: [
      {
        name: "cosine",
        type: "line",
        data: layers.map(({ cosine }) => cosine),
        symbolSize: 6,
        lineStyle: { width: 2.5 },
        color: SERIES[0],
      },
    ],
  };
}

function errorChart(layers: Report["layers"]): EChartsCoreOption {
  return {
    ...base(layers),
    yAxis: {
      type: "value",
      min: 0,
      splitNumber: 4,
      axisLabel: { formatter: (value: number) => figure(value) },
    },
    series: [
      {
        name: "relative error",
        type: "bar",
        data: layers.map(({ relative_error }) => relative_error),
        barMaxWidth: 22,
        itemStyle: { borderRadius: [3, 3, 0, 0] },
        color: SERIES[1],
      },
    ],
  };
}

/** What differs from 1 is in the last digits: an axis of four round steps that holds the least. */
function axisBelowOne(least: number): { from: number; step: number } {
  const each = Math.max(1 - least, 1e-6) / STEPS;
  const power = 10 ** Math.floor(Math.log10(each));
  const step = power * ([1, 2, 2.5, 5, 10].find((round) => round * power >= each) ?? 10);
  return { from: 1 - STEPS * step, step };
}

function signed(change: number): string {
  const percent = 100 * change;
  return `${percent < 0 ? "−" : "+"}${Math.abs(percent).toFixed(2)} %`;
}
