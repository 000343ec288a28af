import {
  Alert,
  Button,
  Checkbox,
  Group,
  NumberInput,
  Paper,
  SegmentedControl,
  Stack,
  Switch,
  Text,
  TextInput,
  Title,
} from "@mantine/core";
import { RefreshCw } from "lucide-react";
import { type FormEvent, useState } from "react";
import { type ApiError, asApiError } from "@/api/errors";
import type { ModelSummary, Schemas } from "@/api/types";
import { fetchOne } from "@/state/fetching";
import { updateModel } from "@/state/models";
import { useMay } from "@/state/session";
import { tell } from "@/state/toasts";
import { ErrorNotice } from "@/ui/ErrorNotice";
import { alike, type Configured, changesOf, configuredOf, updateOf } from "./configured";
import { FormatChoice } from "./FormatChoice";
import { numberOf } from "./numberOf";
import { Settings } from "./Settings";

const FIELDS = ["name", "quantization", "quantization_options", "keep_alive_seconds"];
const MINUTE = 60;

/** How a model is loaded and kept: a form, or the bare facts for who may change nothing. */
export function Configuration({ model }: { model: ModelSummary }) {
  const mayWrite = useMay("model:write");
  return (
    <Paper p="lg" component="section" aria-label="Configuration">
      <Title order={3} size="h5" mb="md">
        Configuration
      </Title>
      {mayWrite ? <Form model={model} /> : <Settings model={model} />}
    </Paper>
  );
}

function Form({ model }: { model: ModelSummary }) {
  const [edits, setEdits] = useState<Partial<Configured>>({});
  /** The row that the first edit was made on. */
  const [seen, setSeen] = useState<ModelSummary | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const changes = changesOf(edits, model);
  const values = { ...configuredOf(model), ...changes };
  const changed = Object.keys(changes).length > 0;
  const loading = model.status === "loading";
  const at = (field: string) => (error?.field?.startsWith(field) ? wordsOf(error) : null);

  function edit(part: Partial<Configured>) {
    setError(null);
    setSeen((row) => (changed && row ? row : model));
    setEdits({ ...changes, ...part });
  }

  function forget() {
    setEdits({});
    setError(null);
  }

  async function save(event: FormEvent) {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      // What else happened to the row, such as a load, is no reason to refuse the change.
      const base = seen && !alike(seen, model) ? seen : model;
      await updateModel(base, updateOf(changes, values));
      setEdits({});
      tell({
        tone: "good",
        title: `${values.name} is changed`,
        message: ofNextLoad(changes) ? "The format counts from the next load on." : null,
        remedy: null,
      });
    } catch (thrown) {
      setError(asApiError(thrown));
    } finally {
      setBusy(false);
    }
  }

  async function reload() {
    await fetchOne("models", model.id);
    forget();
  }

  return (
    <form onSubmit={save}>
      <Stack gap="md">
        <TextInput
          label="Name"
          maxLength={500}
          value={values.name}
          onChange={(event) => edit({ name: event.currentTarget.value })}
          disabled={loading}
          error={at("name")}
        />
        <FormatChoice
          model={model}
          value={values.quantization}
          onChange={(quantization) => edit({ quantization })}
          disabled={loading || model.status === "ready"}
          error={at("quantization")}
        />
        {values.quantization === "int4" && (
          <Group gap="md">
            <SegmentedControl
              size="xs"
              aria-label="Code book of int4"
              data={["nf4", "fp4"]}
              value={values.int4Type}
              onChange={(value) => edit({ int4Type: value as Schemas["Int4Type"] })}
              disabled={loading || model.status === "ready"}
            />
            <Checkbox
              label="Quantise the scales too"
              checked={values.doubleQuant}
              onChange={(event) => edit({ doubleQuant: event.currentTarget.checked })}
              disabled={loading || model.status === "ready"}
            />
          </Group>
        )}
        <NumberInput
          label="Leaves memory after"
          description="Without use; an extraction brings it back. Empty: when room is needed."
          placeholder="when room is needed"
          suffix=" min"
          min={0}
          decimalScale={2}
          allowNegative={false}
          value={values.keepAliveSeconds === null ? "" : values.keepAliveSeconds / MINUTE}
          onChange={(value) => {
            const minutes = numberOf(value);
            edit({ keepAliveSeconds: minutes === null ? null : Math.round(minutes * MINUTE) });
          }}
          disabled={loading}
          error={at("keep_alive_seconds")}
        />
        <Switch
          label="Pinned"
          description="Never evicted, and brought back when its device starts."
          checked={values.pinned}
          onChange={(event) => edit({ pinned: event.currentTarget.checked })}
          disabled={loading}
        />
        <Switch
          label="Offload"
          description="Blocks that do not fit stay on the disk and are read at each batch. Counts from the next load on."
          checked={values.offload}
          onChange={(event) => edit({ offload: event.currentTarget.checked })}
          disabled={loading}
        />
        {loading && (
          <Text size="xs" c="dimmed">
            Nothing can be changed while it is loading.
          </Text>
        )}
        <Problem error={error} onReload={() => void reload()} />
        <Group gap="sm">
          <Button
            type="submit"
            disabled={!changed || !values.name.trim() || loading}
            loading={busy}
          >
            Save
          </Button>
          <Button variant="subtle" color="gray" disabled={!changed} onClick={forget}>
            Reset
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

function Problem({ error, onReload }: { error: ApiError | null; onReload: () => void }) {
  if (!error) return null;
  if (error.status === 412) {
    return (
      <Alert color="yellow" title="Somebody changed it meanwhile" role="alert">
        <Text size="sm">Your change was not made, so that theirs is not lost.</Text>
        <Button
          size="compact-sm"
          variant="default"
          mt="xs"
          leftSection={<RefreshCw size={14} aria-hidden />}
          onClick={onReload}
        >
          Load what it is now
        </Button>
      </Alert>
    );
  }
  return FIELDS.some((field) => error.field?.startsWith(field)) ? null : (
    <ErrorNotice error={error} />
  );
}

function wordsOf(error: ApiError): string {
  return [error.message, error.remedy].filter(Boolean).join(" ");
}

function ofNextLoad(changes: Partial<Configured>): boolean {
  return "quantization" in changes || "int4Type" in changes || "doubleQuant" in changes;
}
