import { ActionIcon, Box, Button, Group, Modal, Text, Tooltip } from "@mantine/core";
import { CircleX, Pin, Power } from "lucide-react";
import type { ModelSummary } from "@/api/types";
import { cancelLoad, loadModel, nameOf, pinModel, unloadModel } from "@/state/models";
import { useMay } from "@/state/session";
import { familyName } from "@/ui/families";
import { LoadButton } from "@/ui/load/LoadButton";
import { StatusBadge } from "@/ui/StatusBadge";

/** A model's name and status, and what can be done with it at once. */
export function Header({ model }: { model: ModelSummary }) {
  const mayWrite = useMay("model:write");
  return (
    <Group justify="space-between" gap="md" wrap="nowrap" align="flex-start">
      <Box miw={0}>
        <Group gap="sm" wrap="nowrap">
          <Modal.Title fz={22} fw={650} lh={1.25} component="h2" lts="-0.01em">
            {model.name}
          </Modal.Title>
          <StatusBadge status={model.status} />
        </Group>
        <Text size="sm" c="dimmed" mt={2} truncate>
          {[model.model_type && familyName(model.model_type), model.model_identifier]
            .filter(Boolean)
            .join(" · ")}
        </Text>
      </Box>
      <Group gap="xs" wrap="nowrap" style={{ flex: "none" }}>
        {mayWrite && (
          <>
            <PinToggle model={model} />
            <Turn model={model} />
          </>
        )}
        <Modal.CloseButton aria-label="Close" size="lg" />
      </Group>
    </Group>
  );
}

/** The one thing that takes a model further: load it, stop that, or let it go. */
function Turn({ model }: { model: ModelSummary }) {
  if (model.status === "loading") {
    return (
      <Button
        variant="default"
        leftSection={<CircleX size={16} aria-hidden />}
        onClick={() => void cancelLoad(model.id)}
      >
        Cancel
      </Button>
    );
  }
  if (model.status === "ready") {
    return (
      <Button
        variant="default"
        leftSection={<Power size={16} aria-hidden />}
        onClick={() => void unloadModel(model.id)}
      >
        Unload
      </Button>
    );
  }
  return <LoadButton model={model} onLoad={loadModel} nameOf={nameOf} />;
}

function PinToggle({ model }: { model: ModelSummary }) {
  return (
    <Tooltip label={model.pinned ? "Pinned: never evicted" : "Pin: never evict it"}>
      <ActionIcon
        variant={model.pinned ? "light" : "default"}
        size={36}
        aria-label="Pin"
        aria-pressed={model.pinned}
        disabled={model.status === "loading"}
        onClick={() => void pinModel(model.id, !model.pinned)}
      >
        <Pin size={16} aria-hidden fill={model.pinned ? "currentColor" : "none"} />
      </ActionIcon>
    </Tooltip>
  );
}
