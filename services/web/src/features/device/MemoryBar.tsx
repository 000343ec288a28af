import { Box, Group, Progress, Stack, Text, Tooltip } from "@mantine/core";
import { bytes } from "@/ui/format";
import classes from "./MemoryBar.module.css";
import type { Portion } from "./portions";

interface Props {
  portions: readonly Portion[];
  /** What the whole bar stands for. */
  total: number;
  /** Models and captures may take so much; drawn as a line. */
  budget: number;
}

/** A device's memory as one bar: who has how much of it, and where the budget ends. */
export function MemoryBar({ portions, total, budget }: Props) {
  const share = (amount: number) => (100 * amount) / Math.max(total, 1);
  return (
    <Stack gap="sm" className={classes.memory}>
      <Box pos="relative" pt={20}>
        <Progress.Root size={28} radius="sm" aria-label="Device memory">
          {portions
            .filter((portion) => portion.bytes > 0)
            .map((portion) => (
              <Tooltip key={portion.key} label={`${portion.label}: ${bytes(portion.bytes)}`}>
                <Progress.Section
                  value={share(portion.bytes)}
                  color={portion.color}
                  aria-label={`${portion.label}: ${bytes(portion.bytes)}`}
                />
              </Tooltip>
            ))}
        </Progress.Root>
        {budget < total && (
          <div className={classes.budget} style={{ left: `${share(budget)}%` }}>
            <Text size="xs" fw={600} className={classes.label}>
              budget {bytes(budget)}
            </Text>
          </div>
        )}
      </Box>
      <Group gap="md" renderRoot={(props) => <ul {...props} />} className={classes.legend}>
        {portions.map((portion) => (
          <Group key={portion.key} gap={6} renderRoot={(props) => <li {...props} />} wrap="nowrap">
            <span className={classes.dot} style={{ background: colorOf(portion.color) }} />
            <Text size="sm">{portion.label}</Text>
            <Text size="sm" c="dimmed">
              {bytes(portion.bytes)}
            </Text>
          </Group>
        ))}
      </Group>
    </Stack>
  );
}

function colorOf(color: string): string {
  if (color.startsWith("var(")) return color;
  const [name, shade] = color.split(".");
  return `var(--mantine-color-${name}-${shade ?? 6})`;
}
