import {
  Button,
  Group,
  Modal,
  SegmentedControl,
  Select,
  Stack,
  Text,
  TextInput,
} from "@mantine/core";
import { useForm } from "@mantine/form";
import { useState } from "react";
import { type ApiError, asApiError } from "@/api/errors";
import type { Schemas } from "@/api/types";
import { registerDataset } from "@/state/datasets";
import { ErrorNotice } from "@/ui/ErrorNotice";
import type { Format } from "./head";
import { FORMATS } from "./words";

type Source = Schemas["RegisterDataset"]["source"];

const NOTHING = {
  source: "local" as Source,
  identifier: "",
  name: "",
  format: null as Format | null,
  text_column: "",
  split: "train",
  subset: "",
  revision: "",
};
type Values = typeof NOTHING;

interface Props {
  opened: boolean;
  onClose: () => void;
}

/** Registers a dataset that lies on the service's machine or on the hub. */
export default function RegisterDialog({ opened, onClose }: Props) {
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title="Register a dataset"
      size="lg"
      closeButtonProps={{ "aria-label": "Close" }}
    >
      <Form onClose={onClose} />
    </Modal>
  );
}

function Form({ onClose }: { onClose: () => void }) {
  const form = useForm<Values>({
    initialValues: NOTHING,
    validate: { identifier: (value) => (value.trim() ? null : "Say where it is.") },
  });
  const [error, setError] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const { source, identifier } = form.values;
  const hub = source === "huggingface";

  async function submit(values: Values) {
    setBusy(true);
    setError(null);
    try {
      await registerDataset(bodyOf(values));
      onClose();
    } catch (thrown) {
      const refused = asApiError(thrown);
      if (refused.field && refused.field in NOTHING) {
        form.setFieldError(refused.field, [refused.message, refused.remedy].join(" "));
      } else setError(refused);
      setBusy(false);
    }
  }

  return (
    <form onSubmit={form.onSubmit(submit)} noValidate>
      <Stack>
        {error && <ErrorNotice error={error} />}
        <SegmentedControl
          aria-label="Where it is"
          data={[
            { value: "local", label: "On the service's machine" },
            { value: "huggingface", label: "On the Hugging Face hub" },
          ]}
          {...form.getInputProps("source")}
        />
        <TextInput
          label={hub ? "Hub id" : "Path"}
          description={
            hub
              ? "As on the hub's page; it is downloaded once."
              : "Read where it is, below a root that mistudio up --allow names."
          }
          placeholder={hub ? "Salesforce/wikitext" : "/srv/data/corpus.parquet"}
          required
          data-autofocus
          {...form.getInputProps("identifier")}
        />
        <TextInput
          label="Name"
          placeholder={nameOf(identifier) || "How it is called here"}
          maxLength={500}
          {...form.getInputProps("name")}
        />
        {hub ? (
          <Group grow align="flex-start">
            <TextInput
              label="Subset"
              placeholder="wikitext-2-raw-v1"
              {...form.getInputProps("subset")}
            />
            <TextInput label="Split" {...form.getInputProps("split")} />
            <TextInput label="Revision" placeholder="main" {...form.getInputProps("revision")} />
          </Group>
        ) : (
          <Select
            label="Format"
            placeholder="By the name's ending or the content"
            data={FORMATS}
            clearable
            {...form.getInputProps("format")}
          />
        )}
        <TextInput
          label="Column to take samples from"
          placeholder="text, else input_ids, else the first that holds text"
          {...form.getInputProps("text_column")}
        />
        <Group justify="space-between">
          <Text size="xs" c="dimmed" ff="monospace">
            mistudio datasets add {identifier.trim() || (hub ? "ID" : "PATH")}
            {hub ? "" : " --in-place"}
          </Text>
          <Group gap="sm">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={busy}>
              Register
            </Button>
          </Group>
        </Group>
      </Stack>
    </form>
  );
}

function bodyOf(values: Values): Schemas["RegisterDataset"] {
  const { source, format } = values;
  const identifier = values.identifier.trim();
  const hub = source === "huggingface";
  return {
    source,
    identifier,
    name: values.name.trim() || nameOf(identifier),
    text_column: values.text_column.trim() || null,
    format: hub ? null : format,
    split: (hub && values.split.trim()) || "train",
    subset: (hub && values.subset.trim()) || null,
    revision: (hub && values.revision.trim()) || null,
  };
}

/** The last part of a path or of a hub id, without its ending. */
function nameOf(identifier: string): string {
  const last = identifier.trim().split("/").filter(Boolean).at(-1) ?? "";
  return last.replace(/\.(jsonl|ndjson|json|txt|text|md|csv|tsv|parquet)$/i, "");
}
