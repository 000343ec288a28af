import { Anchor, Group, NumberInput, Select, SimpleGrid, Text } from "@mantine/core";
import { Upload } from "lucide-react";
import { Link } from "react-router";
import type { Dataset, ModelSummary } from "@/api/types";
import { count } from "@/ui/format";
import { StatusBadge } from "@/ui/StatusBadge";
import { numberOf } from "../numberOf";
import type { Choice, Dtype } from "./choice";
import type { Problems } from "./problems";

interface Props {
  model: ModelSummary;
  datasets: readonly Dataset[];
  choice: Choice;
  onChange: (change: Partial<Choice>) => void;
  problems: Problems;
}

const DTYPES: { value: Dtype; label: string }[] = [
  { value: "float32", label: "float32 · 4 bytes" },
  { value: "bfloat16", label: "bfloat16 · 2 bytes" },
  { value: "float16", label: "float16 · 2 bytes" },
  { value: "int8", label: "int8 · 1 byte and a scale a token" },
];

/** Over which text, how much of it, and in which type it is stored. */
export function DatasetFields({ model, datasets, choice, onChange, problems }: Props) {
  const dataset = datasets.find((each) => each.id === choice.datasetId);
  const own = model.dtype ? `the model's own, ${model.dtype}` : "the model's own";
  return (
    <SimpleGrid cols={{ base: 1, xs: 3 }} spacing="md">
      <Select
        label="Dataset"
        placeholder="Choose a dataset"
        inputWrapperOrder={["label", "input", "description", "error"]}
        description={
          // High enough to be hit by a finger, without moving what is below.
          <Anchor
            component={Link}
            to="/datasets"
            size="xs"
            inherit
            display="inline-block"
            py={5}
            my={-5}
          >
            <Upload size={11} aria-hidden style={{ verticalAlign: "-1px" }} /> Upload text
          </Anchor>
        }
        data={datasets.map((each) => ({
          value: each.id,
          label: each.name,
          disabled: each.status !== "ready",
        }))}
        renderOption={({ option }) => (
          <Option dataset={datasets.find((each) => each.id === option.value)} />
        )}
        value={choice.datasetId}
        onChange={(datasetId) => onChange({ datasetId, column: null })}
        searchable={datasets.length > 6}
        allowDeselect={false}
        nothingFoundMessage="No dataset is called so"
        comboboxProps={{ width: 300, position: "bottom-start" }}
        error={problems.dataset_id}
      />
      <NumberInput
        label="Samples"
        placeholder={dataset ? `all ${count(dataset.sample_count)}` : "all"}
        inputWrapperOrder={["label", "input", "description", "error"]}
        description="The first so many; all where empty"
        min={1}
        allowDecimal={false}
        allowNegative={false}
        thousandSeparator=","
        value={choice.samples ?? ""}
        onChange={(value) => onChange({ samples: numberOf(value) })}
        error={problems.sample_count}
      />
      <Select
        label="Stored as"
        placeholder={own}
        inputWrapperOrder={["label", "input", "description", "error"]}
        description="Type of the stored values"
        data={DTYPES}
        value={choice.dtype}
        onChange={(dtype) => onChange({ dtype: dtype as Dtype | null })}
        clearable
        clearButtonProps={{ "aria-label": "Store as the model's own type" }}
        comboboxProps={{ width: 260, position: "bottom-end" }}
        error={problems.dtype}
      />
    </SimpleGrid>
  );
}

function Option({ dataset }: { dataset: Dataset | undefined }) {
  if (!dataset) return null;
  return (
    <Group justify="space-between" wrap="nowrap" w="100%" gap="sm">
      <div style={{ minWidth: 0 }}>
        <Text size="sm" truncate>
          {dataset.name}
        </Text>
        <Text size="xs" c="dimmed">
          {dataset.sample_count === null
            ? "not counted yet"
            : `${count(dataset.sample_count)} samples`}
        </Text>
      </div>
      <StatusBadge status={dataset.status} />
    </Group>
  );
}
