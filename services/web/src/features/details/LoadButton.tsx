import { Button } from "@mantine/core";
import { Play } from "lucide-react";
import type { ModelSummary } from "@/api/types";
import { loadModel } from "@/state/models";

/** Loads a model. */
export function LoadButton({ model }: { model: ModelSummary }) {
  return (
    <Button leftSection={<Play size={16} aria-hidden />} onClick={() => void loadModel(model.id)}>
      {model.status === "failed" ? "Load again" : "Load"}
    </Button>
  );
}
