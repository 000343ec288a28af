import type { Happening } from "@/state/activity";
import type { Entities } from "@/state/entities";
import { bytes, count, duration } from "@/ui/format";

export type Subject = "model" | "extraction" | "dataset" | "cache" | "device" | "command";
export type Tone = "good" | "bad" | "plain";

export interface Told {
  subject: Subject;
  /** What it is about, and where that can be looked at. */
  name: string;
  to: string | null;
  /** What happened. */
  what: string;
  remedy: string | null;
  tone: Tone;
}

/** Rows whose names events are told with. */
export type Names = Pick<Entities, "models" | "datasets" | "devices">;

/** Return what kind of thing an event is about. */
export function subjectOf({ type }: Happening): Subject {
  return type.split(":")[0] as Subject;
}

/** Return an event in words. */
export function words(event: Happening, names: Names): Told {
  const data = event.data as Record<string, unknown>;
  const error = data.error as { message: string; details?: { remedy?: string } } | undefined;
  const told = {
    ...about(event, data, names),
    what: WORDS[event.type]?.(data) ?? event.type,
    remedy: error?.details?.remedy ?? null,
    tone: TONES[event.type] ?? ("plain" as const),
  };
  return error ? { ...told, what: `${told.what}: ${error.message}` } : told;
}

const WORDS: Partial<Record<Happening["type"], (data: Record<string, unknown>) => string>> = {
  "model:registered": () => "was registered",
  "model:loading": ({ quantization }) => `began to load as ${quantization}`,
  "model:prepared": (data) => `is prepared: ${bytes(data.bytes as number)} on disk`,
  "model:ready": (data) =>
    `is ready: ${bytes(data.memory_usage_bytes as number)}, in ${duration(data.load_time_seconds as number)}`,
  "model:unloaded": (data) => `was unloaded (${reason(data.reason as string)})`,
  "model:failed": () => "could not be loaded",
  "model:deleted": () => "was deleted",
  "dataset:registered": () => "was registered",
  "dataset:ready": (data) => `is ready: ${count(data.sample_count as number)} samples`,
  "dataset:failed": () => "could not be read",
  "dataset:deleted": () => "was deleted",
  "extraction:queued": (data) => `waits: ${(data.hook_points as string[]).length} hook points`,
  "extraction:shard_completed": (data) =>
    `wrote shard ${count(data.shards_completed as number)} of ${count(data.shards_total as number)}`,
  "extraction:completed": (data) =>
    data.cached
      ? "was answered from the cache"
      : `is stored: ${count(data.total_tokens as number)} tokens, ${bytes(data.file_size_bytes as number)}`,
  "extraction:failed": () => "failed",
  "extraction:cancelled": () => "was cancelled",
  "cache:evicted": (data) => `was deleted: ${bytes(data.freed_bytes as number)} freed`,
  "cache:checked": ({ status }) =>
    status === "missing" ? "misses files after a restore" : "was found after a restore",
  "device:status": (data) =>
    data.online
      ? `has ${bytes(data.memory_used_bytes as number)} of ${bytes(data.memory_budget_bytes as number)} in use`
      : "is gone",
  "command:refused": () => "was refused",
};

const TONES: Partial<Record<Happening["type"], Tone>> = {
  "model:ready": "good",
  "model:failed": "bad",
  "dataset:ready": "good",
  "dataset:failed": "bad",
  "extraction:completed": "good",
  "extraction:failed": "bad",
  "command:refused": "bad",
};

const REASONS: Record<string, string> = {
  requested: "asked for",
  lru: "another model needed the room",
  keep_alive: "not used for a while",
  cancelled: "its load was cancelled",
  device_lost: "its device is gone",
};

function reason(value: string): string {
  return REASONS[value] ?? value;
}

function about(event: Happening, data: Record<string, unknown>, names: Names) {
  const model = (id: string) => names.models[id]?.name ?? id;
  const subject = subjectOf(event);
  switch (subject) {
    case "model": {
      const id = data.model_id as string;
      const known = id in names.models;
      return { subject, name: model(id), to: known ? `/models/${id}` : null };
    }
    case "dataset": {
      const id = data.dataset_id as string;
      const known = names.datasets[id];
      return { subject, name: known?.name ?? id, to: known ? `/datasets/${id}` : null };
    }
    case "extraction": {
      const id = data.model_id as string;
      const cache = data.cache_id as string | undefined;
      const known = id in names.models;
      const there = known ? `/models/${id}/extractions` : null;
      const name = `Extraction from ${model(id)}`;
      return { subject, name, to: cache ? `/activations/${cache}` : there };
    }
    case "cache":
      return { subject, name: data.cache_id as string, to: null };
    case "device": {
      const id = data.device_id as string;
      return { subject, name: names.devices[id]?.name ?? id, to: "/device" };
    }
    default:
      return { subject: "command" as const, name: data.command as string, to: null };
  }
}
