import { Group, Text } from "@mantine/core";
import { Dropzone } from "@mantine/dropzone";
import "@mantine/dropzone/styles.css";
import { FileUp } from "lucide-react";
import classes from "./DropArea.module.css";

interface Props {
  onFile: (file: File) => void;
}

/** Takes a file that is dropped on it or anywhere else on the page. */
export default function DropArea({ onFile }: Props) {
  const take = (files: readonly File[]) => {
    if (files[0]) onFile(files[0]);
  };
  return (
    <>
      <Dropzone onDrop={take} multiple={false} activateOnKeyboard={false} className={classes.area}>
        <Words />
      </Dropzone>
      <Dropzone.FullScreen
        active
        onDrop={take}
        multiple={false}
        activateOnKeyboard={false}
        withinPortal={false}
        aria-hidden
      >
        <Group h="100%" mih="50vh" justify="center" style={{ pointerEvents: "none" }}>
          <FileUp size={40} strokeWidth={1.5} aria-hidden />
          <Text size="xl" fw={600}>
            Drop it to look at its first rows
          </Text>
        </Group>
      </Dropzone.FullScreen>
    </>
  );
}

/** What the area says, also while it is on its way. */
export function Words() {
  return (
    <Group gap="sm" justify="center" style={{ pointerEvents: "none" }}>
      <FileUp size={20} strokeWidth={1.7} aria-hidden />
      <Text size="sm">
        <b>Drop a file anywhere on this page.</b> JSON Lines, CSV, Parquet or plain text; its first
        rows are shown before anything is sent.
      </Text>
    </Group>
  );
}
