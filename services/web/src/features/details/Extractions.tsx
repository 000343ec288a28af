import { Button, Stack, Title } from "@mantine/core";
import { Layers } from "lucide-react";
import { useState } from "react";
import { Link } from "react-router";
import { useShallow } from "zustand/react/shallow";
import type { ModelSummary } from "@/api/types";
import { useEntities } from "@/state/entities";
import { underWay } from "@/state/extractions";
import { fetchAll } from "@/state/fetching";
import { EmptyState } from "@/ui/EmptyState";
import { ErrorNotice } from "@/ui/ErrorNotice";
import { ExtractionCard } from "./ExtractionCard";

const SHOWN = 20;

/** The extractions of a model: what runs, then what has ended, the newest first. */
export function Extractions({ model, extract }: { model: ModelSummary; extract: string }) {
  const running = useIds(model.id, true);
  const ended = useIds(model.id, false);
  const [most, setMost] = useState(SHOWN);
  const error = useEntities((state) => state.fetched.extractions.error);
  if (!running.length && !ended.length) {
    if (error) return <ErrorNotice error={error} onRetry={() => void fetchAll("extractions")} />;
    return (
      <EmptyState
        icon={Layers}
        title="Nothing extracted yet"
        action={
          <Button component={Link} to={extract}>
            Choose what to extract
          </Button>
        }
      >
        Activations of this model over a dataset, captured once and kept for as long as they are
        used.
      </EmptyState>
    );
  }
  return (
    <Stack gap="xl">
      {running.length > 0 && <Section title="Running" ids={running} />}
      {ended.length > 0 && <Section title="Ended" ids={ended.slice(0, most)} />}
      {ended.length > most && (
        <Button variant="default" onClick={() => setMost(most + SHOWN)}>
          Show older ones
        </Button>
      )}
    </Stack>
  );
}

function Section({ title, ids }: { title: string; ids: readonly string[] }) {
  return (
    <Stack gap="sm" component="section" aria-label={title}>
      <Title order={3} size="h5">
        {title}
      </Title>
      {ids.map((id) => (
        <ExtractionCard key={id} id={id} />
      ))}
    </Stack>
  );
}

function useIds(modelId: string, running: boolean): string[] {
  return useEntities(
    useShallow((state) =>
      Object.values(state.extractions)
        .filter((each) => each.model_id === modelId && running === underWay(each))
        .sort((a, b) => b.created_at.localeCompare(a.created_at))
        .map(({ extraction_id }) => extraction_id),
    ),
  );
}
