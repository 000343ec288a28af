import {
  Group,
  Paper,
  SegmentedControl,
  Skeleton,
  Stack,
  Text,
  Title,
  useComputedColorScheme,
  useMantineTheme,
} from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useSearchParams } from "react-router";
import { asApiError } from "@/api/errors";
import type { Cache, Schemas } from "@/api/types";
import { readNorms } from "@/state/caches";
import { Chart } from "@/ui/Chart";
import { ErrorNotice } from "@/ui/ErrorNotice";
import { count, figure } from "@/ui/format";
import { bucketName, heatMap, lines } from "./normCharts";

/** Mean norms by hook point and position in the sample. */
export function Norms({ cache }: { cache: Cache }) {
  const { data, error, refetch } = useQuery({
    queryKey: ["norms", cache.id],
    queryFn: () => readNorms(cache.id),
    retry: false,
  });
  if (error) return <ErrorNotice error={asApiError(error)} onRetry={() => void refetch()} />;
  if (!data) {
    return (
      <div role="status" aria-busy="true" aria-label="Reading norms">
        <Skeleton h={420} />
      </div>
    );
  }
  if (!data.positions.length) return <Text c="dimmed">The cache holds no tokens.</Text>;
  return <Shown norms={data} />;
}

function Shown({ norms }: { norms: Schemas["Norms"] }) {
  const [query, setQuery] = useSearchParams();
  const asLines = query.get("as") === "lines";
  const scheme = useComputedColorScheme("light");
  const { fontFamily } = useMantineTheme();
  const { option, remark } = useMemo(
    () => (asLines ? lines(norms, scheme, fontFamily) : heatMap(norms, scheme, fontFamily)),
    [asLines, norms, scheme, fontFamily],
  );
  const { hook_points, tokens_read, total_tokens } = norms;
  return (
    <Paper component="section" aria-label="Norms by position">
      <Stack gap="sm">
        <Group justify="space-between">
          <div>
            <Title order={2} size="h5">
              Mean norm by position in the sample
            </Title>
            <Text size="sm" c="dimmed">
              {tokens_read < total_tokens
                ? `Over the first ${count(tokens_read)} of ${count(total_tokens)} tokens. `
                : `Over all ${count(total_tokens)} tokens. `}
              {remark}
            </Text>
          </div>
          <SegmentedControl
            aria-label="Drawn as"
            data={[
              { value: "map", label: "Heat map" },
              { value: "lines", label: "Lines" },
            ]}
            value={asLines ? "lines" : "map"}
            onChange={(as) => setQuery(as === "lines" ? { as } : {}, { replace: true })}
          />
        </Group>
        <Chart
          option={option}
          height={asLines ? 420 : Math.min(760, 130 + 30 * Math.max(4, hook_points.length))}
          label="Mean norm by hook point and position"
          table={<Figures norms={norms} />}
        />
      </Stack>
    </Paper>
  );
}

function Figures({ norms }: { norms: Schemas["Norms"] }) {
  return (
    <table>
      <caption>Mean norms by hook point and position</caption>
      <thead>
        <tr>
          <th scope="col">Hook point</th>
          {norms.positions.map((start, bucket) => (
            <th scope="col" key={start}>
              {bucketName(norms, bucket)}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {norms.hook_points.map((name, row) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            {norms.positions.map((start, bucket) => (
              <td key={start}>{figure(norms.mean_norms[row]?.[bucket])}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
