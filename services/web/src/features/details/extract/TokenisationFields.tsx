import { Checkbox, NumberInput, Radio, Select, SimpleGrid, Stack } from "@mantine/core";
import type { Dataset, ModelSummary } from "@/api/types";
import { count } from "@/ui/format";
import { numberOf } from "../numberOf";
import { type Choice, columnOf, type Longer, usableColumns } from "./choice";
import type { Problems } from "./problems";

interface Props {
  model: ModelSummary;
  dataset: Dataset | undefined;
  choice: Choice;
  onChange: (change: Partial<Choice>) => void;
  problems: Problems;
}

/** How text becomes tokens, and how many samples go through at once. */
export function TokenisationFields({ model, dataset, choice, onChange, problems }: Props) {
  const columns = dataset ? usableColumns(dataset) : [];
  const own = dataset ? columnOf(dataset) : null;
  const context = model.context_length;
  return (
    <Stack gap="md">
      <SimpleGrid cols={{ base: 1, xs: 3 }} spacing="md">
        <Select
          label="Column"
          placeholder={own ? `${own}, the dataset's own` : "Choose a column"}
          data={columns}
          value={choice.column}
          onChange={(column) => onChange({ column })}
          clearable
          clearButtonProps={{ "aria-label": "Take the dataset's own column" }}
          disabled={!dataset}
          error={problems["tokenization.column"]}
        />
        <NumberInput
          label="Longest sample, in tokens"
          placeholder={context ? `${count(context)}, the model's context` : "the model's context"}
          min={1}
          allowDecimal={false}
          allowNegative={false}
          thousandSeparator=","
          value={choice.maxLength ?? ""}
          onChange={(value) => onChange({ maxLength: numberOf(value) })}
          error={problems["tokenization.max_length"]}
        />
        <NumberInput
          label="Batch size"
          placeholder="chosen by memory"
          min={1}
          max={4096}
          allowDecimal={false}
          allowNegative={false}
          value={choice.batchSize ?? ""}
          onChange={(value) => onChange({ batchSize: numberOf(value) })}
          error={problems.batch_size}
        />
      </SimpleGrid>
      <Radio.Group
        label="Longer samples"
        value={choice.longer}
        onChange={(value) => {
          const longer = value as Longer;
          const stride = choice.stride ?? choice.maxLength ?? context;
          onChange(longer === "windows" ? { longer, stride } : { longer });
        }}
        error={problems["tokenization.truncate"] ?? problems.tokenization}
      >
        <SimpleGrid cols={{ base: 1, xs: 3 }} spacing="md" mt={6}>
          <Radio value="skip" label="Leave out" description="They are counted, and told." />
          <Radio value="truncate" label="Cut" description="What is beyond is not captured." />
          <Radio
            value="windows"
            label="Cut into windows"
            description="Each window is a sample of its own."
          />
        </SimpleGrid>
      </Radio.Group>
      <SimpleGrid cols={{ base: 1, xs: 3 }} spacing="md">
        {choice.longer === "windows" && (
          <NumberInput
            label="Stride, in tokens"
            description="Windows begin so far apart; fewer than their length overlap."
            min={1}
            allowDecimal={false}
            allowNegative={false}
            thousandSeparator=","
            value={choice.stride ?? ""}
            onChange={(value) => onChange({ stride: numberOf(value) })}
            error={problems["tokenization.stride"] ?? (choice.stride ? null : "Say how far apart.")}
          />
        )}
        <Checkbox
          label="Add special tokens"
          description="Those of the tokenizer, such as a beginning of sequence."
          checked={choice.specialTokens}
          onChange={(event) => onChange({ specialTokens: event.currentTarget.checked })}
          style={{ alignSelf: "center" }}
        />
      </SimpleGrid>
    </Stack>
  );
}
