import { Button, Group, Input, Stack, Text, TextInput } from "@mantine/core";
import { Database } from "lucide-react";
import { BlockDiagram } from "./BlockDiagram";
import { type Choice, layersOf } from "./choice";
import { type Anatomy, inOrder, KINDS, type Kind, whyRefused } from "./hooks";
import { LayerStrip } from "./LayerStrip";
import { readLayers, writeLayers } from "./layers";
import type { Problems } from "./problems";
import { type Stored, shareOfKind, shareOfLayer } from "./stored";

interface Props {
  choice: Choice;
  onChange: (change: Partial<Choice>) => void;
  numLayers: number;
  anatomy: Anatomy;
  stored: Stored;
  problems: Problems;
}

/** Where to capture: which hook points of a block, and in which layers. */
export function PlaceFields({ choice, onChange, numLayers, anatomy, stored, problems }: Props) {
  const layers = layersOf(choice, numLayers);
  const problem = problems.hook_points ?? problems.hook_kinds;

  function toggle(kind: Kind) {
    const { kinds } = choice;
    const others = kinds.filter((each) => each !== kind);
    onChange({ kinds: kinds.includes(kind) ? others : inOrder([...kinds, kind]) });
  }

  return (
    <Stack gap="md">
      <Input.Wrapper
        label="Hook points"
        labelElement="div"
        description="Each is captured in every chosen layer; embed and final_norm once."
        error={problem}
        inputContainer={(children) => <div style={{ marginTop: 8 }}>{children}</div>}
      >
        <BlockDiagram
          chosen={choice.kinds}
          onToggle={toggle}
          anatomy={anatomy}
          numLayers={numLayers}
          stored={(kind) => shareOfKind(kind, layers, stored)}
        />
        <Refusals anatomy={anatomy} />
      </Input.Wrapper>
      <div>
        <Group align="flex-start" gap="sm" mb="xs">
          <TextInput
            label="Layers"
            placeholder="0-5,11 or all"
            value={choice.layers}
            onChange={(event) => onChange({ layers: event.currentTarget.value })}
            error={readLayers(choice.layers, numLayers).error ?? problems.layer_indices}
            styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }}
            flex={1}
            miw={160}
          />
          <Presets numLayers={numLayers} onChoose={(text) => onChange({ layers: text })} />
        </Group>
        <LayerStrip
          numLayers={numLayers}
          chosen={layers}
          onChange={(chosen) => onChange({ layers: writeLayers(chosen, numLayers) })}
          stored={(layer) => shareOfLayer(layer, choice.kinds, stored)}
        />
        <Group justify="space-between" gap="sm" mt={6}>
          <Text size="xs" c="dimmed">
            With Shift, a click takes all between.
          </Text>
          {stored.size > 0 && (
            <Text size="xs" c="dimmed">
              <Database
                size={12}
                strokeWidth={2.4}
                aria-hidden
                color="light-dark(var(--mantine-color-teal-8), var(--mantine-color-teal-4))"
              />{" "}
              stored already for this dataset and type; it is not computed again
            </Text>
          )}
        </Group>
      </div>
    </Stack>
  );
}

/** Why points of the diagram cannot be chosen, in words for everybody. */
function Refusals({ anatomy }: { anatomy: Anatomy }) {
  const reasons = new Map<string, Kind[]>();
  for (const kind of KINDS) {
    const why = whyRefused(kind, anatomy);
    if (why) reasons.set(why, [...(reasons.get(why) ?? []), kind]);
  }
  return [...reasons].map(([why, kinds]) => (
    <Text key={why} size="xs" c="dimmed" mt={6}>
      <Text span inherit ff="monospace">
        {kinds.join(", ")}
      </Text>{" "}
      cannot be captured of this model: {why}.
    </Text>
  ));
}

function Presets(props: { numLayers: number; onChoose: (text: string) => void }) {
  const { numLayers, onChoose } = props;
  const thirds = [0, Math.floor(numLayers / 2), numLayers - 1];
  const presets = [
    ["All", "all"],
    ["First, middle, last", writeLayers([...new Set(thirds)], numLayers)],
    ["None", ""],
  ] as const;
  return (
    // As far down as the input, which has a label above.
    <Button.Group mt={24}>
      {presets.map(([label, text]) => (
        <Button key={label} variant="default" fw={500} onClick={() => onChoose(text)}>
          {label}
        </Button>
      ))}
    </Button.Group>
  );
}
