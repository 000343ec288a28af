import {
  Alert,
  Button,
  Group,
  Modal,
  Select,
  Skeleton,
  Stack,
  Text,
  TextInput,
} from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { TriangleAlert } from "lucide-react";
import { useState } from "react";
import { upload } from "@/state/uploads";
import { ErrorText } from "@/ui/ErrorText";
import { bytes } from "@/ui/format";
import { type Format, formatOf, ROWS, readHead, suggested } from "./head";
import { RowsTable } from "./RowsTable";
import { FORMATS } from "./words";

interface Props {
  file: File;
  opened: boolean;
  onClose: () => void;
}

/** Shows what a file begins with, asks which column to take, and sends it. */
export default function UploadDialog({ file, opened, onClose }: Props) {
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title={`Upload ${file.name}`}
      size="xl"
      closeButtonProps={{ "aria-label": "Close" }}
    >
      <Form key={`${file.name} ${file.lastModified} ${file.size}`} file={file} onClose={onClose} />
    </Modal>
  );
}

function Form({ file, onClose }: Omit<Props, "opened">) {
  const [name, setName] = useState(file.name.replace(/\.[^.]+$/, "") || file.name);
  const [ordered, setOrdered] = useState<Format | null>(null);
  const [chosen, setChosen] = useState<string | null>(null);
  const told = [file.name, file.lastModified, file.size];
  const detected = useQuery({
    queryKey: ["format", ...told],
    queryFn: () => formatOf(file),
    retry: false,
  });
  const format = ordered ?? detected.data ?? null;
  const head = useQuery({
    queryKey: ["head", ...told, format],
    queryFn: () => readHead(file, format ?? "text"),
    enabled: format !== null,
    retry: false,
  });
  const column = chosen ?? (head.data ? suggested(head.data.columns) : null);

  function send() {
    // The service finds a text file's one column by itself.
    const text_column = format === "text" ? null : column;
    void upload(file, { name: name.trim(), format, text_column });
    onClose();
  }

  return (
    <Stack>
      <Group grow align="flex-start" preventGrowOverflow={false}>
        <TextInput
          label="Name"
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          maxLength={500}
          required
          data-autofocus
        />
        <Select
          label="Format"
          data={FORMATS}
          value={format}
          allowDeselect={false}
          onChange={(value) => {
            setOrdered(value);
            setChosen(null);
          }}
        />
      </Group>
      {head.isPending && !detected.isError && <Skeleton h={180} aria-label="Reading the file" />}
      {(head.error ?? detected.error) && (
        <Alert
          color="yellow"
          icon={<TriangleAlert aria-hidden />}
          title="The file does not look like its format"
        >
          {(head.error ?? detected.error)?.message}
        </Alert>
      )}
      {head.data && !head.data.rows.length && !head.data.remark && (
        <Alert color="yellow" icon={<TriangleAlert aria-hidden />} title="No rows were found">
          A dataset needs at least one row that is not empty.
        </Alert>
      )}
      {head.data && head.data.columns.length > 0 && (
        <div>
          <RowsTable
            label="First rows"
            columns={head.data.columns}
            rows={head.data.rows}
            chosen={column}
            onChoose={setChosen}
          />
          <Text size="xs" c="dimmed" mt={6}>
            The first {Math.min(ROWS, head.data.rows.length)} rows, read in this browser.{" "}
            {head.data.remark}
          </Text>
          {column === null && (
            <div role="alert">
              <ErrorText mt={6}>No column holds text or token ids.</ErrorText>
            </div>
          )}
        </div>
      )}
      <Group justify="flex-end">
        <Button variant="default" onClick={onClose}>
          Cancel
        </Button>
        <Button onClick={send} disabled={!name.trim() || format === null}>
          Upload {bytes(file.size)}
        </Button>
      </Group>
    </Stack>
  );
}
