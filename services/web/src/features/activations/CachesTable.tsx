import { ActionIcon, Anchor, Badge, Button, Group, Text, Tooltip } from "@mantine/core";
import { Eye, Trash2 } from "lucide-react";
import { Link } from "react-router";
import type { Cache, Dataset, ModelSummary } from "@/api/types";
import { useEntities } from "@/state/entities";
import { useMay } from "@/state/session";
import { Ago } from "@/ui/Ago";
import { bytes, count } from "@/ui/format";
import { shortHookPoints } from "@/ui/hookPoints";
import { type ListColumn, ListTable } from "@/ui/ListTable";
import { StatusBadge } from "@/ui/StatusBadge";

/** Where Mantine's `md` begins, in pixels: below it the dataset stands under the model. */
const MEDIUM = 992;

const MEANING = {
  unchecked: "An extractor is to look for its files after a restore",
  missing: "Its files did not come along with a restore: extract again, or delete it",
} as const;

type Names = Readonly<Record<string, ModelSummary | Dataset>>;

interface Props {
  caches: readonly Cache[];
  onDelete: (cache: Cache) => void;
}

/** The caches, each with the way into it. */
export function CachesTable({ caches, onDelete }: Props) {
  const models = useEntities((state) => state.models);
  const datasets = useEntities((state) => state.datasets);
  const mayWrite = useMay("model:write");
  const modelOf = ({ model_id }: Cache) => nameOf(models, model_id);
  const datasetOf = ({ dataset_id }: Cache) =>
    dataset_id === null ? "deleted" : nameOf(datasets, dataset_id);
  const columns: ListColumn<Cache>[] = [
    {
      title: "Model",
      sortBy: modelOf,
      render: (cache) => (
        <div style={{ whiteSpace: "nowrap" }}>
          <Group gap="xs" wrap="nowrap">
            <Anchor component={Link} to={`/activations/${cache.id}`} fw={600} size="sm">
              {modelOf(cache)}
            </Anchor>
            {cache.status !== "ready" && (
              <Tooltip label={MEANING[cache.status]}>
                <span>
                  <StatusBadge status={cache.status} />
                </span>
              </Tooltip>
            )}
          </Group>
          <Text size="xs" c="dimmed" hiddenFrom="md">
            over {datasetOf(cache)}
          </Text>
        </div>
      ),
    },
    {
      title: "Dataset",
      from: MEDIUM,
      sortBy: datasetOf,
      render: (cache) =>
        cache.dataset_id === null ? (
          <Text size="sm" c="dimmed">
            deleted
          </Text>
        ) : (
          <Anchor
            component={Link}
            to={`/datasets/${cache.dataset_id}`}
            size="sm"
            c="inherit"
            style={{ whiteSpace: "nowrap" }}
          >
            {datasetOf(cache)}
          </Anchor>
        ),
    },
    ...FIGURES,
    {
      title: "Actions",
      untitled: true,
      align: "right",
      width: mayWrite ? 140 : 100,
      render: (cache) => (
        <Group gap={4} wrap="nowrap" justify="flex-end">
          <Button
            component={Link}
            to={`/activations/${cache.id}`}
            variant="default"
            size="compact-sm"
            leftSection={<Eye size={14} aria-hidden />}
            aria-label={`View ${modelOf(cache)} over ${datasetOf(cache)}`}
          >
            View
          </Button>
          {mayWrite && (
            <Tooltip label="Delete">
              <ActionIcon
                variant="subtle"
                color="gray"
                onClick={() => onDelete(cache)}
                aria-label={`Delete the cache of ${modelOf(cache)} over ${datasetOf(cache)}`}
              >
                <Trash2 size={16} aria-hidden />
              </ActionIcon>
            </Tooltip>
          )}
        </Group>
      ),
    },
  ];
  return (
    <ListTable
      label="Caches"
      rows={caches}
      idOf={({ id }) => id}
      columns={columns}
      sorted={{ by: "Captured", down: true }}
      nothing="No cache is of this model and dataset"
    />
  );
}

const FIGURES: readonly ListColumn<Cache>[] = [
  {
    title: "Hook points",
    sortBy: ({ hook_points }) => hook_points.length,
    render: ({ hook_points }) => (
      <Group gap={4}>
        {shortHookPoints(hook_points).map((each) => (
          <Badge key={each} variant="default" ff="monospace" size="sm" miw="max-content">
            {each}
          </Badge>
        ))}
      </Group>
    ),
  },
  {
    title: "Tokens",
    sortBy: ({ token_count }) => token_count,
    render: ({ token_count }) => count(token_count),
    align: "right",
    width: 110,
    from: MEDIUM,
  },
  {
    title: "Type",
    sortBy: ({ dtype }) => dtype,
    render: ({ dtype }) => (
      <Text size="sm" ff="monospace">
        {dtype}
      </Text>
    ),
    width: 100,
    from: 1100,
  },
  {
    title: "Size",
    sortBy: ({ file_size_bytes }) => file_size_bytes,
    render: ({ file_size_bytes }) => bytes(file_size_bytes),
    align: "right",
    width: 95,
  },
  {
    title: "Captured",
    sortBy: ({ created_at }) => Date.parse(created_at),
    render: ({ created_at }) => <Ago at={created_at} />,
    align: "right",
    width: 115,
    from: MEDIUM,
  },
  {
    title: "Last used",
    sortBy: ({ last_accessed_at }) => Date.parse(last_accessed_at),
    render: ({ last_accessed_at }) => <Ago at={last_accessed_at} />,
    align: "right",
    width: 115,
    from: 1200,
  },
];

function nameOf(table: Names, id: string): string {
  return table[id]?.name ?? id;
}
