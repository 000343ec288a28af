import { Alert, Button, type DefaultMantineColor, Group, Stack } from "@mantine/core";
import { TriangleAlert } from "lucide-react";
import { type ReactNode, useState } from "react";
import type { ApiError } from "@/api/errors";
import { ErrorNotice } from "./ErrorNotice";

interface Props {
  /** What stands in its way, until the gateway itself has said so. */
  warning?: ReactNode;
  /** What it removes, and what stays. */
  children: ReactNode;
  label?: string;
  color?: DefaultMantineColor;
  /** Deletes; returns the error, where it could not be. */
  onDelete: () => Promise<ApiError | null>;
  onKeep: () => void;
  onDeleted: () => void;
}

/** Asks whether something is to be deleted, and says why it could not be. */
export function ConfirmDeletion({
  warning,
  children,
  label = "Delete",
  color = "red.9",
  onDelete,
  onKeep,
  onDeleted,
}: Props) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);

  async function remove() {
    setBusy(true);
    const refused = await onDelete();
    setBusy(false);
    setError(refused);
    if (!refused) onDeleted();
  }

  return (
    <Stack>
      {error && <ErrorNotice error={error} />}
      {warning && !error && (
        <Alert color="yellow" icon={<TriangleAlert aria-hidden />} role="note">
          {warning}
        </Alert>
      )}
      {children}
      <Group justify="flex-end">
        <Button variant="default" onClick={onKeep} data-autofocus>
          Keep it
        </Button>
        <Button color={color} loading={busy} onClick={() => void remove()}>
          {label}
        </Button>
      </Group>
    </Stack>
  );
}
