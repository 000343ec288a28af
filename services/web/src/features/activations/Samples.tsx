import {
  ActionIcon,
  Group,
  NumberInput,
  Paper,
  Skeleton,
  Stack,
  Text,
  Tooltip,
  useComputedColorScheme,
} from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { ChevronLeft, ChevronRight } from "lucide-react";
import { useMemo } from "react";
import { useSearchParams } from "react-router";
import { asApiError } from "@/api/errors";
import type { Cache, Schemas } from "@/api/types";
import { readHeatMap } from "@/state/caches";
import { ErrorNotice } from "@/ui/ErrorNotice";
import { count, figure } from "@/ui/format";
import { Legend } from "./Legend";
import { LookControls } from "./LookControls";
import { type Look, nameOf, useLook } from "./look";
import { shownOf } from "./sampling";
import { TokenHeatMap } from "./TokenHeatMap";

const PAGE = 8;
const WAIT_MS = 250;

/** Samples of a cache as text, each token coloured by its norm, a neuron or a direction. */
export function Samples({ cache }: { cache: Cache }) {
  const [query] = useSearchParams();
  const [look, change] = useLook(cache);
  const first = wholeOf(query.get("sample"), Math.max(0, cache.sample_count - 1)) ?? 0;
  const [asked] = useDebouncedValue(
    useMemo(() => ({ look, first }), [look, first]),
    WAIT_MS,
  );
  const { data, error, isFetching, refetch } = useHeatMap(cache, asked.look, asked.first);
  const go = (sample: number) => change({ sample: String(sample), token: null });
  return (
    <Stack>
      <Paper>
        <Group justify="space-between" align="flex-end">
          <LookControls
            cache={cache}
            look={look}
            onChange={(changes) => change({ ...changes, token: null })}
          />
          <Pager first={first} total={cache.sample_count} onGo={go} />
        </Group>
      </Paper>
      {look.along === null && <Text c="dimmed">Give a vector, and tokens are coloured by it.</Text>}
      {error && <ErrorNotice error={asApiError(error)} onRetry={() => void refetch()} />}
      {look.along !== null && !error && !data && <Waiting />}
      {look.along !== null && !error && data && (
        <div style={{ opacity: isFetching ? 0.6 : 1 }} aria-busy={isFetching}>
          <Shown
            map={data}
            name={nameOf(asked.look)}
            marked={wholeOf(query.get("token"), Number.POSITIVE_INFINITY)}
          />
        </div>
      )}
    </Stack>
  );
}

function useHeatMap(cache: Cache, { hookPoint, along }: Look, first: number) {
  return useQuery({
    queryKey: ["heat-map", cache.id, hookPoint, along, first],
    queryFn: ({ signal }) =>
      readHeatMap(
        cache.id,
        { hook_point: hookPoint, along: along ?? {}, first_sample: first, samples: PAGE },
        signal,
      ),
    enabled: along !== null,
    placeholderData: keepPreviousData,
    retry: false,
  });
}

interface ShownProps {
  map: Schemas["HeatMap"];
  name: string;
  marked: number | null;
}

function Shown({ map, name, marked }: ShownProps) {
  const scheme = useComputedColorScheme("light");
  const signed = map.measure !== "norm";
  const shown = useMemo(() => shownOf(map.samples, signed, scheme), [map.samples, signed, scheme]);
  if (!map.samples.length) return <Text c="dimmed">The cache holds no samples.</Text>;
  return (
    <Stack gap="lg">
      <Group gap="xl" align="center">
        <Legend scale={shown.scale} name={name} />
        <Text size="xs" c="dimmed" maw={720} style={{ flex: 1 }}>
          {signed
            ? "Colours reach as far to both sides of 0 as 98 % of the numbers shown."
            : "Colours run from the 1st to the 99th percentile of what is shown."}{" "}
          {shown.beyond > 0 &&
            `${count(shown.beyond)} of ${count(shown.tokens)} tokens lie beyond them and are framed.`}{" "}
          {shown.giant !== null &&
            `The first position has ${figure(shown.giant)} times the norm of the others, as in most models; the colours leave it out.`}
        </Text>
      </Group>
      {map.samples.map((sample, index) => (
        <TokenHeatMap
          key={sample.sample}
          sample={sample}
          scale={shown.scale}
          measure={name}
          marked={index === 0 ? marked : null}
        />
      ))}
    </Stack>
  );
}

interface PagerProps {
  first: number;
  total: number;
  onGo: (sample: number) => void;
}

function Pager({ first, total, onGo }: PagerProps) {
  return (
    <Group gap={4} align="flex-end" wrap="nowrap">
      <Tooltip label="Earlier samples">
        <ActionIcon
          variant="default"
          size={36}
          disabled={first === 0}
          onClick={() => onGo(Math.max(0, first - PAGE))}
          aria-label="Earlier samples"
        >
          <ChevronLeft size={18} aria-hidden />
        </ActionIcon>
      </Tooltip>
      <NumberInput
        label={`From sample, of ${count(total)}`}
        value={first}
        min={0}
        max={Math.max(0, total - 1)}
        allowDecimal={false}
        allowNegative={false}
        clampBehavior="strict"
        hideControls
        onChange={(value) => value !== "" && onGo(Number(value))}
        w={175}
      />
      <Tooltip label="Later samples">
        <ActionIcon
          variant="default"
          size={36}
          disabled={first + PAGE >= total}
          onClick={() => onGo(first + PAGE)}
          aria-label="Later samples"
        >
          <ChevronRight size={18} aria-hidden />
        </ActionIcon>
      </Tooltip>
    </Group>
  );
}

function Waiting() {
  return (
    <Stack aria-busy="true" aria-label="Reading samples" role="status">
      <Skeleton h={96} />
      <Skeleton h={96} />
      <Skeleton h={96} />
    </Stack>
  );
}

function wholeOf(text: string | null, most: number): number | null {
  if (text === null || !/^\d+$/.test(text)) return null;
  return Math.min(Number(text), most);
}
