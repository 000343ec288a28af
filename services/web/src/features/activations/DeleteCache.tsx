import { List, Modal, Text } from "@mantine/core";
import type { Cache } from "@/api/types";
import { deleteCache } from "@/state/caches";
import { useEntities } from "@/state/entities";
import { ConfirmDeletion } from "@/ui/ConfirmDeletion";
import { bytes, count } from "@/ui/format";
import { shortHookPoints } from "@/ui/hookPoints";

interface Props {
  cache: Cache;
  opened: boolean;
  onClose: () => void;
  onDeleted?: () => void;
}

/** Says what deleting a cache removes, and deletes it. */
export default function DeleteCache({ cache, opened, onClose, onDeleted }: Props) {
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title="Delete this cache?"
      closeButtonProps={{ "aria-label": "Close" }}
    >
      <Question cache={cache} onClose={onClose} onDeleted={onDeleted} />
    </Modal>
  );
}

interface QuestionProps {
  cache: Cache;
  onClose: () => void;
  onDeleted: (() => void) | undefined;
}

function Question({ cache, onClose, onDeleted }: QuestionProps) {
  const model = useEntities((state) => state.models[cache.model_id]?.name);
  const sharing = useEntities((state) => shared(cache, Object.values(state.caches)));
  return (
    <ConfirmDeletion
      label={`Delete ${bytes(cache.file_size_bytes)}`}
      onDelete={() => deleteCache(cache.id)}
      onKeep={onClose}
      onDeleted={() => {
        onClose();
        onDeleted?.();
      }}
    >
      <Text size="sm">For good, this removes:</Text>
      <List size="sm" spacing={4}>
        <List.Item>
          <b>{bytes(cache.file_size_bytes)}</b>: {count(cache.token_count)} tokens of{" "}
          {shortHookPoints(cache.hook_points).join("; ")}
        </List.Item>
        <List.Item>captured from {model ?? cache.model_id}</List.Item>
      </List>
      {sharing > 0 && (
        <Text size="sm">
          {sharing === 1 ? "1 hook point is" : `${count(sharing)} hook points are`} in another cache
          too and {sharing === 1 ? "stays" : "stay"} on the disk.
        </Text>
      )}
      <Text size="sm" c="dimmed">
        The same extraction makes it again.
      </Text>
    </ConfirmDeletion>
  );
}

/** How many hook points of a cache another one of the same store shows. */
function shared(cache: Cache, all: readonly Cache[]): number {
  const others = all.filter(
    ({ id, store_key }) => store_key === cache.store_key && id !== cache.id,
  );
  return cache.hook_points.filter((name) =>
    others.some(({ hook_points }) => hook_points.includes(name)),
  ).length;
}
