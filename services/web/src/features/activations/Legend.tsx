import { Group, Text } from "@mantine/core";
import { figure } from "@/ui/format";
import classes from "./Legend.module.css";
import type { Scale } from "./scale";

/** The colours of a scale, with the numbers at their ends. */
export function Legend({ scale, name }: { scale: Scale; name: string }) {
  const { low, high, signed, colours } = scale;
  return (
    <Group gap="xs" wrap="nowrap" role="img" aria-label={`Colours of ${name}: ${told(scale)}`}>
      <Text size="xs" fw={550}>
        {figure(low)}
      </Text>
      <div
        className={classes.bar}
        style={{ background: `linear-gradient(to right, ${colours.join(", ")})` }}
      >
        {signed && <span className={classes.zero}>0</span>}
      </div>
      <Text size="xs" fw={550}>
        {figure(high)}
      </Text>
    </Group>
  );
}

function told({ low, high }: Scale): string {
  return `from ${figure(low)} to ${figure(high)}`;
}
