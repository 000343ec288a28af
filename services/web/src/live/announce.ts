/** Which events are worth a toast. */
import { remedyOf } from "@/api/errors";
import type { Frame } from "@/api/types";
import { useEntities } from "@/state/entities";
import { tell } from "@/state/toasts";
import { bytes, count, duration } from "@/ui/format";

/** Tell what finished or failed; what was replayed is history and is not told. */
export function announce(frame: Frame): void {
  const { models, datasets, extractions } = useEntities.getState();
  const model = (id: string) => models[id]?.name ?? id;
  switch (frame.type) {
    case "model:ready":
      tell({
        tone: "good",
        title: `${model(frame.data.model_id)} is ready`,
        message: `${bytes(frame.data.memory_usage_bytes)} of memory, loaded in ${duration(frame.data.load_time_seconds)}.`,
        remedy: null,
      });
      break;
    case "model:failed":
      failed(`${model(frame.data.model_id)} could not be loaded`, frame.data.error);
      break;
    case "dataset:ready": {
      const name = datasets[frame.data.dataset_id]?.name ?? frame.data.dataset_id;
      tell({
        tone: "good",
        title: `${name} is ready`,
        message: `${count(frame.data.sample_count)} samples.`,
        remedy: null,
      });
      break;
    }
    case "dataset:failed": {
      const name = datasets[frame.data.dataset_id]?.name ?? frame.data.dataset_id;
      failed(`${name} could not be read`, frame.data.error);
      break;
    }
    case "extraction:completed":
      tell({
        tone: "good",
        title: `Activations of ${model(frame.data.model_id)} are stored`,
        message: frame.data.cached
          ? "All of it was cached already."
          : `${count(frame.data.total_tokens)} tokens, ${bytes(frame.data.file_size_bytes)}, in ${duration(frame.data.extraction_time_seconds)}.`,
        remedy: null,
      });
      break;
    case "extraction:failed": {
      const id = extractions[frame.data.extraction_id]?.model_id ?? frame.data.model_id;
      failed(`The extraction from ${model(id)} failed`, frame.data.error);
      break;
    }
    case "command:refused":
      failed(`${frame.data.command} was refused`, frame.data.error);
      break;
    default:
      break;
  }
}

function failed(
  title: string,
  error: { message: string; details?: Record<string, unknown> },
): void {
  tell({ tone: "bad", title, message: error.message, remedy: remedyOf(error as never) });
}
