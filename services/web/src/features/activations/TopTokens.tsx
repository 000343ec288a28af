import {
  Anchor,
  Box,
  Group,
  Paper,
  SegmentedControl,
  Select,
  Skeleton,
  Stack,
  Table,
  Text,
  VisuallyHidden,
} from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "react-router";
import { asApiError } from "@/api/errors";
import type { Cache, Schemas } from "@/api/types";
import { findTopTokens } from "@/state/caches";
import { ErrorNotice } from "@/ui/ErrorNotice";
import { Framed } from "@/ui/Framed";
import { count, figure } from "@/ui/format";
import { LookControls } from "./LookControls";
import { lookOf, nameOf, useLook } from "./look";
import { visible } from "./pieces";
import classes from "./TopTokens.module.css";

const COUNTS = ["20", "50", "100", "200"];
const WAIT_MS = 250;

/** The tokens where a norm, a neuron or a direction is largest or least, each where it stands. */
export function TopTokens({ cache }: { cache: Cache }) {
  const [query] = useSearchParams();
  const [look, change] = useLook(cache);
  const least = query.get("end") === "least";
  const many = COUNTS.find((each) => each === query.get("count")) ?? "20";
  const [asked] = useDebouncedValue(look, WAIT_MS);
  const { data, error, isFetching, refetch } = useQuery({
    queryKey: ["top-tokens", cache.id, asked.hookPoint, asked.along, least, many],
    queryFn: ({ signal }) =>
      findTopTokens(
        cache.id,
        { hook_point: asked.hookPoint, along: asked.along ?? {}, least, count: Number(many) },
        signal,
      ),
    enabled: asked.along !== null,
    placeholderData: keepPreviousData,
    retry: false,
  });
  return (
    <Stack>
      <Paper>
        <Group justify="space-between" align="flex-end">
          <LookControls cache={cache} look={look} onChange={change} />
          <Group gap="sm" align="flex-end">
            <SegmentedControl
              aria-label="Which end"
              data={[
                { value: "largest", label: "Largest" },
                { value: "least", label: "Least" },
              ]}
              value={least ? "least" : "largest"}
              onChange={(end) => change({ end: end === "least" ? end : null })}
            />
            <Select
              label="How many"
              data={COUNTS}
              value={many}
              allowDeselect={false}
              onChange={(value) => change({ count: value })}
              w={100}
            />
          </Group>
        </Group>
      </Paper>
      {look.along === null && (
        <Text c="dimmed">Give a vector, and the tokens that point along it are found.</Text>
      )}
      {error && <ErrorNotice error={asApiError(error)} onRetry={() => void refetch()} />}
      {look.along !== null && !error && !data && (
        <div role="status" aria-busy="true" aria-label="Comparing tokens">
          <Skeleton h={420} />
        </div>
      )}
      {look.along !== null && !error && data && (
        <div style={{ opacity: isFetching ? 0.6 : 1 }} aria-busy={isFetching}>
          <Found found={data} name={nameOf(asked)} />
        </div>
      )}
    </Stack>
  );
}

function Found({ found, name }: { found: Schemas["TopTokens"]; name: string }) {
  const { tokens, tokens_read, total_tokens } = found;
  const largest = Math.max(...tokens.map(({ value }) => Math.abs(value)), Number.MIN_VALUE);
  return (
    <Stack gap="xs">
      <Text size="sm" c="dimmed">
        {tokens_read < total_tokens
          ? `Compared the first ${count(tokens_read)} of ${count(total_tokens)} tokens: reading stops after some seconds.`
          : `All ${count(total_tokens)} tokens were compared.`}
      </Text>
      <Framed>
        <Table.ScrollContainer minWidth={420} type="native">
          <Table aria-label={`Tokens by ${name}`} verticalSpacing={6}>
            <Table.Thead>
              <Table.Tr>
                <Table.Th w={44} visibleFrom="md">
                  #
                </Table.Th>
                <Table.Th miw={90}>{name}</Table.Th>
                <Table.Th>Token where it stands</Table.Th>
                <Table.Th w={90} ta="right" visibleFrom="md">
                  Position
                </Table.Th>
                <Table.Th w={100} ta="right">
                  Sample
                </Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {tokens.map((token, index) => (
                <Row
                  key={`${token.sample} ${token.position}`}
                  token={token}
                  rank={index + 1}
                  share={Math.abs(token.value) / largest}
                />
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      </Framed>
    </Stack>
  );
}

interface RowProps {
  token: Schemas["TopToken"];
  rank: number;
  share: number;
}

function Row({ token, rank, share }: RowProps) {
  const [query] = useSearchParams();
  const there = lookOf(query);
  there.set("sample", String(token.sample));
  there.set("token", String(token.position));
  return (
    <Table.Tr>
      <Table.Td c="dimmed" visibleFrom="md">
        {rank}
      </Table.Td>
      <Table.Td>
        <Group gap="xs" wrap="nowrap">
          <Text size="sm" fw={600} w={64} ta="right" style={{ flex: "none" }}>
            {figure(token.value)}
          </Text>
          <Box className={classes.track} visibleFrom="md" aria-hidden>
            <div
              className={classes.bar}
              data-negative={token.value < 0 || undefined}
              style={{ width: `${100 * share}%` }}
            />
          </Box>
        </Group>
      </Table.Td>
      <Table.Td className={classes.context}>
        {token.before !== null && <span>{visible(token.before)}</span>}
        <mark>{token.text === null ? `#${token.input_id}` : visible(token.text) || "∅"}</mark>
        {token.after !== null && <span>{visible(token.after)}</span>}
      </Table.Td>
      <Table.Td ta="right" visibleFrom="md">
        {count(token.position)}
      </Table.Td>
      <Table.Td ta="right">
        <Anchor
          component={Link}
          to={{ pathname: "../samples", search: String(there) }}
          relative="path"
          size="sm"
          pos="relative"
          display="inline-block"
        >
          <VisuallyHidden>Heat map of sample </VisuallyHidden>
          {count(token.sample)}
        </Anchor>
      </Table.Td>
    </Table.Tr>
  );
}
