import { Group, Paper, Select, Skeleton, Stack, Text, Title } from "@mantine/core";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useSearchParams } from "react-router";
import { useShallow } from "zustand/react/shallow";
import { asApiError } from "@/api/errors";
import type { Dataset, Schemas } from "@/api/types";
import { countTokens } from "@/state/datasets";
import { useEntities } from "@/state/entities";
import { ErrorNotice } from "@/ui/ErrorNotice";
import { Facts } from "@/ui/Facts";
import { count } from "@/ui/format";
import { LengthsChart } from "./LengthsChart";

/** How long a dataset's rows are in the tokens of a model that is chosen in the address. */
export function TokenLengths({ dataset }: { dataset: Dataset }) {
  const [query, setQuery] = useSearchParams();
  const models = useEntities(
    useShallow((state) => Object.values(state.models).filter(({ fingerprint }) => fingerprint)),
  );
  const columns = Object.entries(dataset.columns).flatMap(([name, kind]) =>
    kind === "other" ? [] : [name],
  );
  const model = models.find(({ id }) => id === query.get("model")) ?? models[0];
  const column = columns.find((name) => name === query.get("column")) ?? dataset.text_column;
  const { data, error, isFetching, refetch } = useQuery({
    queryKey: ["token-lengths", model?.id, model?.fingerprint, dataset.id, column],
    queryFn: () => countTokens(model?.id ?? "", dataset.id, column),
    enabled: model !== undefined,
    placeholderData: keepPreviousData,
    retry: false,
  });

  function choose(change: Record<string, string | null>) {
    const next = new URLSearchParams(query);
    for (const [key, value] of Object.entries(change)) if (value) next.set(key, value);
    setQuery(next, { replace: true });
  }

  return (
    <Paper component="section" aria-label="Tokens">
      <Stack>
        <Group justify="space-between" align="flex-end">
          <div>
            <Title order={2} size="h4">
              How long rows are
            </Title>
            <Text size="sm" c="dimmed">
              In the tokens of a model, special ones included.
            </Text>
          </div>
          <Group gap="sm">
            {columns.length > 1 && (
              <Select
                aria-label="Column"
                data={columns}
                value={column}
                allowDeselect={false}
                onChange={(value) => choose({ column: value })}
                w={150}
              />
            )}
            {model && (
              <Select
                aria-label="Model"
                data={models.map(({ id, name }) => ({ value: id, label: name }))}
                value={model.id}
                allowDeselect={false}
                searchable={models.length > 8}
                onChange={(value) => choose({ model: value })}
                w={220}
              />
            )}
          </Group>
        </Group>
        {!model && (
          <Text size="sm">
            Tokens are counted by a model's own tokenizer. Load a model, and its count is here.
          </Text>
        )}
        {error && <ErrorNotice error={asApiError(error)} onRetry={() => void refetch()} />}
        {model && !data && !error && <Skeleton h={320} aria-label="Counting" />}
        {data && !error && (
          <div style={{ opacity: isFetching ? 0.55 : 1 }} aria-busy={isFetching}>
            <Counted lengths={data} />
          </div>
        )}
      </Stack>
    </Paper>
  );
}

function Counted({ lengths }: { lengths: Schemas["TokenLengths"] }) {
  const { rows_counted, total_rows, context_length, over_context } = lengths;
  const some = rows_counted < total_rows;
  return (
    <Stack>
      <Facts
        facts={[
          ["Tokens in all", `${some ? "about " : ""}${count(lengths.estimated_total_tokens)}`],
          ["Shortest row", count(lengths.shortest)],
          ["Median", count(lengths.median)],
          ["Longest row", count(lengths.longest)],
          ["The model's context", count(context_length)],
        ]}
      />
      <LengthsChart lengths={lengths} />
      {over_context > 0 && context_length !== null && (
        <Text size="sm">
          <b>
            {count(over_context)} of {count(rows_counted)} rows
          </b>{" "}
          ({percent(over_context, rows_counted)}) are longer than the context. An extraction leaves
          them out unless it truncates them or cuts them into windows.
        </Text>
      )}
      {context_length !== null && over_context === 0 && (
        <Text size="sm">No row that was counted is longer than the context.</Text>
      )}
      {some && (
        <Text size="sm" c="dimmed">
          Counted in {count(rows_counted)} of {count(total_rows)} rows, drawn from everywhere; the
          total is estimated from them.
        </Text>
      )}
    </Stack>
  );
}

function percent(part: number, whole: number): string {
  const share = (100 * part) / whole;
  if (share < 0.1) return "less than 0.1 %";
  return `${share < 10 ? share.toFixed(1) : Math.round(share)} %`;
}
