import { Anchor, Box, Chip, Code, Group, Paper, Text, TextInput } from "@mantine/core";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import {
  Activity,
  Boxes,
  Cpu,
  Database,
  Layers,
  type LucideIcon,
  Microscope,
  Search,
  Terminal,
} from "lucide-react";
import { useMemo, useRef } from "react";
import { Link, useSearchParams } from "react-router";
import { useShallow } from "zustand/react/shallow";
import { type Happening, MOST_EVENTS, useActivity } from "@/state/activity";
import { useEntities } from "@/state/entities";
import { EmptyState } from "@/ui/EmptyState";
import { count, moment } from "@/ui/format";
import { Page } from "@/ui/Page";
import classes from "./ActivityPanel.module.css";
import { type Names, type Subject, subjectOf, type Told, words } from "./words";

const SUBJECTS: readonly { subject: Subject; label: string; icon: LucideIcon }[] = [
  { subject: "model", label: "Models", icon: Boxes },
  { subject: "extraction", label: "Extractions", icon: Microscope },
  { subject: "dataset", label: "Datasets", icon: Database },
  { subject: "cache", label: "Caches", icon: Layers },
  { subject: "device", label: "Devices", icon: Cpu },
  { subject: "command", label: "Commands", icon: Terminal },
];
const ICONS = Object.fromEntries(SUBJECTS.map(({ subject, icon }) => [subject, icon]));
/** Devices tell of themselves at every change: shown only to who asks. */
const USUAL: readonly Subject[] = ["model", "extraction", "dataset", "cache", "command"];
const ROW_PIXELS = 44;

/** The event stream, the newest first. Filters stand in the address. */
export default function ActivityPanel() {
  const [query, setQuery] = useSearchParams();
  const shown = (query.get("of")?.split(",") as Subject[] | undefined) ?? USUAL;
  const text = query.get("q") ?? "";
  const failures = query.get("failed") === "1";
  const events = useFiltered(shown, text, failures);
  const all = useActivity((activity) => activity.events.length);

  function change(key: string, value: string | null) {
    setQuery(
      (before) => {
        if (value === null) before.delete(key);
        else before.set(key, value);
        return before;
      },
      { replace: true },
    );
  }

  return (
    <Page
      title="Activity"
      description={`Events as they come; the last ${count(MOST_EVENTS)} are kept here.`}
    >
      <Group justify="space-between">
        <Chip.Group multiple value={[...shown]} onChange={(value) => change("of", value.join(","))}>
          <Group gap={6} role="group" aria-label="Events of">
            {SUBJECTS.map(({ subject, label }) => (
              <Chip key={subject} value={subject} size="xs" variant="light">
                {label}
              </Chip>
            ))}
            <Chip
              size="xs"
              color="red"
              variant="light"
              checked={failures}
              onChange={(checked) => change("failed", checked ? "1" : null)}
            >
              Failures alone
            </Chip>
          </Group>
        </Chip.Group>
        <TextInput
          aria-label="Search events"
          placeholder="Search"
          size="xs"
          w={220}
          leftSection={<Search size={14} aria-hidden />}
          value={text}
          onChange={(event) => change("q", event.currentTarget.value || null)}
        />
      </Group>
      {events.length ? <Rows events={events} /> : <Nothing filtered={all > 0} />}
    </Page>
  );
}

function Nothing({ filtered }: { filtered: boolean }) {
  return filtered ? (
    <EmptyState icon={Search} title="No event matches">
      Choose more kinds of events, or search for something else.
    </EmptyState>
  ) : (
    <EmptyState icon={Activity} title="Nothing has happened yet">
      Loads, extractions and datasets tell here what becomes of them. Any program can follow the
      same events: <Code>mistudio events</Code>, or the subjects on the bus.
    </EmptyState>
  );
}

interface Row {
  event: Happening;
  told: Told;
}

function useFiltered(shown: readonly Subject[], text: string, failures: boolean): Row[] {
  const events = useActivity((activity) => activity.events);
  // Not the whole store: its other tables change without end, and name nothing here.
  const names = useEntities(
    useShallow(({ models, datasets, devices }): Names => ({ models, datasets, devices })),
  );
  const wanted = text.toLowerCase();
  const key = shown.join(",");
  return useMemo(() => {
    const subjects = new Set(key.split(","));
    return events
      .filter((event) => subjects.has(subjectOf(event)))
      .map((event) => ({ event, told: words(event, names) }))
      .filter(
        ({ told }) =>
          (!failures || told.tone === "bad") &&
          (!wanted || `${told.name} ${told.what}`.toLowerCase().includes(wanted)),
      );
  }, [events, names, key, wanted, failures]);
}

function Rows({ events }: { events: readonly Row[] }) {
  const list = useRef<HTMLDivElement>(null);
  const rows = useWindowVirtualizer({
    count: events.length,
    estimateSize: () => ROW_PIXELS,
    overscan: 12,
    scrollMargin: list.current?.offsetTop ?? 0,
    getItemKey: (index) => events[index]?.event.id ?? index,
  });
  return (
    <Paper p={0} ref={list}>
      <Box
        component="ul"
        className={classes.rows}
        aria-label="Events"
        pos="relative"
        h={rows.getTotalSize()}
      >
        {rows.getVirtualItems().map((item) => {
          const row = events[item.index];
          return (
            row && (
              <li
                key={item.key}
                ref={rows.measureElement}
                data-index={item.index}
                className={classes.row}
                style={{ transform: `translateY(${item.start - rows.options.scrollMargin}px)` }}
              >
                <Line {...row} />
              </li>
            )
          );
        })}
      </Box>
    </Paper>
  );
}

function Line({ event, told }: Row) {
  const Icon = ICONS[told.subject] ?? Activity;
  return (
    <Group gap="sm" wrap="nowrap" align="flex-start" px="md" py={10}>
      <Icon size={16} className={classes.icon} data-tone={told.tone} aria-hidden />
      <Text size="sm" className={classes.what}>
        {told.to ? (
          <Anchor component={Link} to={told.to} inherit fw={600}>
            {told.name}
          </Anchor>
        ) : (
          <Text span inherit fw={600}>
            {told.name}
          </Text>
        )}{" "}
        {told.what}
        {told.remedy && (
          <Text span inherit c="dimmed">
            {" "}
            {told.remedy}
          </Text>
        )}
      </Text>
      <Text size="xs" c="dimmed" className={classes.when}>
        {moment(event.at)}
      </Text>
    </Group>
  );
}
