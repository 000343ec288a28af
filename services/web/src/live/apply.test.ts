import { beforeEach, describe, expect, test } from "vitest";
import type { Frame, FrameOf } from "@/api/types";
import { put, useEntities } from "@/state/entities";
import { cache, extraction, model } from "@/testing/rows";
import { apply } from "./apply";

const AT = "2026-01-01T00:00:01Z";
const progress = (value: number): Frame => ({
  id: null,
  type: "model:loading",
  data: {
    timestamp: AT,
    model_id: "m_gpt2_1",
    status: "loading",
    task_id: "task_1",
    stage: "downloading",
    progress: value,
    message: "",
    bytes_done: 10,
    bytes_total: 100,
    bytes_per_second: 5,
    seconds_left: 18,
    retry: 0,
  },
});
const ready: Frame = {
  id: 7,
  type: "model:ready",
  data: {
    timestamp: AT,
    model_id: "m_gpt2_1",
    status: "ready",
    task_id: "task_1",
    memory_usage_bytes: 500_000_000,
    load_time_seconds: 2.5,
  },
};
const completed: FrameOf<"extraction:completed"> = {
  id: 9,
  type: "extraction:completed",
  data: {
    timestamp: AT,
    extraction_id: "ext_1",
    model_id: "m_gpt2_1",
    status: "completed",
    cache_id: "act_1",
    cached: false,
    storage_path: "activations/0123456789abcdef",
    file_size_bytes: 1,
    total_samples: 1,
    total_tokens: 1,
    extraction_time_seconds: 1,
  },
};
const deleted: Frame = {
  id: 8,
  type: "model:deleted",
  data: { timestamp: AT, model_id: "m_gpt2_1" },
};

describe("frames into the store", () => {
  beforeEach(() => put("models", [model()]));

  test("progress is on the row and its figures are beside it", () => {
    apply([progress(10), progress(20)]);
    const { models, loads } = useEntities.getState();
    expect(models.m_gpt2_1).toMatchObject({
      status: "loading",
      stage: "downloading",
      progress: 20,
    });
    expect(loads.m_gpt2_1?.bytes_per_second).toBe(5);
  });

  test("a model that is ready loads no more, and its row is read again", () => {
    const stale = apply([progress(90), ready]);
    const { models, loads } = useEntities.getState();
    expect(models.m_gpt2_1).toMatchObject({ status: "ready", memory_usage_bytes: 500_000_000 });
    expect(loads).toEqual({});
    expect([...(stale.get("models") ?? [])]).toEqual(["m_gpt2_1"]);
  });

  test("a row that is not known is read from the server", () => {
    const stale = apply([{ ...ready, data: { ...ready.data, model_id: "m_other_2" } } as Frame]);
    expect(stale.get("models")).toEqual(new Set(["m_other_2"]));
    expect(useEntities.getState().models.m_other_2).toBeUndefined();
  });

  test("a deleted model takes its caches and extractions with it", () => {
    put("caches", [cache(), cache({ id: "act_2", model_id: "m_other_2" })]);
    put("extractions", [extraction()]);
    apply([deleted]);
    const { models, caches, extractions } = useEntities.getState();
    expect(models).toEqual({});
    expect(Object.keys(caches)).toEqual(["act_2"]);
    expect(extractions).toEqual({});
  });

  test("an answer that was on its way does not bring back what was deleted", () => {
    apply([deleted]);
    put("models", [model(), model({ id: "m_other_2" })]);
    expect(Object.keys(useEntities.getState().models)).toEqual(["m_other_2"]);
  });

  test("rows that no frame is about stay the same objects", () => {
    put("models", [model({ id: "m_other_2" })]);
    const before = useEntities.getState().models.m_other_2;
    apply([progress(10)]);
    expect(useEntities.getState().models.m_other_2).toBe(before);
  });

  test("what was looked for says what was found, and is read again where it lies", () => {
    put("caches", [cache({ status: "unchecked" })]);
    const data = { timestamp: AT, cache_id: "act_1", status: "missing" } as const;
    const stale = apply([{ id: 9, type: "cache:checked", data }]);
    expect(useEntities.getState().caches.act_1?.status).toBe("missing");
    expect(stale.get("caches")).toEqual(new Set(["act_1"]));
  });

  test("what was captured again may be back in other caches too", () => {
    put("caches", [cache({ status: "missing" }), cache({ id: "act_2" })]);
    const data = { ...completed.data, cache_id: "act_3" };
    const stale = apply([{ ...completed, data }]);
    expect(stale.get("caches")).toEqual(new Set(["act_1", "act_3"]));
  });
});
