import { Accordion, Button, Stack } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { FileUp, Layers, Play } from "lucide-react";
import { useMemo, useState } from "react";
import { Link, useSearchParams } from "react-router";
import { api, unwrap } from "@/api/client";
import { type ApiError, asApiError } from "@/api/errors";
import type { Dataset, ModelSummary } from "@/api/types";
import { useEntities } from "@/state/entities";
import { type Capture, requestExtraction } from "@/state/extractions";
import { loadModel, nameOf } from "@/state/models";
import { useMay } from "@/state/session";
import { EmptyState } from "@/ui/EmptyState";
import { ErrorNotice } from "@/ui/ErrorNotice";
import { LoadButton } from "@/ui/load/LoadButton";
import { type Choice, captureOf, columnsOf, expectedOf } from "./choice";
import { DatasetFields } from "./DatasetFields";
import { useChoice } from "./drafts";
import { EstimateCard } from "./EstimateCard";
import classes from "./ExtractPanel.module.css";
import { Following } from "./Following";
import { type Anatomy, anatomyOf, UNKNOWN } from "./hooks";
import { readLayers } from "./layers";
import { PlaceFields } from "./PlaceFields";
import { fieldOf, ofTokenisation, problemsOf } from "./problems";
import { Snippets } from "./Snippets";
import { type Stored, storedColumns } from "./stored";
import { TokenisationFields } from "./TokenisationFields";
import { useEstimate } from "./useEstimate";

const NOTHING: Stored = new Map();

/** Asks for activations of a model; says first what is missing for that. */
export function ExtractPanel({ model }: { model: ModelSummary }) {
  const datasets = useDatasets();
  const known = useEntities((state) => state.fetched.datasets.status === "yes");
  if (model.num_layers === null || model.status === "pending" || model.status === "failed") {
    return <NotYet model={model} />;
  }
  if (known && !datasets.length) {
    return (
      <EmptyState
        icon={FileUp}
        title="First, text"
        action={
          <Button component={Link} to="/datasets" leftSection={<FileUp size={16} aria-hidden />}>
            Upload a dataset
          </Button>
        }
      >
        Activations are captured while the model reads a dataset: JSON lines, plain text, CSV or
        Parquet.
      </EmptyState>
    );
  }
  return <Form model={model} numLayers={model.num_layers} datasets={datasets} />;
}

function NotYet({ model }: { model: ModelSummary }) {
  const mayWrite = useMay("model:write");
  if (model.status === "loading") {
    return (
      <EmptyState icon={Layers} title="The model is on its way">
        What can be captured of it is known when it is prepared.
      </EmptyState>
    );
  }
  return (
    <EmptyState
      icon={Layers}
      title="First, load the model"
      action={mayWrite && <LoadButton model={model} onLoad={loadModel} nameOf={nameOf} />}
    >
      Its layers and hook points are proven when it is placed in memory. After that an extraction
      brings it back by itself.
    </EmptyState>
  );
}

interface FormProps {
  model: ModelSummary;
  numLayers: number;
  datasets: readonly Dataset[];
}

