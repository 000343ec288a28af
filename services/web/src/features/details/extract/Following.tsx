import { Stack, Title } from "@mantine/core";
import { useShallow } from "zustand/react/shallow";
import { useEntities } from "@/state/entities";
import { underWay } from "@/state/extractions";
import { ExtractionCard } from "../ExtractionCard";

/** The extractions of a model that run, and the one that was just asked for however it ended. */
export function Following({ modelId, asked }: { modelId: string; asked: string | null }) {
  const ids = useEntities(
    useShallow((state) =>
      Object.values(state.extractions)
        .filter(
          (each) => each.model_id === modelId && (each.extraction_id === asked || underWay(each)),
        )
        .sort((a, b) => b.created_at.localeCompare(a.created_at))
        .map(({ extraction_id }) => extraction_id),
    ),
  );
  if (!ids.length) return null;
  return (
    <Stack gap="sm" component="section" aria-label="Extractions of this model">
      <Title order={3} size="h6">
        Extractions
      </Title>
      {ids.map((id) => (
        <ExtractionCard key={id} id={id} />
      ))}
    </Stack>
  );
}
