import { Alert, Anchor, Button, Group, Stack, Text } from "@mantine/core";
import { FileX2, RefreshCw, Trash2 } from "lucide-react";
import { lazy, Suspense, useState } from "react";
import { Link, useNavigate } from "react-router";
import { type ApiError, asApiError } from "@/api/errors";
import type { Cache } from "@/api/types";
import { useEntities } from "@/state/entities";
import { requestExtraction } from "@/state/extractions";
import { useMay } from "@/state/session";
import { ErrorNotice } from "@/ui/ErrorNotice";
import { StatusBadge } from "@/ui/StatusBadge";

const DeleteCache = lazy(() => import("./DeleteCache"));

/** Why a cache shows nothing of what it holds, and what can be done about that. */
export function Absent({ cache }: { cache: Cache }) {
  if (cache.status === "unchecked") {
    return (
      <Alert color="yellow" icon={<FileX2 aria-hidden />} title="Its files are being looked for">
        The catalog was restored, and no extractor has said yet whether this cache's files lie where
        they should. Until one has, it can neither be looked into nor be used.
      </Alert>
    );
  }
  return (
    <Alert color="red" icon={<FileX2 aria-hidden />} title="Its files are missing">
      <Stack gap="sm" align="flex-start">
        <Text size="sm">
          Some of its columns did not come along when the catalog was restored, so it answers no
          request. The same extraction captures them again under the same address; who needs them no
          more deletes the cache.
        </Text>
        <Remedies cache={cache} />
      </Stack>
    </Alert>
  );
}

function Remedies({ cache }: { cache: Cache }) {
  const mayWrite = useMay("model:write");
  const navigate = useNavigate();
  const modelThere = useEntities((state) => cache.model_id in state.models);
  const [asked, setAsked] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);
  const [deleting, setDeleting] = useState<boolean | null>(null);
  const status = useEntities((state) => (asked ? state.extractions[asked]?.status : undefined));
  if (!mayWrite) return null;

  async function again(dataset_id: string) {
    setBusy(true);
    setError(null);
    try {
      setAsked((await extractAgain(cache, dataset_id)).extraction_id);
    } catch (thrown) {
      setError(asApiError(thrown));
    }
    setBusy(false);
  }

  const { dataset_id } = cache;
  return (
    <>
      {error && <ErrorNotice error={error} />}
      {dataset_id === null && (
        <Text size="sm">Its dataset was deleted: nobody can capture it again.</Text>
      )}
      <Group gap="sm">
        {dataset_id !== null && (
          <Button
            size="compact-md"
            leftSection={<RefreshCw size={16} aria-hidden />}
            loading={busy}
            disabled={!modelThere || status === "queued" || status === "extracting"}
            onClick={() => void again(dataset_id)}
          >
            Extract again
          </Button>
        )}
        <Button
          size="compact-md"
          variant="light"
          color="red"
          leftSection={<Trash2 size={16} aria-hidden />}
          onClick={() => setDeleting(true)}
        >
          Delete…
        </Button>
        {status && (
          <>
            <StatusBadge status={status} />
            <Anchor component={Link} to={`/models/${cache.model_id}/extractions`} size="sm">
              Follow it
            </Anchor>
          </>
        )}
      </Group>
      <Suspense fallback={null}>
        {deleting !== null && (
          <DeleteCache
            cache={cache}
            opened={deleting}
            onClose={() => setDeleting(false)}
            onDeleted={() => navigate("/activations")}
          />
        )}
      </Suspense>
    </>
  );
}

/** Ask for what a cache shows: its columns, of as many rows. */
function extractAgain(cache: Cache, dataset_id: string) {
  const { model_id, hook_points, layer_indices, dtype, tokenization, rows_considered } = cache;
  return requestExtraction(
    model_id,
    { dataset_id, hook_points, dtype, tokenization, sample_count: rows_considered },
    { layer_indices, hook_points, dtype, tokenization },
  );
}
