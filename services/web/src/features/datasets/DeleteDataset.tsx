import { Alert, Button, Group, List, Modal, Stack } from "@mantine/core";
import { TriangleAlert } from "lucide-react";
import { useState } from "react";
import { useShallow } from "zustand/react/shallow";
import type { ApiError } from "@/api/errors";
import type { Dataset } from "@/api/types";
import { deleteDataset } from "@/state/datasets";
import { useEntities } from "@/state/entities";
import { ErrorNotice } from "@/ui/ErrorNotice";
import { bytes, count } from "@/ui/format";

interface Props {
  dataset: Dataset;
  opened: boolean;
  onClose: () => void;
  onDeleted?: () => void;
}

/** Says what depends on a dataset and what becomes of it, and deletes the dataset. */
export default function DeleteDataset({ dataset, opened, onClose, onDeleted }: Props) {
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title={`Delete ${dataset.name}?`}
      closeButtonProps={{ "aria-label": "Close" }}
    >
      <Question dataset={dataset} onClose={onClose} onDeleted={onDeleted} />
    </Modal>
  );
}

interface QuestionProps {
  dataset: Dataset;
  onClose: () => void;
  onDeleted: (() => void) | undefined;
}

function Question({ dataset, onClose, onDeleted }: QuestionProps) {
  const caches = useEntities(
    useShallow((state) =>
      Object.values(state.caches).filter(({ dataset_id }) => dataset_id === dataset.id),
    ),
  );
  const running = useEntities(
    (state) =>
      Object.values(state.extractions).filter(
        ({ dataset_id, status }) =>
          dataset_id === dataset.id && (status === "queued" || status === "extracting"),
      ).length,
  );
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);

  async function remove() {
    setBusy(true);
    const refused = await deleteDataset(dataset.id);
    setBusy(false);
    setError(refused);
    if (refused) return;
    onClose();
    onDeleted?.();
  }

  return (
    <Stack>
      {error && <ErrorNotice error={error} />}
      {running > 0 && !error && (
        <Alert color="yellow" icon={<TriangleAlert aria-hidden />} role="note">
          {running === 1 ? "An extraction over it is" : `${count(running)} extractions over it are`}{" "}
          queued or running. Cancel {running === 1 ? "it" : "them"} first.
        </Alert>
      )}
      <List size="sm" spacing={4}>
        <List.Item>
          Its {count(dataset.sample_count)} samples, {bytes(dataset.file_size_bytes)}, leave the
          disk for good, but for files that another dataset has too.
        </List.Item>
        {dataset.source === "local" && (
          <List.Item>The file it was read from stays where it is.</List.Item>
        )}
        <List.Item>
          {caches.length ? (
            <>
              <b>
                {caches.length === 1
                  ? "1 activation cache"
                  : `${count(caches.length)} activation caches`}
              </b>{" "}
              made from it stay{caches.length === 1 && "s"}, and can be read as before.
            </>
          ) : (
            "No activation cache was made from it."
          )}
        </List.Item>
      </List>
      <Group justify="flex-end">
        <Button variant="default" onClick={onClose} data-autofocus>
          Keep it
        </Button>
        <Button color="red.9" loading={busy} onClick={() => void remove()}>
          Delete
        </Button>
      </Group>
    </Stack>
  );
}
