import { Modal } from "@mantine/core";
import { AddModel } from "./AddModel";

interface Props {
  opened: boolean;
  onClose: () => void;
}

/** The dialog that adds a model; its form begins anew each time it is opened. */
export default function AddModelModal({ opened, onClose }: Props) {
  return (
    <Modal
      opened={opened}
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
