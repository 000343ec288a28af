import { Box, Button, Group, Select, Stack, Text } from "@mantine/core";
import { Layers } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import { Link, useSearchParams } from "react-router";
import { useShallow } from "zustand/react/shallow";
import type { Cache } from "@/api/types";
import { useEntities } from "@/state/entities";
import { fetchAll } from "@/state/fetching";
import { CopyBlock } from "@/ui/CopyBlock";
import { EmptyState } from "@/ui/EmptyState";
import { ErrorNotice } from "@/ui/ErrorNotice";
import { bytes, count } from "@/ui/format";
import { Page } from "@/ui/Page";
import { PageSkeleton } from "@/ui/PageSkeleton";
import { CachesTable } from "./CachesTable";

const DeleteCache = lazy(() => import("./DeleteCache"));

/** The caches of activations: which there are, what they hold, and what they take. */
export default function ActivationsPanel() {
  const caches = useEntities(useShallow((state) => Object.values(state.caches)));
  const { status, error } = useEntities((state) => state.fetched.caches);
  const [query, setQuery] = useSearchParams();
  const [deleting, setDeleting] = useState<{ cache: Cache; open: boolean } | null>(null);
  const model = query.get("model");
  const dataset = query.get("dataset");
  const rows = caches.filter(
    ({ model_id, dataset_id }) =>
      (!model || model_id === model) && (!dataset || dataset_id === dataset),
  );

  function filter(key: string, value: string | null) {
    const next = new URLSearchParams(query);
    if (value) next.set(key, value);
    else next.delete(key);
    setQuery(next, { replace: true });
  }

  if (status !== "yes" && !caches.length) return <PageSkeleton />;
  return (
    <Page title="Activations" description={<Summary caches={rows} all={caches.length} />}>
      {error && <ErrorNotice error={error} onRetry={() => void fetchAll("caches")} />}
      {caches.length > 0 && (
        <Stack gap="sm">
          <Group gap="sm">
            <Filter
              label="Model"
              kind="models"
              ids={caches.map(({ model_id }) => model_id)}
              value={model}
              onChange={(value) => filter("model", value)}
            />
            <Filter
              label="Dataset"
              kind="datasets"
              ids={caches.flatMap(({ dataset_id }) => dataset_id ?? [])}
              value={dataset}
              onChange={(value) => filter("dataset", value)}
            />
          </Group>
          <CachesTable caches={rows} onDelete={(cache) => setDeleting({ cache, open: true })} />
        </Stack>
      )}
      {!caches.length && !error && <None />}
      <Suspense fallback={null}>
        {deleting && (
          <DeleteCache
            cache={deleting.cache}
            opened={deleting.open}
            onClose={() => setDeleting({ ...deleting, open: false })}
          />
        )}
      </Suspense>
    </Page>
  );
}

function Summary({ caches, all }: { caches: readonly Cache[]; all: number }) {
  const stored = useEntities((state) =>
    Object.values(state.devices).reduce((most, each) => Math.max(most, each.store_bytes), 0),
  );
  if (!all) return "What models computed while they read a dataset, kept for reuse.";
  const size = caches.reduce((sum, cache) => sum + cache.file_size_bytes, 0);
  const shown =
    caches.length < all
      ? `${count(caches.length)} of ${count(all)} caches, ${bytes(size)}`
      : `${count(all)} ${all === 1 ? "cache" : "caches"}, ${bytes(size)}`;
  // Columns that several caches show lie on the disk once. What lies there is measured once a minute,
  // so less of it than shown says nothing by itself.
  const share = new Set(caches.map((cache) => cache.store_key)).size < caches.length;
  return share && stored && stored < size && caches.length === all
    ? `${shown}; ${bytes(stored)} on the disk, as some share columns`
    : shown;
}

interface FilterProps {
  label: string;
  kind: "models" | "datasets";
  ids: readonly string[];
  value: string | null;
  onChange: (value: string | null) => void;
}

function Filter({ label, kind, ids, value, onChange }: FilterProps) {
  const table = useEntities((state) => state[kind]);
  const known = [...new Set(value ? [...ids, value] : ids)];
  return (
    <Select
      aria-label={label}
      placeholder={`Any ${label.toLowerCase()}`}
      data={known.map((id) => ({ value: id, label: table[id]?.name ?? id }))}
      value={value}
      onChange={onChange}
      clearable
      searchable={known.length > 8}
      clearButtonProps={{ "aria-label": `Any ${label.toLowerCase()}` }}
      w={{ base: "100%", xs: 240 }}
    />
  );
}

function None() {
  return (
    <EmptyState
      icon={Layers}
      title="No activations yet"
      action={
        <Button component={Link} to="/models">
          Choose a model to extract from
        </Button>
      }
    >
      <Stack gap="sm">
        <Text inherit>
          An extraction runs a model over a dataset and keeps what its layers compute, a row a
          token. Open a model and choose hook points, or from a terminal:
        </Text>
        <Box ta="left">
          <CopyBlock
            code="mistudio extract gpt2 texts --layers 0,6,-1"
            label="the command that extracts"
          />
        </Box>
      </Stack>
    </EmptyState>
  );
}
