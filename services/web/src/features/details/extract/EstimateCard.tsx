import { Alert, Group, Loader, Paper, Progress, Stack, Text, Title } from "@mantine/core";
import { CircleCheck } from "lucide-react";
import type { ReactNode } from "react";
import type { Schemas } from "@/api/types";
import { bytes, count, duration } from "@/ui/format";

interface Props {
  estimate: Schemas["ExtractionEstimate"] | null;
  busy: boolean;
  /** How many columns are asked for, and how many of them are stored already. */
  columns: number;
  stored: number;
  /** What is missing before there is anything to estimate. */
  missing: string | null;
  children: ReactNode;
}

/** What the chosen extraction would take, and the button that asks for it. */
export function EstimateCard({ estimate, busy, columns, stored, missing, children }: Props) {
  return (
    <Paper p="lg" component="section" aria-label="Estimate">
      <Stack gap="md">
        <Group justify="space-between">
          <Title order={3} size="h5">
            What it takes
          </Title>
          {busy && <Loader size={16} role="status" aria-label="Estimating" />}
        </Group>
        {estimate && !missing ? (
          <Figures estimate={estimate} columns={columns} stored={stored} />
        ) : (
          <Text size="sm" c="dimmed">
            {missing ?? (busy ? "Counting tokens…" : "Nothing can be told of what is refused.")}
          </Text>
        )}
        {children}
      </Stack>
    </Paper>
  );
}

function Figures(props: {
  estimate: Schemas["ExtractionEstimate"];
  columns: number;
  stored: number;
}) {
  const { estimate, columns, stored } = props;
  const { cached, estimated_time_seconds, estimated_bytes, total_tokens, rows_sampled } = estimate;
  return (
    <>
      {cached && (
        <Alert color="teal" variant="light" icon={<CircleCheck aria-hidden />} p="sm">
          All of it is stored already: nothing is computed.
        </Alert>
      )}
      <Group gap="xl" align="flex-start">
        <Figure label="Time" value={cached ? "none" : duration(estimated_time_seconds)} large />
        <Figure label="To be written" value={bytes(estimated_bytes)} large />
      </Group>
      {estimate.available_bytes !== null && estimated_bytes !== null && (
        <Disk needed={estimated_bytes} free={estimate.available_bytes} />
      )}
      <Stack gap={6}>
        <Line label="Columns">
          {count(columns)}
          {stored > 0 && !cached && `, ${count(stored)} stored`}
        </Line>
        <Line label="Tokens">
          {rows_sampled > 0 && "about "}
          {count(total_tokens)}
        </Line>
      </Stack>
      {rows_sampled > 0 && (
        <Text size="xs" c="dimmed">
          Tokens were counted in {count(rows_sampled)} rows.
        </Text>
      )}
      {estimate.unknown && (
        <Text size="xs" c="dimmed">
          {estimate.unknown}
        </Text>
      )}
    </>
  );
}

function Figure({ label, value, large }: { label: string; value: string; large?: true }) {
  return (
    <div>
      <Text size="xs" c="dimmed">
        {label}
      </Text>
      <Text fw={650} fz={large ? 22 : "sm"} lh={1.3}>
        {value}
      </Text>
    </div>
  );
}

/** What would be written beside what the disk has left. */
function Disk({ needed, free }: { needed: number; free: number }) {
  const share = free ? Math.min(100, (100 * needed) / free) : 100;
  const tight = needed > free;
  const color = tight ? "red" : share > 60 ? "yellow" : "iris";
  const words = `${bytes(needed)} of ${bytes(free)} free on the disk`;
  return (
    <div>
      <Progress.Root size={10} aria-label="Share of the free disk">
        <Progress.Section
          value={needed ? Math.max(share, 1.5) : 0}
          color={color}
          aria-label={words}
          aria-valuetext={words}
        />
      </Progress.Root>
      <Text size="xs" c={tight ? "red" : "dimmed"} mt={4}>
        {tight ? `More than the ${bytes(free)} that the disk has left.` : words}
      </Text>
    </div>
  );
}

function Line({ label, children }: { label: string; children: ReactNode }) {
  return (
    <Group justify="space-between" gap="sm" wrap="nowrap">
      <Text size="sm" c="dimmed">
        {label}
      </Text>
      <Text size="sm" fw={550} ta="right">
        {children}
      </Text>
    </Group>
  );
}
