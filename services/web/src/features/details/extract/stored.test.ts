import { expect, test } from "vitest";
import type { Cache } from "@/api/types";
import { cache, dataset, extraction } from "@/testing/rows";
import { shareOfKind, shareOfLayer, storedColumns } from "./stored";

const asked = {
  layer_indices: [0, 6],
  hook_points: ["layers.0.resid_post", "layers.6.resid_post"],
  dtype: "float32",
  tokenization: cache().tokenization,
} as const;

function stored(caches: Cache[], samples: number | null = null, extractions = {}) {
  const expected = { ...asked, layer_indices: [0, 6], hook_points: [...asked.hook_points] };
  return storedColumns(caches, extractions, "m_gpt2_1", dataset(), expected, samples);
}

test("columns of the same recipe are stored", () => {
  expect([...stored([cache({ hook_points: ["embed"] })])]).toEqual([["embed", "all"]]);
});

test.each([
  ["another type", { dtype: "float16" }],
  ["another dataset", { dataset_id: "ds_other_2" }],
  ["another model", { model_id: "m_other_2" }],
  ["another tokenisation", { tokenization: { ...cache().tokenization, truncate: true } }],
] as const)("columns of %s are not", (_, change) => {
  expect(stored([cache(change)]).size).toBe(0);
});

test("of fewer samples they are stored in part, for as many as are asked for wholly", () => {
  const part = cache({ sample_count: 100, hook_points: ["embed"] });
  expect(stored([part]).get("embed")).toBe("some");
  expect(stored([part], 100).get("embed")).toBe("all");
});

test("samples that were left out count as read", () => {
  const skipped = { empty: 2, too_long: 10 };
  const some = cache({ sample_count: 500, hook_points: ["embed"] });
  expect(stored([some], null, { ext_1: extraction({ skipped }) }).get("embed")).toBe("all");
});

test("a store of weights that the model had before does not count", () => {
  const old = cache({ id: "act_0", store_key: "old", created_at: "2025-01-01T00:00:00Z" });
  expect([...stored([old, cache({ hook_points: ["embed"] })]).keys()]).toEqual(["embed"]);
});

test("how much of a kind, and of a layer, is stored", () => {
  const there = new Map([
    ["layers.0.resid_post", "all"],
    ["layers.6.resid_post", "some"],
    ["layers.0.z", "all"],
  ] as const);
  expect(shareOfKind("resid_post", [0], there)).toEqual({ extent: "all", where: "" });
  expect(shareOfKind("resid_post", [0, 6], there)).toEqual({
    extent: "some",
    where: "of fewer samples",
  });
  expect(shareOfKind("z", [0, 6], there)).toEqual({ extent: "some", where: "in layers 0" });
  expect(shareOfKind("q", [0], there)).toBeNull();
  expect(shareOfLayer(0, ["z", "resid_post"], there)).toEqual({ extent: "all", where: "" });
  expect(shareOfLayer(6, ["z", "resid_post"], there)).toEqual({ extent: "some", where: "" });
  expect(shareOfLayer(11, ["z"], there)).toBeNull();
});
