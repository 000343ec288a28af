import {
  Badge,
  Code,
  Group,
  List,
  Paper,
  Progress,
  SimpleGrid,
  Stack,
  Text,
  Title,
} from "@mantine/core";
import { useInterval } from "@mantine/hooks";
import { Cpu } from "lucide-react";
import type { Device } from "@/api/types";
import { useEntities } from "@/state/entities";
import { fetchAll } from "@/state/fetching";
import { EmptyState } from "@/ui/EmptyState";
import { ErrorNotice } from "@/ui/ErrorNotice";
import { ago, bytes, moment } from "@/ui/format";
import { Page } from "@/ui/Page";
import { PageSkeleton } from "@/ui/PageSkeleton";
import { MemoryBar } from "./MemoryBar";
import { portionsOf } from "./portions";
import { Queue } from "./Queue";

const HEARTBEAT_MS = 5000;

/** What there is to compute on: its memory, its disk, and what waits for it. */
export default function DevicePanel() {
  const devices = useEntities((state) => state.devices);
  const { status, error } = useEntities((state) => state.fetched.devices);
  // What other processes take and what the disk holds changes without an event.
  useInterval(() => void fetchAll("devices"), HEARTBEAT_MS, { autoInvoke: true });
  const rows = Object.values(devices).sort(
    (a, b) => Number(b.online) - Number(a.online) || a.name.localeCompare(b.name),
  );
  if (status !== "yes" && !rows.length) return <PageSkeleton />;
  return (
    <Page title="Device" description="Memory and disk of each extractor, and the work that waits.">
      {error && <ErrorNotice error={error} onRetry={() => void fetchAll("devices")} />}
      {!rows.length && !error && (
        <EmptyState icon={Cpu} title="No device has reported yet">
          An extractor tells of its device as soon as it runs. <Code>mistudio up</Code> starts one;{" "}
          <Code>mistudio doctor</Code> says what keeps it from starting.
        </EmptyState>
      )}
      {rows.map((device) => (
        <DeviceCard key={device.id} device={device} />
      ))}
      <Queue />
    </Page>
  );
}

function DeviceCard({ device }: { device: Device }) {
  const models = useEntities((state) => state.models);
  const refused = Object.entries(device.unavailable_formats);
  return (
    <Paper component="section" aria-label={device.name} opacity={device.online ? 1 : 0.65}>
      <Stack gap="lg">
        <Group justify="space-between">
          <Group gap="sm">
            <Title order={2} size="h4">
              {device.name}
            </Title>
            <Badge variant="default" ff="monospace">
              {device.kind}
            </Badge>
            <Badge color={device.online ? "teal" : "red"} variant="dot">
              {device.online ? "online" : `last seen ${ago(device.last_seen_at)}`}
            </Badge>
          </Group>
          <Text size="sm" c="dimmed">
            pool {device.pool} · since {moment(device.started_at)}
          </Text>
        </Group>
        <MemoryBar
          portions={portionsOf(device, models)}
          total={device.memory_total_bytes}
          budget={device.memory_budget_bytes}
        />
        <SimpleGrid cols={{ base: 1, sm: 2 }}>
          <Disk device={device} />
          <div>
            <Text size="sm" fw={600} mb={4}>
              Formats that cannot be used here
            </Text>
            {refused.length ? (
              <List size="sm" spacing={4}>
                {refused.map(([quantization, reason]) => (
                  <List.Item key={quantization}>
                    <Code>{quantization}</Code> {reason}
                  </List.Item>
                ))}
              </List>
            ) : (
              <Text size="sm" c="dimmed">
                None: every format has run a kernel on this device.
              </Text>
            )}
          </div>
        </SimpleGrid>
      </Stack>
    </Paper>
  );
}

function Disk({ device }: { device: Device }) {
  const { store_bytes, store_free_bytes } = device;
  const share = (100 * store_bytes) / Math.max(store_bytes + store_free_bytes, 1);
  return (
    <div>
      <Text size="sm" fw={600} mb={4}>
        Disk of the activations
      </Text>
      <Progress.Root size="lg" radius="sm">
        <Progress.Section value={share} aria-label="Stored activations" />
      </Progress.Root>
      <Text size="sm" c="dimmed" mt={4}>
        {bytes(store_bytes)} stored, {bytes(store_free_bytes)} free
      </Text>
    </div>
  );
}
