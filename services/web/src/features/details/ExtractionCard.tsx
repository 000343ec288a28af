import { Box, Button, Group, Paper, Stack, Text } from "@mantine/core";
import { Layers } from "lucide-react";
import { Link } from "react-router";
import type { Extraction } from "@/api/types";
import { useEntities } from "@/state/entities";
import { cancelExtraction } from "@/state/extractions";
import { useMay } from "@/state/session";
import { ErrorNotice } from "@/ui/ErrorNotice";
import { ago, bytes, count, duration } from "@/ui/format";
import { ProgressLine } from "@/ui/ProgressLine";
import { StatusBadge } from "@/ui/StatusBadge";
import { summaryOf } from "./summary";

/** An extraction: what it captures, how far it is, and what came of it. */
export function ExtractionCard({ id }: { id: string }) {
  const extraction = useEntities((state) => state.extractions[id]);
  const dataset = useEntities(
    (state) => state.datasets[extraction?.dataset_id ?? ""]?.name ?? extraction?.dataset_id,
  );
  const numLayers = useEntities(
    (state) => state.models[extraction?.model_id ?? ""]?.num_layers ?? null,
  );
  if (!extraction) return null;
  const { hook_points, status } = extraction;
  const what = summaryOf(hook_points, numLayers);
  return (
    <Paper p="sm" component="article" aria-label={what}>
      <Stack gap={8}>
        <Group justify="space-between" align="flex-start" wrap="nowrap" gap="sm">
          <div style={{ minWidth: 0 }}>
            <Text size="sm" fw={600} lineClamp={2}>
              {what}
            </Text>
            <Text size="xs" c="dimmed">
              {[
                dataset,
                extraction.dtype,
                hook_points.length === 1 ? "1 column" : `${count(hook_points.length)} columns`,
                ago(extraction.created_at),
              ].join(" · ")}
            </Text>
          </div>
          <StatusBadge status={status} />
        </Group>
        <Outcome extraction={extraction} />
      </Stack>
    </Paper>
  );
}

function Outcome({ extraction }: { extraction: Extraction }) {
  const mayWrite = useMay("model:write");
  const { extraction_id, status, error } = extraction;
  switch (status) {
    case "queued":
    case "extracting":
      return (
        <Group gap="md" wrap="nowrap" align="center">
          <Box flex={1} miw={0}>
            <ProgressLine
              value={extraction.progress}
              label={status === "queued" ? "Waiting for its turn" : samplesOf(extraction)}
              detail={
                extraction.seconds_left === null
                  ? null
                  : `${duration(extraction.seconds_left)} left`
              }
            />
          </Box>
          {mayWrite && (
            <Button
              size="xs"
              variant="default"
              onClick={() => void cancelExtraction(extraction_id)}
            >
              Cancel
            </Button>
          )}
        </Group>
      );
    case "completed":
      return <Completed extraction={extraction} />;
    case "failed":
      return error && <ErrorNotice error={error} />;
    case "cancelled":
      return null;
  }
}

function Completed({ extraction }: { extraction: Extraction }) {
  const { cached, cache_id } = extraction;
  const figures = [
    extraction.total_tokens === null ? null : `${count(extraction.total_tokens)} tokens`,
    extraction.file_size_bytes === null ? null : bytes(extraction.file_size_bytes),
    cached || extraction.extraction_time_seconds === null
      ? null
      : `in ${duration(extraction.extraction_time_seconds)}`,
    skippedOf(extraction),
  ].filter(Boolean);
  return (
    <Group justify="space-between" gap="sm">
      <div>
        <Text size="xs">{figures.join(" · ")}</Text>
        {cached && (
          <Text size="xs" c="dimmed">
            All of it was cached already.
          </Text>
        )}
      </div>
      {cache_id && (
        <Button
          component={Link}
          to={`/activations/${cache_id}`}
          size="xs"
          variant="light"
          leftSection={<Layers size={14} aria-hidden />}
        >
          View activations
        </Button>
      )}
    </Group>
  );
}

function samplesOf({ samples_processed, total_samples }: Extraction): string {
  return total_samples === null
    ? `${count(samples_processed)} samples`
    : `${count(samples_processed)} of ${count(total_samples)} samples`;
}

function skippedOf({ skipped: { empty, too_long } }: Extraction): string | null {
  const parts = [empty && `${count(empty)} empty`, too_long && `${count(too_long)} too long`];
  const told = parts.filter(Boolean).join(", ");
  return told ? `${told} left out` : null;
}
