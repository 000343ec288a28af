import { Anchor, Button, Code, Group, Tabs } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { ChartColumn, Code2, Grid3x3, Layers, ListOrdered, TextSelect } from "lucide-react";
import { Link, Navigate, useNavigate, useParams, useSearchParams } from "react-router";
import { asApiError } from "@/api/errors";
import type { Cache } from "@/api/types";
import { readCache } from "@/state/caches";
import { useEntities } from "@/state/entities";
import { Ago } from "@/ui/Ago";
import { EmptyState } from "@/ui/EmptyState";
import { ErrorNotice } from "@/ui/ErrorNotice";
import { bytes, count } from "@/ui/format";
import { shortHookPoints } from "@/ui/hookPoints";
import { Page } from "@/ui/Page";
import { PageSkeleton } from "@/ui/PageSkeleton";
import { StatusBadge } from "@/ui/StatusBadge";
import { Absent } from "./Absent";
import { lookOf } from "./look";
import { Norms } from "./Norms";
import { Samples } from "./Samples";
import { Statistics } from "./Statistics";
import { TopTokens } from "./TopTokens";
import { Use } from "./Use";

const TABS = [
  { path: "statistics", label: "Statistics", icon: ChartColumn, panel: Statistics },
  { path: "norms", label: "Norms", icon: Grid3x3, panel: Norms },
  { path: "samples", label: "Samples", icon: TextSelect, panel: Samples },
  { path: "top-tokens", label: "Top tokens", icon: ListOrdered, panel: TopTokens },
  { path: "use", label: "Use", icon: Code2, panel: Use },
] as const;

/** One cache, to be looked into. */
export default function ActivationView() {
  const { cacheId = "" } = useParams();
  // What was deleted leaves the list, and is then asked for again and found to be gone; so is one
  // whose files have been found, or captured again.
  const listed = useEntities((state) => state.caches[cacheId]?.status ?? null);
  const { data, error, refetch } = useQuery({
    queryKey: ["cache", cacheId, listed],
    queryFn: () => readCache(cacheId),
    retry: false,
  });
  if (error) {
    const refused = asApiError(error);
    if (refused.status === 404) return <Gone />;
    return (
      <Page title="Activations">
        <ErrorNotice error={refused} onRetry={() => void refetch()} />
      </Page>
    );
  }
  if (!data) return <PageSkeleton />;
  return <View cache={data} />;
}

function View({ cache }: { cache: Cache }) {
  const { "*": rest = "" } = useParams();
  const model = useEntities((state) => state.models[cache.model_id]?.name ?? cache.model_id);
  const dataset = useEntities((state) =>
    cache.dataset_id === null
      ? "a dataset that is gone"
      : (state.datasets[cache.dataset_id]?.name ?? cache.dataset_id),
  );
  const here = TABS.find(({ path }) => path === rest);
  if (!here) return <Navigate to={`/activations/${cache.id}/statistics`} replace />;
  return (
    <Page
      title={`${model} over ${dataset}`}
      description={
        <Group gap="xs" component="span" fz="sm">
          <Anchor component={Link} to="/activations" size="sm">
            All caches
          </Anchor>
          <span aria-hidden>·</span>
          <span>{shortHookPoints(cache.hook_points).join("; ")}</span>
          <span aria-hidden>·</span>
          <span>
            {count(cache.sample_count)} samples, {count(cache.token_count)} tokens
          </span>
          <span aria-hidden>·</span>
          <span>
            {cache.dtype}, {bytes(cache.file_size_bytes)}
          </span>
          <span aria-hidden>·</span>
          <span>
            captured <Ago at={cache.created_at} />
          </span>
          {cache.status !== "ready" && <StatusBadge status={cache.status} />}
          <Code>{cache.id}</Code>
        </Group>
      }
    >
      {cache.status === "ready" ? (
        <Look cache={cache} path={here.path} />
      ) : (
        <Absent cache={cache} />
      )}
    </Page>
  );
}

/** What there is to be seen of a cache, a tab each. */
function Look({ cache, path: here }: { cache: Cache; path: string }) {
  const [query] = useSearchParams();
  const navigate = useNavigate();
  const base = `/activations/${cache.id}`;
  return (
    <Tabs
      value={here}
      onChange={(path) => navigate({ pathname: `${base}/${path}`, search: `${lookOf(query)}` })}
      keepMounted={false}
    >
      <Tabs.List mb="md">
        {TABS.map(({ path, label, icon: Icon }) => (
          <Tabs.Tab key={path} value={path} leftSection={<Icon size={16} aria-hidden />}>
            {label}
          </Tabs.Tab>
        ))}
      </Tabs.List>
      {TABS.map(({ path, panel: Panel }) => (
        <Tabs.Panel key={path} value={path}>
          <Panel cache={cache} />
        </Tabs.Panel>
      ))}
    </Tabs>
  );
}

function Gone() {
  return (
    <Page title="Activations">
      <EmptyState
        icon={Layers}
        title="There is no such cache"
        action={
          <Button component={Link} to="/activations" variant="default">
            All caches
          </Button>
        }
      >
        It was deleted, or made room for others as the one that was not used for longest. The same
        extraction makes it again.
      </EmptyState>
    </Page>
  );
}
