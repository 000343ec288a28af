import { Button, Group, Paper, SimpleGrid, Stack, Text, Title } from "@mantine/core";
import { Download, Trash2 } from "lucide-react";
import { lazy, type ReactNode, Suspense, useState } from "react";
import { useNavigate } from "react-router";
import { type ApiError, asApiError } from "@/api/errors";
import type { Cache } from "@/api/types";
import { linkDownload } from "@/state/caches";
import { useMay } from "@/state/session";
import { CopyBlock } from "@/ui/CopyBlock";
import { ErrorNotice } from "@/ui/ErrorNotice";
import { bytes } from "@/ui/format";
import { exporting, opening, training } from "./snippets";
import { Verify } from "./Verify";

const DeleteCache = lazy(() => import("./DeleteCache"));

/** How to work with a cache: code that opens it, its files, whether they are whole. */
export function Use({ cache }: { cache: Cache }) {
  return (
    <Stack>
      <SimpleGrid cols={{ base: 1, lg: 2 }}>
        <Section title="Open it in Python">
          <Text size="sm" c="dimmed">
            Where the store lies, or wherever its disk is mounted. Rows are read when they are
            indexed.
          </Text>
          <CopyBlock code={opening(cache)} label="Python that opens this cache" />
        </Section>
        <Section title="Train on it">
          <Text size="sm" c="dimmed">
            Rows in random order, read from the disk in large pieces.
          </Text>
          <CopyBlock code={training(cache)} label="Python that trains on this cache" />
        </Section>
      </SimpleGrid>
      <Section title="Take it elsewhere">
        <Text size="sm" c="dimmed">
          The command checks every file against its SHA-256 and can write npy, pt or what SAELens
          takes as cached_activations_path.
        </Text>
        <CopyBlock code={exporting(cache)} label="commands that export this cache" />
        <Export cache={cache} />
      </Section>
      <SimpleGrid cols={{ base: 1, md: 2 }}>
        <Section title="Verify it">
          <Verify cache={cache} />
        </Section>
        <Deletion cache={cache} />
      </SimpleGrid>
    </Stack>
  );
}

function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Paper component="section" aria-label={title} miw={0}>
      <Stack gap="sm">
        <Title order={2} size="h5">
          {title}
        </Title>
        {children}
      </Stack>
    </Paper>
  );
}

function Export({ cache }: { cache: Cache }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);

  async function follow() {
    setBusy(true);
    setError(null);
    try {
      const { url } = await linkDownload(cache.id);
      // An attachment: the browser saves it and stays on this page.
      window.location.assign(url);
    } catch (thrown) {
      setError(asApiError(thrown));
    }
    setBusy(false);
  }

  return (
    <>
      {error && <ErrorNotice error={error} onRetry={() => void follow()} />}
      <Group gap="sm">
        <Button
          leftSection={<Download size={16} aria-hidden />}
          loading={busy}
          onClick={() => void follow()}
        >
          Export
        </Button>
        <Text size="sm" c="dimmed">
          The whole store as one .tar, which unpacks to what Python opens;{" "}
          {bytes(cache.file_size_bytes)} or more where it holds columns of other caches too.
        </Text>
      </Group>
    </>
  );
}

function Deletion({ cache }: { cache: Cache }) {
  const mayWrite = useMay("model:write");
  const navigate = useNavigate();
  const [asking, setAsking] = useState<boolean | null>(null);
  if (!mayWrite) return null;
  return (
    <Section title="Delete it">
      <Text size="sm" c="dimmed">
        Its columns leave the disk, but for those that another cache shows too.
      </Text>
      <div>
        <Button
          variant="light"
          color="red"
          leftSection={<Trash2 size={16} aria-hidden />}
          onClick={() => setAsking(true)}
        >
          Delete…
        </Button>
      </div>
      <Suspense fallback={null}>
        {asking !== null && (
          <DeleteCache
            cache={cache}
            opened={asking}
            onClose={() => setAsking(false)}
            onDeleted={() => navigate("/activations")}
          />
        )}
      </Suspense>
    </Section>
  );
}
