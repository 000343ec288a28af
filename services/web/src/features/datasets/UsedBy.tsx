import { Anchor, Paper, SimpleGrid, Stack, Table, Text, Title } from "@mantine/core";
import { Link } from "react-router";
import { useShallow } from "zustand/react/shallow";
import { useEntities } from "@/state/entities";
import { Ago } from "@/ui/Ago";
import { bytes, count } from "@/ui/format";
import { shortHookPoints } from "@/ui/hookPoints";
import { StatusBadge } from "@/ui/StatusBadge";

const MOST = 20;

/** The caches and extractions that a dataset is in. */
export function UsedBy({ datasetId }: { datasetId: string }) {
  return (
    <SimpleGrid cols={{ base: 1, md: 2 }} spacing="lg">
      <Caches datasetId={datasetId} />
      <Extractions datasetId={datasetId} />
    </SimpleGrid>
  );
}

function Caches({ datasetId }: { datasetId: string }) {
  const models = useEntities((state) => state.models);
  const caches = useEntities(
    useShallow((state) =>
      Object.values(state.caches).filter(({ dataset_id }) => dataset_id === datasetId),
    ),
  );
  return (
    <Section title="Caches made from it" none="None yet." total={caches.length}>
      {newest(caches).map((cache) => (
        <Table.Tr key={cache.id}>
          <Table.Td>
            <Anchor component={Link} to={`/activations/${cache.id}`} size="sm" fw={550}>
              {models[cache.model_id]?.name ?? cache.model_id}
            </Anchor>
            <Text size="xs" c="dimmed">
              {shortHookPoints(cache.hook_points).join("; ")}
            </Text>
          </Table.Td>
          <Table.Td ta="right">{count(cache.token_count)} tokens</Table.Td>
          <Table.Td ta="right">{bytes(cache.file_size_bytes)}</Table.Td>
        </Table.Tr>
      ))}
    </Section>
  );
}

function Extractions({ datasetId }: { datasetId: string }) {
  const models = useEntities((state) => state.models);
  const extractions = useEntities(
    useShallow((state) =>
      Object.values(state.extractions).filter(({ dataset_id }) => dataset_id === datasetId),
    ),
  );
  return (
    <Section title="Extractions over it" none="None yet." total={extractions.length}>
      {newest(extractions).map((extraction) => (
        <Table.Tr key={extraction.extraction_id}>
          <Table.Td>
            <Text size="sm" fw={550}>
              {models[extraction.model_id]?.name ?? extraction.model_id}
            </Text>
            <Text size="xs" c="dimmed">
              {shortHookPoints(extraction.hook_points).join("; ")}
            </Text>
          </Table.Td>
          <Table.Td>
            <StatusBadge status={extraction.status} />
          </Table.Td>
          <Table.Td ta="right">
            <Ago at={extraction.created_at} />
          </Table.Td>
        </Table.Tr>
      ))}
    </Section>
  );
}

interface SectionProps {
  title: string;
  none: string;
  total: number;
  children: React.ReactNode;
}

function Section({ title, none, total, children }: SectionProps) {
  return (
    <Paper component="section" aria-label={title}>
      <Stack gap="xs">
        <Title order={2} size="h4">
          {title}
        </Title>
        {total ? (
          <Table aria-label={title} fz="sm">
            <Table.Tbody>{children}</Table.Tbody>
          </Table>
        ) : (
          <Text size="sm" c="dimmed">
            {none}
          </Text>
        )}
        {total > MOST && (
          <Text size="xs" c="dimmed">
            The newest {MOST} of {count(total)}.
          </Text>
        )}
      </Stack>
    </Paper>
  );
}

function newest<T extends { created_at: string }>(rows: readonly T[]): T[] {
  return rows.toSorted((a, b) => b.created_at.localeCompare(a.created_at)).slice(0, MOST);
}
