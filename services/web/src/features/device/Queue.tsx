import { Anchor, Group, Paper, Stack, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";
import { Link } from "react-router";
import type { Extraction, ModelSummary } from "@/api/types";
import { useEntities } from "@/state/entities";
import { underWay } from "@/state/extractions";
import { count, duration } from "@/ui/format";
import { ProgressLine } from "@/ui/ProgressLine";
import { StatusBadge } from "@/ui/StatusBadge";

/** Loads and extractions that run or wait, the running ones first. */
export function Queue() {
  const models = useEntities((state) => state.models);
  const extractions = useEntities((state) => state.extractions);
  const loading = Object.values(models)
    .filter((model) => model.status === "loading")
    .sort((a, b) => b.progress - a.progress);
  const working = Object.values(extractions).filter(underWay).sort(inOrder);
  const nothing = !loading.length && !working.length;
  return (
    <Paper component="section" aria-labelledby="queue">
      <Stack gap="md">
        <Title order={2} size="h4" id="queue">
          Queue
        </Title>
        {nothing && <Text c="dimmed">Nothing is loading or extracting.</Text>}
        {loading.map((model) => (
          <Load key={model.id} model={model} />
        ))}
        {working.map((extraction) => (
          <Work
            key={extraction.extraction_id}
            extraction={extraction}
            name={models[extraction.model_id]?.name ?? extraction.model_id}
          />
        ))}
      </Stack>
    </Paper>
  );
}

function Load({ model }: { model: ModelSummary }) {
  const told = useEntities((state) => state.loads[model.id]);
  return (
    <Item to={`/models/${model.id}`} name={model.name} status="loading">
      <ProgressLine
        value={model.progress}
        label={told?.message || model.stage || "waiting"}
        detail={told?.seconds_left != null ? `${duration(told.seconds_left)} left` : null}
      />
    </Item>
  );
}

function Work({ extraction, name }: { extraction: Extraction; name: string }) {
  const { status, samples_processed, total_samples, seconds_left, progress } = extraction;
  const samples = total_samples ? `${count(samples_processed)} of ${count(total_samples)}` : null;
  return (
    <Item to={`/models/${extraction.model_id}/extractions`} name={name} status={status}>
      <ProgressLine
        value={progress}
        label={`${extraction.hook_points.length} hook points`}
        detail={
          [
            samples && `${samples} samples`,
            seconds_left != null && `${duration(seconds_left)} left`,
          ]
            .filter(Boolean)
            .join(" · ") || null
        }
      />
    </Item>
  );
}

interface ItemProps {
  to: string;
  name: string;
  status: "loading" | Extraction["status"];
  children: ReactNode;
}

function Item({ to, name, status, children }: ItemProps) {
  return (
    <Stack gap={6}>
      <Group gap="sm">
        <Anchor component={Link} to={to} fw={600} size="sm">
          {name}
        </Anchor>
        <StatusBadge status={status} />
      </Group>
      {children}
    </Stack>
  );
}

function inOrder(a: Extraction, b: Extraction): number {
  if (a.status !== b.status) return a.status === "extracting" ? -1 : 1;
  return a.created_at.localeCompare(b.created_at);
}
