import { List, Modal, Text } from "@mantine/core";
import { useMounted } from "@mantine/hooks";
import { useShallow } from "zustand/react/shallow";
import type { Cache } from "@/api/types";
import { useEntities } from "@/state/entities";
import { underWay } from "@/state/extractions";
import { deleteModel } from "@/state/models";
import { ConfirmDeletion } from "@/ui/ConfirmDeletion";
import { bytes, count } from "@/ui/format";
import { stillRunning } from "@/ui/stillRunning";

interface Props {
  id: string;
  opened: boolean;
  onClose: () => void;
}

/** Says what deleting a model removes, and deletes it. */
export default function DeleteModel({ id, opened, onClose }: Props) {
  const name = useEntities((state) => state.models[id]?.name);
  // Opened after it is there, it notes who had the focus, to give it back.
  const mounted = useMounted();
  // Whoever else deletes it meanwhile has answered the question.
  return (
    <Modal
      opened={opened && mounted && name !== undefined}
      onClose={onClose}
      title={`Delete ${name ?? "model"}?`}
      styles={{ title: { fontWeight: 650 } }}
      closeButtonProps={{ "aria-label": "Close" }}
    >
      <Question id={id} onClose={onClose} />
    </Modal>
  );
}

function Question({ id, onClose }: Omit<Props, "opened">) {
  const model = useEntities((state) => state.models[id]);
  const caches = useEntities(
    useShallow((state) => Object.values(state.caches).filter((cache) => cache.model_id === id)),
  );
  const running = useEntities(
    (state) =>
      Object.values(state.extractions).filter((each) => each.model_id === id && underWay(each))
        .length,
  );
  if (!model) return null;
  return (
    <ConfirmDeletion
      warning={stillRunning(running, "on")}
      color="red"
      onDelete={() => deleteModel(id)}
      onKeep={onClose}
      onDeleted={onClose}
    >
      <Text size="sm">For good, this removes:</Text>
      <List size="sm" spacing={4}>
        <List.Item>
          the model <b>{model.name}</b>
          {model.status === "ready" && `, which leaves memory (${bytes(model.memory_usage_bytes)})`}
          {model.status === "loading" && ", whose load is stopped"}
        </List.Item>
        {model.disk_bytes !== null && (
          <List.Item>its prepared weights, {bytes(model.disk_bytes)} on disk</List.Item>
        )}
        <List.Item>
          {caches.length ? (
            <>
              <b>
                {caches.length === 1
                  ? "1 activation cache"
                  : `${count(caches.length)} activation caches`}
              </b>
              , {bytes(bytesOf(caches))}
            </>
          ) : (
            "no activation caches: it has none"
          )}
        </List.Item>
      </List>
      <Text size="sm" c="dimmed">
        Files that another model needs too stay. Datasets stay.
      </Text>
    </ConfirmDeletion>
  );
}

/** Bytes of the columns that caches show; one that several show counts once. */
function bytesOf(caches: readonly Cache[]): number {
  const columns = new Map<string, number>();
  let whole = 0;
  for (const cache of caches) {
    if (!cache.columns.length) whole += cache.file_size_bytes;
    for (const column of cache.columns) {
      columns.set(`${cache.store_key} ${column.hook_point}`, column.bytes);
    }
  }
  for (const each of columns.values()) whole += each;
  return whole;
}
