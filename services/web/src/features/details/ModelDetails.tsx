import { Badge, Button, FocusTrap, Modal, Skeleton, Stack, Tabs } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { SearchX } from "lucide-react";
import { type ReactNode, useEffect } from "react";
import { useLocation, useNavigate, useParams } from "react-router";
import { api, unwrap } from "@/api/client";
import { asApiError } from "@/api/errors";
import type { ModelSummary } from "@/api/types";
import { useEntities } from "@/state/entities";
import { underWay } from "@/state/extractions";
import { useSelection } from "@/state/selection";
import { EmptyState } from "@/ui/EmptyState";
import { ErrorNotice } from "@/ui/ErrorNotice";
import { ConfigJson } from "./ConfigJson";
import { Extractions } from "./Extractions";
import { ExtractPanel } from "./extract/ExtractPanel";
import { Header } from "./Header";
import { Loading } from "./Loading";
import classes from "./ModelDetails.module.css";
import { Overview } from "./Overview";

const TABS = ["overview", "extract", "extractions", "config"] as const;
type Tab = (typeof TABS)[number];

/** A model in full, over the list of models; its address says which, and what of it. */
export default function ModelDetails() {
  const { modelId = "", "*": rest = "" } = useParams();
  const navigate = useNavigate();
  const { search } = useLocation();
  const model = useEntities((state) => state.models[modelId]);
  const known = useEntities((state) => state.fetched.models.status === "yes");
  const select = useSelection((selection) => selection.select);
  const narrow = useMediaQuery("(max-width: 48em)");
  const close = () => navigate({ pathname: "/models", search });

  useEffect(() => select(modelId), [modelId, select]);
  const name = model?.name;
  useEffect(() => {
    if (!name) return;
    const before = document.title;
    document.title = `${name} · miStudio`;
    return () => {
      document.title = before;
    };
  }, [name]);

  return (
    <Modal.Root
      opened
      onClose={close}
      size={1200}
      yOffset={32}
      xOffset={16}
      centered
      fullScreen={narrow ?? false}
      transitionProps={{ transition: "fade", duration: 120 }}
    >
      <Modal.Overlay backgroundOpacity={0.55} />
      <Modal.Content radius="lg" p={0} {...(model ? {} : { "aria-label": "Model" })}>
        <FocusTrap.InitialFocus />
        {model ? (
          <Details
            model={model}
            tab={tabOf(rest)}
            onTab={(tab) => navigate({ pathname: pathOf(modelId, tab), search })}
          />
        ) : (
          <Absent known={known} onClose={close} />
        )}
      </Modal.Content>
    </Modal.Root>
  );
}

interface DetailsProps {
  model: ModelSummary;
  tab: Tab;
  onTab: (tab: Tab) => void;
}

function Details({ model, tab, onTab }: DetailsProps) {
  const running = useEntities(
    (state) =>
      Object.values(state.extractions).filter(
        (each) => each.model_id === model.id && underWay(each),
      ).length,
  );
  // The config and the fidelity are of the weights, and no list tells them.
  const { data, error, refetch } = useQuery({
    queryKey: ["model", model.id, model.fingerprint],
    queryFn: ({ signal }) =>
      unwrap(
        api.GET("/api/models/{model_id}", { params: { path: { model_id: model.id } }, signal }),
      ),
    placeholderData: keepPreviousData,
  });
  return (
    <div className={classes.frame}>
      <div className={classes.head}>
        <Stack gap="sm">
          <Header model={model} />
          {model.status === "loading" && <Loading model={model} />}
        </Stack>
      </div>
      <Tabs
        className={classes.tabs}
        value={tab}
        onChange={(value) => value && onTab(value as Tab)}
        keepMounted={false}
      >
        <Tabs.List className={classes.list}>
          <Tabs.Tab value="overview">Overview</Tabs.Tab>
          <Tabs.Tab value="extract">Extract</Tabs.Tab>
          <Tabs.Tab
            value="extractions"
            rightSection={
              running > 0 && (
                <Badge size="xs" circle aria-label={`${running} running`}>
                  {running}
                </Badge>
              )
            }
          >
            Extractions
          </Tabs.Tab>
          <Tabs.Tab value="config">Config</Tabs.Tab>
        </Tabs.List>
        <Panel tab="overview">
          <Overview model={model} fidelity={data?.fidelity ?? null} />
        </Panel>
        <Panel tab="extract">
          <ExtractPanel model={model} />
        </Panel>
        <Panel tab="extractions">
          <Extractions model={model} extract={pathOf(model.id, "extract")} />
        </Panel>
        <Panel tab="config">
          {data && <ConfigJson config={data.config} />}
          {!data && error && (
            <ErrorNotice error={asApiError(error)} onRetry={() => void refetch()} />
          )}
          {!data && !error && <Skeleton h={320} />}
        </Panel>
      </Tabs>
    </div>
  );
}

function Panel({ tab, children }: { tab: Tab; children: ReactNode }) {
  return (
    <Tabs.Panel value={tab} className={classes.body} tabIndex={0}>
      {children}
    </Tabs.Panel>
  );
}

/** Instead of a model that is not there: not yet, or no longer. */
function Absent({ known, onClose }: { known: boolean; onClose: () => void }) {
  if (!known) {
    return (
      <Stack p="xl" aria-busy="true" aria-label="Loading">
        <Skeleton h={30} w={260} />
        <Skeleton h={20} w={420} />
        <Skeleton h={240} />
      </Stack>
    );
  }
  return (
    <EmptyState
      icon={SearchX}
      title="There is no such model"
      action={<Button onClick={onClose}>Show the models</Button>}
    >
      It was deleted, or its address is wrong.
    </EmptyState>
  );
}

function tabOf(rest: string): Tab {
  return TABS.find((tab) => tab === rest) ?? "overview";
}

function pathOf(modelId: string, tab: Tab): string {
  return tab === "overview" ? `/models/${modelId}` : `/models/${modelId}/${tab}`;
}
