import {
  Button,
  FileButton,
  Group,
  Modal,
  NumberInput,
  Stack,
  Text,
  Textarea,
} from "@mantine/core";
import { FileUp } from "lucide-react";
import { useState } from "react";
import { ErrorText } from "@/ui/ErrorText";
import { count } from "@/ui/format";
import { useDirection } from "./look";
import { openNpy } from "./npy";
import { parseText, type Vectors } from "./vector";

interface Props {
  /** Of the rows it is to be compared with; null where it is not known. */
  width: number | null;
  opened: boolean;
  onClose: () => void;
}

interface Given {
  name: string;
  vectors: Vectors;
}

/** Takes a direction that is pasted, or read from a file. */
export default function DirectionDialog({ width, opened, onClose }: Props) {
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title="Look along a direction"
      size="lg"
      closeButtonProps={{ "aria-label": "Close" }}
    >
      <Form width={width} onClose={onClose} />
    </Modal>
  );
}

function Form({ width, onClose }: Omit<Props, "opened">) {
  const [text, setText] = useState("");
  const [given, setGiven] = useState<Given | null>(null);
  const [row, setRow] = useState(0);
  const [error, setError] = useState<string | null>(null);
  const misfit =
    given && width !== null && given.vectors.width !== width
      ? `It has ${count(given.vectors.width)} components; rows of this hook point have ${count(width)}.`
      : null;

  async function take(open: () => Vectors | Promise<Vectors>, name: string) {
    setRow(0);
    setError(null);
    setGiven(null);
    try {
      setGiven({ name, vectors: await open() });
    } catch (thrown) {
      setError(thrown instanceof Error ? thrown.message : String(thrown));
    }
  }

  async function use({ name, vectors }: Given) {
    try {
      const components = await vectors.row(row);
      useDirection.setState({
        direction: { name: vectors.rows > 1 ? `${name}, row ${row}` : name, components },
      });
      onClose();
    } catch (thrown) {
      setError(thrown instanceof Error ? thrown.message : String(thrown));
    }
  }

  return (
    <Stack>
      <Text size="sm" c="dimmed">
        Each token's row is multiplied with it, after its length is made 1: a probe, a difference of
        means, a row of an SAE's decoder.
      </Text>
      <Textarea
        label="Numbers"
        description="JSON, numpy's or torch's print, or one beside the other."
        placeholder="[0.013, -0.24, 0.5, …]"
        value={text}
        onChange={({ currentTarget: { value } }) => {
          setText(value);
          if (value.trim()) void take(() => parseText(value), "pasted");
          else setGiven(null);
        }}
        rows={6}
        styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }}
        data-autofocus
      />
      <Group>
        <FileButton
          accept=".npy,.json,.txt,.csv"
          onChange={(file) => {
            if (!file) return;
            setText("");
            void take(() => opened(file), file.name);
          }}
        >
          {(props) => (
            <Button variant="default" leftSection={<FileUp size={16} aria-hidden />} {...props}>
              From a .npy or .json file
            </Button>
          )}
        </FileButton>
        {given && (
          <Text size="sm" role="status">
            {given.name}: {given.vectors.rows > 1 && `${count(given.vectors.rows)} rows of `}
            {count(given.vectors.width)} numbers
          </Text>
        )}
      </Group>
      {given && given.vectors.rows > 1 && (
        <NumberInput
          label="Row"
          description="Such as the feature, in a decoder's matrix."
          value={row}
          min={0}
          max={given.vectors.rows - 1}
          allowDecimal={false}
          allowNegative={false}
          clampBehavior="strict"
          onChange={(value) => value !== "" && setRow(Number(value))}
          w={200}
        />
      )}
      {(error ?? misfit) && (
        <div role="alert">
          <ErrorText>{error ?? misfit}</ErrorText>
        </div>
      )}
      <Group justify="flex-end">
        <Button variant="default" onClick={onClose}>
          Cancel
        </Button>
        <Button disabled={!given || misfit !== null} onClick={() => given && void use(given)}>
          Use it
        </Button>
      </Group>
    </Stack>
  );
}

async function opened(file: File): Promise<Vectors> {
  return file.name.endsWith(".npy") ? openNpy(file) : parseText(await file.text());
}
