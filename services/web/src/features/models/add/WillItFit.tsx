import { Group, SegmentedControl, Skeleton, Stack, Switch, Text, Title } from "@mantine/core";
import type { UseFormReturnType } from "@mantine/form";
import type { Quantization } from "@/api/types";
import { ErrorNotice } from "@/ui/ErrorNotice";
import { describe } from "@/ui/families";
import type { FormatEstimate } from "@/ui/fit";
import { diskWords } from "../fits";
import { FitBar } from "./FitBar";
import { FormatChoice } from "./FormatChoice";
import classes from "./fit.module.css";
import { fieldOf, offloads, type Values } from "./form";
import type { Reckoned } from "./useEstimate";

interface Props {
  form: UseFormReturnType<Values>;
  reckoned: Reckoned;
  /** The format that is chosen, or recommended where none is. */
  quantization: Quantization;
  told: FormatEstimate | undefined;
}

/** In which format, beside whether that fits. */
export function WillItFit({ form, reckoned, quantization, told }: Props) {
  const { values } = form;
  return (
    <Stack gap="md" className={classes.panel}>
      <div>
        <Title order={3} size="h6" mb={8}>
          Will it fit?
        </Title>
        <Answer values={values} reckoned={reckoned} told={told} />
      </div>
      <FormatChoice
        estimate={reckoned.estimate}
        value={quantization}
        onChange={(chosen) => form.setFieldValue("quantization", chosen)}
        error={form.errors.quantization}
      />
      {quantization === "int4" && <Int4Options form={form} />}
      {told?.offload && (
        <Switch
          label="Keep some of its blocks on the disk"
          description={told.offload.cost}
          {...form.getInputProps("offload", { type: "checkbox" })}
        />
      )}
    </Stack>
  );
}

function Answer({ values, reckoned, told }: Pick<Props, "reckoned" | "told"> & { values: Values }) {
  const { estimate, error, busy, again } = reckoned;
  if (busy) return <Skeleton h={92} role="status" aria-label="Reckoning" aria-busy="true" />;
  if (estimate && told) {
    return (
      <Stack gap={6}>
        <Text size="sm" fw={550}>
          {describe(estimate)}
        </Text>
        <FitBar estimate={estimate} told={told} offload={offloads(values, told)} />
        <Text size="xs" c="dimmed">
          {diskWords(told)}.
        </Text>
      </Stack>
    );
  }
  if (error && fieldOf(error) !== "model_identifier") {
    return <ErrorNotice error={error} onRetry={again} />;
  }
  return (
    <Text size="sm" c="dimmed" mih={92}>
      {error
        ? "There is nothing to reckon with yet."
        : "Name a model, and what it takes in each format is reckoned here, before anything is downloaded."}
    </Text>
  );
}

function Int4Options({ form }: Pick<Props, "form">) {
  return (
    <Group gap="lg" align="center">
      <SegmentedControl
        size="xs"
        aria-label="Code book of int4"
        data={[
          { value: "nf4", label: "nf4" },
          { value: "fp4", label: "fp4" },
        ]}
        {...form.getInputProps("int4_type")}
      />
      <Switch
        size="xs"
        label="Quantise the scales too"
        {...form.getInputProps("double_quant", { type: "checkbox" })}
      />
    </Group>
  );
}
