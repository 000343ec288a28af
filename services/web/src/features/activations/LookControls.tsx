import {
  ActionIcon,
  Button,
  Group,
  Input,
  NumberInput,
  SegmentedControl,
  Select,
  Tooltip,
} from "@mantine/core";
import { MoveUpRight, X } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import type { Cache } from "@/api/types";
import { count } from "@/ui/format";
import { type Look, useDirection } from "./look";

const DirectionDialog = lazy(() => import("./DirectionDialog"));

interface Props {
  cache: Cache;
  look: Look;
  onChange: (change: Record<string, string | null>) => void;
}

/** Chooses the hook point, and by what its rows are looked at. */
export function LookControls({ cache, look, onChange }: Props) {
  return (
    <Group align="flex-end" gap="md">
      <Select
        label="Hook point"
        data={cache.hook_points}
        value={look.hookPoint}
        allowDeselect={false}
        searchable={cache.hook_points.length > 8}
        onChange={(hook) => onChange({ hook })}
        w={220}
        styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }}
      />
      <Input.Wrapper label="By" labelElement="div">
        <SegmentedControl
          aria-label="By"
          data={[
            { value: "norm", label: "Norm" },
            { value: "neuron", label: "Neuron" },
            { value: "direction", label: "Direction" },
          ]}
          value={look.measure}
          onChange={(by) => onChange({ by: by === "norm" ? null : by })}
          display="flex"
        />
      </Input.Wrapper>
      {look.measure === "neuron" && (
        <NumberInput
          label={look.width ? `Neuron, of ${count(look.width)}` : "Neuron"}
          value={look.neuron}
          min={0}
          max={(look.width ?? 65_536) - 1}
          allowDecimal={false}
          allowNegative={false}
          clampBehavior="strict"
          onChange={(value) => value !== "" && onChange({ neuron: String(value) })}
          w={150}
        />
      )}
      {look.measure === "direction" && <DirectionButton look={look} />}
    </Group>
  );
}

function DirectionButton({ look: { direction, width } }: { look: Look }) {
  const [asking, setAsking] = useState<boolean | null>(null);
  return (
    <Group gap={4}>
      <Button
        variant="default"
        leftSection={<MoveUpRight size={16} aria-hidden />}
        onClick={() => setAsking(true)}
      >
        {direction ? `${direction.name} (${count(direction.components.length)})` : "Give a vector…"}
      </Button>
      {direction && (
        <Tooltip label="Forget it">
          <ActionIcon
            variant="subtle"
            color="gray"
            onClick={() => useDirection.setState({ direction: null })}
            aria-label="Forget the direction"
          >
            <X size={16} aria-hidden />
          </ActionIcon>
        </Tooltip>
      )}
      <Suspense fallback={null}>
        {asking !== null && (
          <DirectionDialog width={width} opened={asking} onClose={() => setAsking(false)} />
        )}
      </Suspense>
    </Group>
  );
}