function Form({ model, numLayers, datasets }: FormProps) {
  const mayWrite = useMay("model:write");
  const [choice, choose] = useDatasetOfAddress(model, numLayers, datasets);
  const [refused, setRefused] = useState<ApiError | null>(null);
  const [asked, setAsked] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const dataset = datasets.find((each) => each.id === choice.datasetId);
  const capture = captureOf(choice, numLayers);
  const columns = columnsOf(choice, numLayers);
  const [anatomy, unknown] = useAnatomy(model);
  const found = useStored(model, dataset, choice);
  const estimated = useEstimate(model.id, capture, [...found.keys()].join());
  // Whoever asks knows better than the caches what is there.
  const doubted =
    estimated.estimate?.cached === false && columns.every((each) => found.get(each) === "all");
  const stored = doubted && !estimated.busy ? NOTHING : found;
  const error = refused ?? estimated.error;
  const problems = problemsOf(error);
  const [open, setOpen] = useState<string | null>(null);

  function change(part: Partial<Choice>) {
    setRefused(null);
    choose(part);
  }

  async function submit(body: Capture, over: Dataset) {
    setBusy(true);
    setRefused(null);
    try {
      const accepted = await requestExtraction(model.id, body, expectedOf(choice, model, over));
      setAsked(accepted.extraction_id);
    } catch (thrown) {
      setRefused(asApiError(thrown));
    } finally {
      setBusy(false);
    }
  }

  return (
    <div className={classes.columns}>
      <Stack gap="lg" className={classes.form}>
        <DatasetFields
          model={model}
          datasets={datasets}
          choice={choice}
          onChange={change}
          problems={problems}
        />
        {unknown && <ErrorNotice error={unknown} />}
        <PlaceFields
          choice={choice}
          onChange={change}
          numLayers={numLayers}
          anatomy={anatomy}
          stored={stored}
          problems={problems}
        />
        <Accordion
          variant="separated"
          value={ofTokenisation(problems) || problems.batch_size ? "tokenisation" : open}
          onChange={setOpen}
        >
          <Accordion.Item value="tokenisation">
            <Accordion.Control>Tokenisation and batches</Accordion.Control>
            <Accordion.Panel>
              <TokenisationFields
                model={model}
                dataset={dataset}
                choice={choice}
                onChange={change}
                problems={problems}
              />
            </Accordion.Panel>
          </Accordion.Item>
        </Accordion>
      </Stack>
      <Stack gap="md" className={classes.rail}>
        <EstimateCard
          estimate={estimated.estimate}
          busy={estimated.busy}
          columns={columns.length}
          stored={columns.filter((each) => stored.get(each) === "all").length}
          missing={missingOf(choice, numLayers)}
        >
          {error && !fieldOf(error) && <ErrorNotice error={error} />}
          {mayWrite && (
            <Button
              size="md"
              fullWidth
              leftSection={<Play size={16} aria-hidden />}
              disabled={!capture || !dataset}
              loading={busy}
              onClick={() => capture && dataset && void submit(capture, dataset)}
            >
              Extract activations
            </Button>
          )}
        </EstimateCard>
        <Following modelId={model.id} asked={asked} />
      </Stack>
      {capture && (
        <div className={classes.elsewhere}>
          <Snippets modelId={model.id} capture={capture} />
        </div>
      )}
    </div>
  );
}

/** What must be chosen before anything can be asked for. */
function missingOf(choice: Choice, numLayers: number): string | null {
  if (!choice.datasetId) return "Choose a dataset to see time, tokens and bytes.";
  if (readLayers(choice.layers, numLayers).error) return "The layers cannot be read.";
  if (!columnsOf(choice, numLayers).length) return "Choose at least one hook point and layer.";
  if (choice.longer === "windows" && !choice.stride) return "Say how far apart windows begin.";
  return null;
}

/** The newest first. */
function useDatasets(): readonly Dataset[] {
  const table = useEntities((state) => state.datasets);
  return useMemo(
    () => Object.values(table).sort((a, b) => b.created_at.localeCompare(a.created_at)),
    [table],
  );
}

/** The choice of a model's form, with the dataset that the address names, until another is chosen. */
function useDatasetOfAddress(
  model: ModelSummary,
  numLayers: number,
  datasets: readonly Dataset[],
): [Choice, (change: Partial<Choice>) => void] {
  const [choice, choose] = useChoice(model.id, numLayers);
  const [params, setParams] = useSearchParams();
  const ready = datasets.filter((each) => each.status === "ready");
  const named = ready.find((each) => each.id === params.get("dataset"));
  const only = ready.length === 1 ? ready[0] : undefined;
  const datasetId = named?.id ?? choice.datasetId ?? only?.id ?? null;
  const completed = useMemo(() => ({ ...choice, datasetId }), [choice, datasetId]);
  return [
    completed,
    (change) => {
      choose({ datasetId, ...change });
      if (!("datasetId" in change)) return;
      const others = new URLSearchParams(params);
      others.delete("dataset");
      setParams(others, { replace: true });
    },
  ];
}

/** What is known of a model's hook points, or why that could not be read. */
function useAnatomy(model: ModelSummary): [Anatomy, ApiError | null] {
  const { data, error } = useQuery({
    queryKey: ["hook-points", model.id, model.fingerprint, model.loaded_at],
    queryFn: ({ signal }) =>
      unwrap(
        api.GET("/api/models/{model_id}/hook-points", {
          params: { path: { model_id: model.id } },
          signal,
        }),
      ),
    retry: false,
  });
  const anatomy = useMemo(() => (data ? anatomyOf(data) : UNKNOWN), [data]);
  const thrown = error && asApiError(error);
  // They are proven when the model is placed; before, nothing is known of them, and that is no error.
  return [anatomy, thrown?.status === 409 ? null : thrown];
}

function useStored(model: ModelSummary, dataset: Dataset | undefined, choice: Choice): Stored {
  const caches = useEntities((state) => state.caches);
  const extractions = useEntities((state) => state.extractions);
  return useMemo(() => {
    if (!dataset) return NOTHING;
    const expected = expectedOf(choice, model, dataset);
    const rows = Object.values(caches);
    return storedColumns(rows, extractions, model.id, dataset, expected, choice.samples);
  }, [caches, extractions, model, dataset, choice]);
}
