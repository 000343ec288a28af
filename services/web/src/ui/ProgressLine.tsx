import { Group, Progress, Stack, Text } from "@mantine/core";

interface Props {
  /** 0 to 100. */
  value: number;
  /** What is going on. */
  label: string;
  /** Figures: how much, how fast, how long still. */
  detail?: string | null;
}

/** Long work on its way. */
export function ProgressLine({ value, label, detail }: Props) {
  return (
    <Stack gap={4}>
      <Group justify="space-between" gap="xs" wrap="nowrap">
        <Text size="xs" fw={550} truncate>
          {label}
        </Text>
        <Text size="xs" c="dimmed" style={{ flex: "none" }}>
          {Math.floor(value)} %
        </Text>
      </Group>
      <Progress.Root size="sm">
        <Progress.Section value={value} aria-label={label} />
      </Progress.Root>
      {detail && (
        <Text size="xs" c="dimmed" truncate>
          {detail}
        </Text>
      )}
    </Stack>
  );
}
