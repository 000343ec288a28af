import { ActionIcon, Anchor, Group, Text, TextInput, Tooltip } from "@mantine/core";
import { Search, Trash2 } from "lucide-react";
import { Link, useSearchParams } from "react-router";
import { remedyOf } from "@/api/errors";
import type { Dataset } from "@/api/types";
import { useMay } from "@/state/session";
import { Ago } from "@/ui/Ago";
import { ErrorText } from "@/ui/ErrorText";
import { bytes, count } from "@/ui/format";
import { type ListColumn, ListTable } from "@/ui/ListTable";
import { StatusBadge } from "@/ui/StatusBadge";
import { SOURCES } from "./words";

interface Props {
  datasets: readonly Dataset[];
  onDelete: (dataset: Dataset) => void;
}

/** The datasets, filtered by a text that stands in the address. */
export function DatasetsTable({ datasets, onDelete }: Props) {
  const [query, setQuery] = useSearchParams();
  const mayWrite = useMay("model:write");
  const text = query.get("search") ?? "";
  const wanted = text.toLowerCase();
  const rows = datasets.filter(({ name, identifier }) =>
    `${name} ${identifier}`.toLowerCase().includes(wanted),
  );
  return (
    <>
      <TextInput
        aria-label="Search datasets"
        placeholder="Search by name or place"
        leftSection={<Search size={16} aria-hidden />}
        w={{ base: "100%", xs: 320 }}
        value={text}
        onChange={({ currentTarget: { value } }) =>
          setQuery(value ? { search: value } : {}, { replace: true })
        }
      />
      <ListTable
        label="Datasets"
        rows={rows}
        idOf={({ id }) => id}
        sorted={{ by: "Added", down: true }}
        columns={mayWrite ? [...COLUMNS, deletion(onDelete)] : COLUMNS}
        nothing={`No dataset is called “${text}”`}
      />
    </>
  );
}

const COLUMNS: readonly ListColumn<Dataset>[] = [
  {
    title: "Name",
    sortBy: ({ name }) => name,
    render: (dataset) => <Name dataset={dataset} />,
  },
  {
    title: "Status",
    sortBy: ({ status }) => status,
    render: ({ status }) => <StatusBadge status={status} />,
    width: 135,
  },
  {
    title: "Samples from",
    sortBy: ({ text_column }) => text_column ?? "",
    render: ({ text_column }) =>
      text_column ? (
        <Text size="sm" ff="monospace">
          {text_column}
        </Text>
      ) : (
        "–"
      ),
    width: 150,
    from: 1100,
  },
  {
    title: "Samples",
    sortBy: ({ sample_count }) => sample_count ?? -1,
    render: ({ sample_count }) => count(sample_count),
    align: "right",
    width: 110,
  },
  {
    title: "Size",
    sortBy: ({ file_size_bytes }) => file_size_bytes ?? -1,
    render: ({ file_size_bytes }) => bytes(file_size_bytes),
    align: "right",
    width: 110,
  },
  {
    title: "Added",
    sortBy: ({ created_at }) => Date.parse(created_at),
    render: ({ created_at }) => <Ago at={created_at} />,
    align: "right",
    width: 120,
  },
];

function deletion(onDelete: (dataset: Dataset) => void): ListColumn<Dataset> {
  return {
    title: "Actions",
    untitled: true,
    render: (dataset) => (
      <Tooltip label="Delete">
        <ActionIcon
          variant="subtle"
          color="gray"
          onClick={() => onDelete(dataset)}
          aria-label={`Delete ${dataset.name}`}
        >
          <Trash2 size={16} aria-hidden />
        </ActionIcon>
      </Tooltip>
    ),
    align: "right",
    width: 60,
  };
}

function Name({ dataset }: { dataset: Dataset }) {
  const { id, name, source, identifier, error } = dataset;
  return (
    <div>
      <Anchor component={Link} to={`/datasets/${id}`} fw={600} size="sm">
        {name}
      </Anchor>
      <Group gap={6} wrap="nowrap">
        <Text size="xs" c="dimmed" truncate maw={420}>
          {SOURCES[source]}
          {source !== "upload" && (
            <>
              {": "}
              <Text span inherit ff="monospace">
                {identifier}
              </Text>
            </>
          )}
        </Text>
      </Group>
      {error && (
        <ErrorText size="xs" mt={2} maw={520}>
          {error.message} {remedyOf(error)}
        </ErrorText>
      )}
    </div>
  );
}
