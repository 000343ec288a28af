import { Input, SegmentedControl, Text, TextInput } from "@mantine/core";
import type { UseFormReturnType } from "@mantine/form";
import { useState } from "react";
import type { ApiError } from "@/api/errors";
import { useEntities } from "@/state/entities";
import { fieldOf, sentence, type Values } from "./form";
import { nameOf, problemOf } from "./identifier";

const SOURCES = {
  huggingface: {
    label: "Hugging Face",
    field: "Model id",
    placeholder: "openai-community/gpt2",
    about: "A causal language model of the hub, as owner/name.",
  },
  local: {
    label: "Local",
    field: "Path",
    placeholder: "/srv/models/gpt2",
    about: "A checkpoint's directory or GGUF file, under a directory that the server may read.",
  },
  custom: {
    label: "Custom",
    field: "Path",
    placeholder: "/srv/models/mine",
    about: "A checkpoint of your own, under a directory that the server may read.",
  },
} as const;

interface Props {
  form: UseFormReturnType<Values>;
  /** What was found wrong with the checkpoint, once it was looked at. */
  found: ApiError | null;
}

/** Where a model comes from, and what it is called. */
export function WhatModel({ form, found }: Props) {
  const { source, model_identifier } = form.values;
  const words = SOURCES[source];
  const identifier = model_identifier.trim();
  const twin = useEntities(
    (state) =>
      Object.values(state.models).find(
        (row) => row.source === source && row.model_identifier === identifier,
      )?.name,
  );
  const [left, setLeft] = useState(false);
  const problem = identifier ? problemOf(source, identifier) : null;
  const complaint = problem && (left || !problem.unfinished) ? problem.why : null;
  const refused = found && fieldOf(found) === "model_identifier" ? sentence(found) : null;
  return (
    <>
      <Input.Wrapper label="Source" labelElement="div" error={form.errors.source}>
        <SegmentedControl
          fullWidth
          bg="var(--surface)"
          aria-label="Source"
          data={Object.entries(SOURCES).map(([value, { label }]) => ({
            value: value as Values["source"],
            label,
          }))}
          {...form.getInputProps("source")}
        />
        <Text size="xs" c="dimmed" mt={6}>
          {words.about}
        </Text>
      </Input.Wrapper>
      <TextInput
        label={words.field}
        placeholder={words.placeholder}
        required
        data-autofocus
        autoComplete="off"
        autoCapitalize="off"
        spellCheck={false}
        styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }}
        {...form.getInputProps("model_identifier")}
        onFocus={() => setLeft(false)}
        onBlur={() => setLeft(true)}
        error={form.errors.model_identifier ?? complaint ?? refused}
        description={twin ? `${twin} is this model already; it can be added again.` : undefined}
        inputWrapperOrder={["label", "input", "error", "description"]}
      />
      <TextInput
        label="Name"
        placeholder={nameOf(identifier) || "As it is called"}
        maxLength={500}
        {...form.getInputProps("name")}
      />
      {source === "huggingface" && (
        <TextInput
          label="Revision"
          placeholder="main"
          description="A branch, a tag or a commit."
          maxLength={200}
          {...form.getInputProps("revision")}
        />
      )}
    </>
  );
}
