import { Button, Group, SimpleGrid, Stack } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useState } from "react";
import { type ApiError, asApiError } from "@/api/errors";
import type { Model } from "@/api/types";
import { addModel } from "@/state/models";
import { useSelection } from "@/state/selection";
import { tell } from "@/state/toasts";
import { ErrorNotice } from "@/ui/ErrorNotice";
import { describe } from "@/ui/families";
import { toldOf } from "./FormatChoice";
import { canLoad, EMPTY, estimateOf, fieldOf, registrationOf, sentence } from "./form";
import { problemOf } from "./identifier";
import { Keeping } from "./Keeping";
import { useEstimate } from "./useEstimate";
import { WhatModel } from "./WhatModel";
import { WillItFit } from "./WillItFit";

/** Which model to add, in which format, beside whether it will fit. */
export function AddModel({ onDone }: { onDone: () => void }) {
  const select = useSelection((selection) => selection.select);
  const [refusal, setRefusal] = useState<ApiError | null>(null);
  const form = useForm({
    initialValues: EMPTY,
    validate: {
      model_identifier: (value, { source }) => problemOf(source, value.trim())?.why ?? null,
    },
  });
  const reckoned = useEstimate(estimateOf(form.values));
  const { estimate } = reckoned;
  const quantization = form.values.quantization ?? estimate?.recommended ?? "none";
  const told = toldOf(estimate, quantization);
  const loads = form.values.auto_load && canLoad(form.values, told);

  async function submit() {
    setRefusal(null);
    try {
      const model = await addModel(registrationOf(form.values, quantization, told));
      select(model.id);
      tell({
        tone: "good",
        title: `${model.name} is added`,
        message: described(model),
        remedy: null,
      });
      onDone();
    } catch (thrown) {
      const error = asApiError(thrown);
      const field = fieldOf(error);
      if (field) form.setFieldError(field, sentence(error));
      else setRefusal(error);
    }
  }

  return (
    <form onSubmit={form.onSubmit(submit)} noValidate>
      <Stack gap="lg">
        {refusal && <ErrorNotice error={refusal} />}
        <SimpleGrid cols={{ base: 1, md: 2 }} spacing="xl">
          <Stack gap="md">
            <WhatModel form={form} found={reckoned.error} />
            <Keeping form={form} loadable={canLoad(form.values, told)} />
          </Stack>
          <WillItFit form={form} reckoned={reckoned} quantization={quantization} told={told} />
        </SimpleGrid>
        <Group justify="flex-end">
          <Button variant="default" onClick={onDone}>
            Cancel
          </Button>
          <Button type="submit" loading={form.submitting}>
            {loads ? "Add and load" : "Add"}
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

/** What was found out about a model when it was registered. */
function described(model: Model): string {
  if (model.model_type === null) return "Its family is detected when it is loaded.";
  return `Its family is ${describe(model)}.`;
}
