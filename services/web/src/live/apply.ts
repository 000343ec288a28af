/** What each frame changes in the store, and which rows it makes worth reading again. */
import type { Frame, LoadProgress } from "@/api/types";
import { buried, type Entities, type Kind, type Kinds, useEntities } from "@/state/entities";

/** Rows to be read again, by kind. */
export type Stale = Map<Kind, Set<string>>;

type Tables = Pick<
  Entities,
  "models" | "datasets" | "extractions" | "caches" | "devices" | "loads"
>;

/** A copy of the tables that many frames change before anybody looks. */
class Draft {
  private readonly copies: Partial<Record<keyof Tables, Record<string, unknown>>> = {};

  constructor(
    private readonly state: Entities,
    private readonly stale: Stale,
  ) {}

  private writable<K extends keyof Tables>(table: K): Record<string, Tables[K][string]> {
    this.copies[table] ??= { ...this.state[table] };
    return this.copies[table] as Record<string, Tables[K][string]>;
  }

  /** Change a row; one that is not known is read from the server instead. */
  patch<K extends Kind>(kind: K, id: string, change: Partial<Kinds[K]>): void {
    const table = (this.copies[kind] ?? this.state[kind]) as Record<string, Kinds[K]>;
    const row = table[id];
    if (!row) {
      this.read(kind, id);
      return;
    }
    const rows: Record<string, unknown> = this.writable(kind);
    rows[id] = { ...row, ...change };
  }

  /** Take away what is deleted for good. */
  bury(kind: Kind, id: string): void {
    buried([id]);
    this.drop(kind, id);
  }

  drop(table: keyof Tables, id: string): void {
    const now = this.copies[table] ?? this.state[table];
    if (id in now) delete this.writable(table)[id];
  }

  dropWhere<K extends Kind>(kind: K, unwanted: (row: Kinds[K]) => boolean): void {
    const table = (this.copies[kind] ?? this.state[kind]) as Record<string, Kinds[K]>;
    for (const [id, row] of Object.entries(table)) if (unwanted(row)) this.bury(kind, id);
  }

  readWhere<K extends Kind>(kind: K, wanted: (row: Kinds[K]) => boolean): void {
    const table = (this.copies[kind] ?? this.state[kind]) as Record<string, Kinds[K]>;
    for (const [id, row] of Object.entries(table)) if (wanted(row)) this.read(kind, id);
  }

  load(progress: LoadProgress): void {
    this.writable("loads")[progress.model_id] = progress;
  }

  read(kind: Kind, id: string): void {
    const ids = this.stale.get(kind) ?? new Set();
    this.stale.set(kind, ids.add(id));
  }

  get changes(): Partial<Entities> {
    return this.copies as Partial<Entities>;
  }
}

/** Apply frames in their order with one change of the store; return what is worth reading again. */
export function apply(frames: readonly Frame[]): Stale {
  const stale: Stale = new Map();
  useEntities.setState((state) => {
    const draft = new Draft(state, stale);
    for (const frame of frames) step(draft, frame);
    return draft.changes;
  });
  return stale;
}

function step(draft: Draft, frame: Frame): void {
  switch (frame.type) {
    case "model:registered":
      draft.read("models", frame.data.model_id);
      break;
    case "model:loading":
      if ("stage" in frame.data) {
        const { model_id, status, stage, progress, task_id } = frame.data;
        draft.patch("models", model_id, { status, stage, progress, task_id });
        draft.load(frame.data);
      } else {
        const { model_id, status, task_id, quantization } = frame.data;
        const started = { status, task_id, quantization, progress: 0, error: null };
        draft.patch("models", model_id, started);
        draft.drop("loads", model_id);
      }
      break;
    case "model:prepared":
      draft.read("models", frame.data.model_id);
      break;
    case "model:ready": {
      const { model_id, status, memory_usage_bytes, load_time_seconds } = frame.data;
      draft.patch("models", model_id, {
        status,
        memory_usage_bytes,
        load_time_seconds,
        stage: null,
        progress: 100,
        error: null,
      });
      draft.drop("loads", model_id);
      draft.read("models", model_id);
      break;
    }
    case "model:unloaded":
    case "model:failed": {
      const { model_id, status } = frame.data;
      const error = frame.type === "model:failed" ? frame.data.error : null;
      draft.patch("models", model_id, {
        status,
        error: error as Kinds["models"]["error"],
        stage: null,
        progress: 0,
        memory_usage_bytes: null,
      });
      draft.drop("loads", model_id);
      draft.read("models", model_id);
      break;
    }
    case "model:deleted": {
      const id = frame.data.model_id;
      draft.bury("models", id);
      draft.drop("loads", id);
      draft.dropWhere("caches", (cache) => cache.model_id === id);
      draft.dropWhere("extractions", (extraction) => extraction.model_id === id);
      break;
    }
    case "dataset:registered":
    case "dataset:ready":
    case "dataset:failed":
      draft.read("datasets", frame.data.dataset_id);
      break;
    case "dataset:deleted":
      draft.bury("datasets", frame.data.dataset_id);
      break;
    case "extraction:queued":
    case "extraction:failed":
    case "extraction:cancelled":
      draft.read("extractions", frame.data.extraction_id);
      break;
    case "extraction:progress": {
      const { extraction_id, status, progress, samples_processed, total_samples } = frame.data;
      draft.patch("extractions", extraction_id, {
        status,
        progress,
        samples_processed,
        total_samples: total_samples || null,
        seconds_left: frame.data.seconds_left ?? null,
      });
      break;
    }
    case "extraction:completed":
      draft.read("extractions", frame.data.extraction_id);
      draft.read("caches", frame.data.cache_id);
      // What was captured again is back in every cache that shows it.
      draft.readWhere("caches", (cache) => cache.status === "missing");
      break;
    case "cache:checked":
      draft.patch("caches", frame.data.cache_id, { status: frame.data.status });
      // Where it lies may be another place than before.
      draft.read("caches", frame.data.cache_id);
      break;
    case "cache:evicted":
      draft.bury("caches", frame.data.cache_id);
      break;
    case "device:status": {
      const { device_id, timestamp: _when, ...change } = frame.data;
      draft.patch("devices", device_id, change as Partial<Kinds["devices"]>);
      break;
    }
    case "extraction:shard_completed":
    case "command:refused":
    case "subscribed":
    case "error":
      break;
  }
}
