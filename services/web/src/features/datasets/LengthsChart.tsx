import { useMantineTheme } from "@mantine/core";
import { useMemo } from "react";
import type { Schemas } from "@/api/types";
import { Chart, SERIES } from "@/ui/Chart";
import { count } from "@/ui/format";

type Lengths = Schemas["TokenLengths"];

const OVER = SERIES[5];

/** A histogram of rows by length, with the model's context as a line. */
export function LengthsChart({ lengths }: { lengths: Lengths }) {
  const { fontFamily } = useMantineTheme();
  const option = useMemo(() => optionOf(lengths, fontFamily), [lengths, fontFamily]);
  return (
    <Chart
      option={option}
      height={260}
      label="Rows by their length in tokens"
      table={<Bins bins={lengths.bins} />}
    />
  );
}

function Bins({ bins }: { bins: Lengths["bins"] }) {
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">Tokens</th>
          <th scope="col">Rows</th>
        </tr>
      </thead>
      <tbody>
        {bins.map((bin) => (
          <tr key={bin.from_tokens}>
            <td>{told(bin)}</td>
            <td>{count(bin.rows)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function optionOf({ bins, context_length }: Lengths, fontFamily: string) {
  const from = bins[0]?.from_tokens ?? 0;
  const to = (bins.at(-1)?.to_tokens ?? 0) + 1;
  const inside = context_length !== null && context_length <= to;
  return {
    grid: { left: 8, right: 24, top: 28, bottom: 24, containLabel: true },
    tooltip: {
      trigger: "axis",
      axisPointer: { type: "none" },
      textStyle: { fontFamily },
      formatter: ([hit]: { dataIndex: number }[]) => {
        const bin = bins[hit?.dataIndex ?? 0];
        return bin ? `${told(bin)} tokens: <b>${count(bin.rows)}</b> rows` : "";
      },
    },
    xAxis: {
      type: "value",
      min: from,
      max: to,
      name: "tokens",
      nameLocation: "middle",
      nameGap: 28,
      splitLine: { show: false },
    },
    yAxis: { type: "value", name: "rows", minInterval: 1 },
    series: [
      {
        type: "bar",
        barCategoryGap: "6%",
        data: bins.map((bin) => ({
          value: [(bin.from_tokens + bin.to_tokens + 1) / 2, bin.rows],
          itemStyle: {
            borderRadius: [3, 3, 0, 0],
            ...(context_length !== null && bin.from_tokens > context_length ? { color: OVER } : {}),
          },
        })),
        markLine: inside
          ? {
              symbol: "none",
              silent: true,
              lineStyle: { color: OVER, type: "dashed", width: 1.5 },
              label: { formatter: `context ${count(context_length)}`, color: OVER, fontFamily },
              data: [{ xAxis: context_length }],
            }
          : { data: [] },
      },
    ],
  };
}

function told({ from_tokens, to_tokens }: Lengths["bins"][number]): string {
  if (from_tokens === to_tokens) return count(from_tokens);
  return `${count(from_tokens)}–${count(to_tokens)}`;
}
