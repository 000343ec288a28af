import { Anchor, Button, Menu, Paper, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { ChevronDown, Database, Layers, Trash2 } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import { Link, useNavigate, useParams } from "react-router";
import { useShallow } from "zustand/react/shallow";
import { asApiError } from "@/api/errors";
import type { Dataset } from "@/api/types";
import { readDataset } from "@/state/datasets";
import { useEntities } from "@/state/entities";
import { useMay } from "@/state/session";
import { Ago } from "@/ui/Ago";
import { EmptyState } from "@/ui/EmptyState";
import { ErrorNotice } from "@/ui/ErrorNotice";
import { Facts } from "@/ui/Facts";
import { bytes, count } from "@/ui/format";
import { Page } from "@/ui/Page";
import { PageSkeleton } from "@/ui/PageSkeleton";
import { StatusBadge } from "@/ui/StatusBadge";
import type { Kind } from "./head";
import { RowsTable } from "./RowsTable";
import { TokenLengths } from "./TokenLengths";
import { UsedBy } from "./UsedBy";
import { SOURCES } from "./words";

const DeleteDataset = lazy(() => import("./DeleteDataset"));

/** One dataset: what it holds, how long its rows are, and what was made from it. */
export default function DatasetDetails() {
  const { datasetId = "" } = useParams();
  const listed = useEntities((state) => state.datasets[datasetId]);
  // What changed is read again, and what was deleted is found to be gone.
  const { data, error, refetch } = useQuery({
    queryKey: ["dataset", datasetId, listed?.updated_at ?? null],
    queryFn: () => readDataset(datasetId),
    placeholderData: () => listed,
    retry: false,
  });
  if (error) {
    const refused = asApiError(error);
    if (refused.status === 404) return <Gone />;
    return (
      <Page title="Dataset">
        <ErrorNotice error={refused} onRetry={() => void refetch()} />
      </Page>
    );
  }
  if (!data) return <PageSkeleton />;
  return <Details dataset={data} />;
}

function Details({ dataset }: { dataset: Dataset }) {
  const mayWrite = useMay("model:write");
  const navigate = useNavigate();
  const [deleting, setDeleting] = useState<boolean | null>(null);
  const columns = Object.entries(dataset.columns).map(([name, kind]) => ({
    name,
    kind: kind as Kind,
  }));
  const ready = dataset.status === "ready";
  return (
    <Page
      title={dataset.name}
      description={
        <Anchor component={Link} to="/datasets" size="sm">
          All datasets
        </Anchor>
      }
      actions={
        mayWrite && (
          <>
            <Button
              variant="default"
              leftSection={<Trash2 size={16} aria-hidden />}
              onClick={() => setDeleting(true)}
            >
              Delete
            </Button>
            {ready && <Extract datasetId={dataset.id} />}
          </>
        )
      }
    >
      {dataset.error && <ErrorNotice error={dataset.error} />}
      <Paper>
        <Facts
          facts={[
            ["Status", <StatusBadge key="status" status={dataset.status} />],
            ["Samples", count(dataset.sample_count)],
            ["Size", bytes(dataset.file_size_bytes)],
            ["Format", dataset.format],
            ["Samples are taken from", dataset.text_column],
            ["Source", SOURCES[dataset.source]],
            ["Place", dataset.source === "upload" ? null : dataset.identifier],
            ["Added", <Ago key="added" at={dataset.created_at} />],
            ["Id", <code key="id">{dataset.id}</code>],
          ]}
        />
      </Paper>
      {columns.length > 0 && (
        <section aria-label="First rows">
          <Title order={2} size="h4" mb="sm">
            First rows
          </Title>
          <RowsTable
            label="First rows"
            columns={columns}
            rows={dataset.preview}
            chosen={dataset.text_column}
          />
        </section>
      )}
      {ready && <TokenLengths dataset={dataset} />}
      <UsedBy datasetId={dataset.id} />
      <Suspense fallback={null}>
        {deleting !== null && (
          <DeleteDataset
            dataset={dataset}
            opened={deleting}
            onClose={() => setDeleting(false)}
            onDeleted={() => navigate("/datasets")}
          />
        )}
      </Suspense>
    </Page>
  );
}

/** Leads to the extraction over this dataset, of one of the models. */
function Extract({ datasetId }: { datasetId: string }) {
  const models = useEntities(useShallow((state) => Object.values(state.models)));
  if (!models.length) {
    return (
      <Button component={Link} to="/models">
        Add a model to extract from
      </Button>
    );
  }
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <Button
          leftSection={<Layers size={16} aria-hidden />}
          rightSection={<ChevronDown size={16} aria-hidden />}
        >
          Extract activations
        </Button>
      </Menu.Target>
      <Menu.Dropdown mah={360} style={{ overflowY: "auto" }}>
        <Menu.Label>Of which model?</Menu.Label>
        {models
          .toSorted((a, b) => a.name.localeCompare(b.name))
          .map(({ id, name, status }) => (
            <Menu.Item
              key={id}
              component={Link}
              to={`/models/${id}/extract?dataset=${datasetId}`}
              rightSection={<StatusBadge status={status} />}
            >
              {name}
            </Menu.Item>
          ))}
      </Menu.Dropdown>
    </Menu>
  );
}

function Gone() {
  return (
    <Page title="Datasets">
      <EmptyState
        icon={Database}
        title="There is no such dataset"
        action={
          <Button component={Link} to="/datasets" variant="default">
            All datasets
          </Button>
        }
      >
        It may have been deleted. Caches that were made from it are still among the activations.
      </EmptyState>
    </Page>
  );
}
