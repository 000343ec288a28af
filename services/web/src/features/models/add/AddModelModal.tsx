import { Modal } from "@mantine/core";
import { useMounted } from "@mantine/hooks";
import { AddModel } from "./AddModel";

interface Props {
  opened: boolean;
  onClose: () => void;
}

/** The dialog that adds a model; its form begins anew each time it is opened. */
export default function AddModelModal({ opened, onClose }: Props) {
  // Opened after it is there, it notes who had the focus, to give it back.
  const mounted = useMounted();
  return (
    <Modal
      opened={opened && mounted}
      onClose={onClose}
      size={960}
      title="Add a model"
      styles={{ title: { fontSize: "var(--mantine-font-size-lg)", fontWeight: 650 } }}
      closeButtonProps={{ "aria-label": "Close" }}
    >
      <AddModel onDone={onClose} />
    </Modal>
  );
}
