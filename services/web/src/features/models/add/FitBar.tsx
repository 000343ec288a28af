import { Group, Progress, Text } from "@mantine/core";
import type { Schemas } from "@/api/types";
import { useEntities } from "@/state/entities";
import { type FormatEstimate, fitColor, fitInk, listed } from "@/ui/fit";
import { bytes } from "@/ui/format";
import { useModelNames } from "../fits";
import classes from "./fit.module.css";

interface Props {
  estimate: Schemas["Estimate"];
  told: FormatEstimate;
  /** With some of its blocks on the disk. */
  offload: boolean;
}

/** The device's budget: what is in memory, what of it would leave, and this model beside it. */
export function FitBar({ estimate, told, offload }: Props) {
  const leaving = useModelNames(told.evict);
  const held = useModelNames(told.held_by);
  const freed = useEntities((state) => {
    let sum = 0;
    for (const id of told.evict) sum += state.models[id]?.memory_usage_bytes ?? 0;
    return sum;
  });
  const { budget_bytes: budget, used_bytes: used } = estimate;
  const mine = offload && told.offload ? told.offload.total_bytes : told.total_bytes;
  const staying = Math.max(0, used - freed);
  const scale = Math.max(budget, staying + mine, 1);
  const part = (value: number) => (100 * value) / scale;
  const verdict = verdictOf(estimate, told, offload, leaving, held);
  return (
    <div>
      <Group justify="space-between" gap="xs" mb={6} wrap="nowrap" align="baseline">
        <Text
          size="sm"
          fw={600}
          role="status"
          c={offload ? "var(--mantine-color-text)" : fitInk(told)}
        >
          {verdict}
        </Text>
        <Text size="xs" c="dimmed" style={{ flex: "none" }}>
          {bytes(mine)} of {bytes(budget)}
        </Text>
      </Group>
      <div className={classes.bar} aria-hidden>
        <Progress.Root size="xl" radius="sm">
          <Progress.Section value={part(staying)} color="gray" withAria={false} />
          <Progress.Section
            value={part(mine)}
            color={offload ? "iris" : fitColor(told)}
            withAria={false}
          />
        </Progress.Root>
        {scale > budget && <div className={classes.limit} style={{ left: `${part(budget)}%` }} />}
      </div>
      <Group gap="md" mt={6}>
        <Legend color={offload ? "iris" : fitColor(told)} words={`this model, ${bytes(mine)}`} />
        {staying > 0 && <Legend color="gray" words={`others, ${bytes(staying)}`} />}
        {scale > budget && <Text size="xs">┊ the budget</Text>}
      </Group>
    </div>
  );
}

function Legend({ color, words }: { color: string; words: string }) {
  return (
    <Group gap={6} wrap="nowrap">
      <span
        className={classes.swatch}
        style={{ background: `var(--mantine-color-${color}-filled)` }}
      />
      <Text size="xs" c="dimmed">
        {words}
      </Text>
    </Group>
  );
}

function verdictOf(
  { budget_bytes }: Schemas["Estimate"],
  told: FormatEstimate,
  offload: boolean,
  leaving: readonly string[],
  held: readonly string[],
): string {
  if (told.unavailable) return told.unavailable;
  if (offload && told.offload) {
    return `Runs with ${told.offload.blocks} of its blocks on the disk.`;
  }
  if (told.fit === "now") return "Fits now.";
  if (told.fit === "never") {
    return `Never fits: it takes ${bytes(told.total_bytes)} of a budget of ${bytes(budget_bytes)}.`;
  }
  if (held.length) {
    return `Fits once ${listed([...leaving, ...held])} have left; ${listed(held)} ${held.length === 1 ? "is" : "are"} pinned or in use.`;
  }
  if (!leaving.length) return "Fits once other programs have freed memory.";
  return `Fits once ${listed(leaving)} ${leaving.length === 1 ? "has" : "have"} left memory.`;
}
