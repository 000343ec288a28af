import { Alert, Button, Group, Stack, Table, Text } from "@mantine/core";
import { CircleCheck, ShieldCheck } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { type ApiError, asApiError } from "@/api/errors";
import type { Cache, Schemas } from "@/api/types";
import { type Verified, verifyCache } from "@/state/caches";
import { ErrorNotice } from "@/ui/ErrorNotice";
import { bytes, count } from "@/ui/format";
import { ProgressLine } from "@/ui/ProgressLine";

const WRONG: Record<Schemas["Damage"], string> = {
  missing: "it is missing",
  unreadable: "the disk does not give it",
  size: "it has another size than was written",
  content: "it has another content than was written",
};

/** Has a cache's files compared with what was written, and tells what is damaged. */
export function Verify({ cache }: { cache: Cache }) {
  const [busy, setBusy] = useState(false);
  const [found, setFound] = useState<Verified | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const running = useRef<AbortController | null>(null);
  useEffect(() => () => running.current?.abort(), []);

  async function verify() {
    const abort = new AbortController();
    running.current = abort;
    setBusy(true);
    setFound(null);
    setError(null);
    try {
      await verifyCache(cache.id, setFound, abort.signal);
    } catch (thrown) {
      if (!abort.signal.aborted) setError(asApiError(thrown));
    }
    setBusy(false);
  }

  const done = found !== null && found.files >= found.totalFiles;
  return (
    <Stack gap="sm">
      <Text size="sm" c="dimmed">
        Reads each file where it lies and compares it with its SHA-256 in the manifest.
      </Text>
      {error && <ErrorNotice error={error} onRetry={() => void verify()} />}
      {busy && (
        <ProgressLine
          value={found?.totalBytes ? (100 * found.bytes) / found.totalBytes : 0}
          label="Reading the files"
          detail={found && `${bytes(found.bytes)} of ${bytes(found.totalBytes)}`}
        />
      )}
      <div role="status">
        {!busy && found && !found.damaged.length && (
          <Group gap="xs" wrap="nowrap" c={done ? "teal" : "dimmed"}>
            <CircleCheck size={18} aria-hidden />
            <Text size="sm" fw={550} c="var(--mantine-color-text)">
              {done
                ? `${count(found.files)} files, ${bytes(found.bytes)}: all as they were written`
                : `Stopped after ${count(found.files)} of ${count(found.totalFiles)} files, all of them whole`}
            </Text>
          </Group>
        )}
      </div>
      {found && found.damaged.length > 0 && <Damaged found={found} />}
      <Group gap="sm">
        {busy ? (
          <Button variant="default" onClick={() => running.current?.abort()}>
            Cancel
          </Button>
        ) : (
          <Button
            variant="default"
            leftSection={<ShieldCheck size={16} aria-hidden />}
            onClick={() => void verify()}
          >
            {found ? "Verify again" : "Verify"}
          </Button>
        )}
      </Group>
    </Stack>
  );
}

function Damaged({ found: { damaged, remedy } }: { found: Verified }) {
  return (
    <Alert
      color="red"
      title={
        damaged.length === 1 ? "1 file is damaged" : `${count(damaged.length)} files are damaged`
      }
    >
      <Table aria-label="Damaged files" fz="sm">
        <Table.Tbody>
          {damaged.map(({ path, reason }) => (
            <Table.Tr key={path}>
              <Table.Td ff="monospace">{path}</Table.Td>
              <Table.Td>{WRONG[reason]}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {remedy && (
        <Text size="sm" mt="xs" fw={550}>
          {remedy}
        </Text>
      )}
    </Alert>
  );
}
