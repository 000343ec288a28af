import { List, Modal } from "@mantine/core";
import { useShallow } from "zustand/react/shallow";
import type { Dataset } from "@/api/types";
import { deleteDataset } from "@/state/datasets";
import { useEntities } from "@/state/entities";
import { underWay } from "@/state/extractions";
import { ConfirmDeletion } from "@/ui/ConfirmDeletion";
import { bytes, count } from "@/ui/format";
import { stillRunning } from "@/ui/stillRunning";

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
        (each) => each.dataset_id === dataset.id && underWay(each),
      ).length,
  );
  return (
    <ConfirmDeletion
      warning={stillRunning(running, "over")}
      onDelete={() => deleteDataset(dataset.id)}
      onKeep={onClose}
      onDeleted={() => {
        onClose();
        onDeleted?.();
      }}
    >
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
    </ConfirmDeletion>
  );
}
