import { Group, Stack, Text } from "@mantine/core";
import type { ModelSummary } from "@/api/types";
import { duration, format } from "@/ui/format";

/** How a model is loaded and kept, to be read. */
export function Settings({ model }: { model: ModelSummary }) {
  const { int4_type, double_quant } = model.quantization_options;
  const options = `${int4_type}${double_quant ? ", scales quantised too" : ""}`;
  const rows = [
    ["Format", model.quantization === "int4" ? `int4, ${options}` : format(model.quantization)],
    ["Pinned", model.pinned ? "yes" : "no"],
    [
      "Leaves memory",
      model.keep_alive_seconds === null
        ? "when room is needed"
        : `after ${duration(model.keep_alive_seconds)} without use`,
    ],
    ["Offload", model.offload ? "what does not fit stays on the disk" : "no"],
  ] as const;
  return (
    <Stack component="dl" m={0} gap="xs">
      {rows.map(([label, value]) => (
        <Group key={label} justify="space-between" gap="sm" wrap="nowrap">
          <Text component="dt" size="sm" c="dimmed">
            {label}
          </Text>
          <Text component="dd" m={0} size="sm" ta="right">
            {value}
          </Text>
        </Group>
      ))}
    </Stack>
  );
}
