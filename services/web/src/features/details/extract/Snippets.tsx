import { Group, SegmentedControl, Stack, Text } from "@mantine/core";
import { useState } from "react";
import type { Capture } from "@/state/extractions";
import { CopyBlock } from "@/ui/CopyBlock";
import { commandOf, pythonOf } from "./elsewhere";

/** The same extraction to be copied: as a command, and as Python. */
export function Snippets({ modelId, capture }: { modelId: string; capture: Capture }) {
  const [way, setWay] = useState("command");
  const code = way === "command" ? commandOf(modelId, capture) : pythonOf(modelId, capture);
  return (
    <Stack gap="xs">
      <Group justify="space-between">
        <Text size="sm" fw={550}>
          The same from elsewhere
        </Text>
        <SegmentedControl
          size="xs"
          value={way}
          onChange={setWay}
          aria-label="Language"
          data={[
            { value: "command", label: "Command line" },
            { value: "python", label: "Python" },
          ]}
        />
      </Group>
      <CopyBlock code={code} label={way === "command" ? "command" : "Python"} />
    </Stack>
  );
}
