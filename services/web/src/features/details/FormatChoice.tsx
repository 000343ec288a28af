import { Badge, Group, Radio, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import type { ModelSummary, Quantization, Schemas } from "@/api/types";
import { FIT_WORDS } from "@/ui/fit";
import { bytes, format } from "@/ui/format";
import classes from "./FormatChoice.module.css";

const FORMATS: readonly Quantization[] = ["none", "bf16", "fp16", "int8", "int4"];

interface Props {
  model: ModelSummary;
  value: Quantization;
  onChange: (value: Quantization) => void;
  disabled: boolean;
  error: string | null;
}

/** The formats, each with the memory it takes and whether that fits. */
export function FormatChoice({ model, value, onChange, disabled, error }: Props) {
  const { data, error: unknown } = useQuery({
    queryKey: ["fit", model.id, model.status],
    queryFn: ({ signal }) =>
      unwrap(
        api.GET("/api/models/{model_id}/estimate", {
          params: { path: { model_id: model.id } },
          signal,
        }),
      ),
    retry: false,
  });
  return (
    <Radio.Group
      label="Format"
      description={model.status === "ready" ? "Unload the model to change it." : unknown?.message}
      value={value}
      onChange={(chosen) => onChange(chosen as Quantization)}
      error={error}
    >
      <Stack gap={6} mt={6}>
        {FORMATS.map((each) => (
          <Format
            key={each}
            quantization={each}
            disabled={disabled}
            told={data?.formats.find(({ quantization }) => quantization === each)}
            recommended={data?.recommended === each}
          />
        ))}
      </Stack>
    </Radio.Group>
  );
}

interface FormatProps {
  quantization: Quantization;
  disabled: boolean;
  told: Schemas["FormatEstimate"] | undefined;
  recommended: boolean;
}

function Format({ quantization, disabled, told, recommended }: FormatProps) {
  const unavailable = told?.unavailable ?? null;
  const words = unavailable ?? (told && FIT_WORDS[told.fit]);
  return (
    <Radio.Card
      value={quantization}
      disabled={disabled || unavailable !== null}
      className={classes.card}
      data-disabled={disabled || unavailable !== null || undefined}
    >
      <Radio.Indicator size="xs" />
      <div style={{ flex: 1, minWidth: 0 }}>
        <Group gap={6} wrap="nowrap">
          <Text size="sm" fw={550} component="span">
            {format(quantization)}
          </Text>
          {recommended && (
            <Badge size="xs" variant="light">
              recommended
            </Badge>
          )}
        </Group>
        {words && (
          <Text size="xs" c="dimmed" component="span" display="block">
            {words}
          </Text>
        )}
      </div>
      {told && (
        <Text size="sm" component="span">
          {bytes(told.total_bytes)}
        </Text>
      )}
    </Radio.Card>
  );
}
