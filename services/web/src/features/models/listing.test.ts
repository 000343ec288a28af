import { describe, expect, test } from "vitest";
import type { ModelSummary } from "@/api/types";
import { model } from "@/testing/rows";
import { arranger, families, type Listing, tally } from "./listing";

const ALL: Listing = { text: "", status: null, family: null, sort: "name" };

function table(...rows: Partial<ModelSummary>[]) {
  return Object.fromEntries(
    rows.map((row, place) => {
      const id = row.id ?? `m_${place}`;
      return [id, model({ ...row, id })];
    }),
  );
}

const MODELS = table(
  { id: "m_a", name: "Pythia 70M", model_type: "gpt_neox", model_identifier: "EleutherAI/pythia" },
  { id: "m_b", name: "GPT-2", status: "ready", memory_usage_bytes: 5e8 },
  { id: "m_c", name: "GPT-2 XL", status: "failed", created_at: "2026-02-01T00:00:00Z" },
  { id: "m_d", name: "unseen", model_type: null, status: "ready", memory_usage_bytes: 9e8 },
);

test.each<[string, Partial<Listing>, string[]]>([
  ["a part of a name", { text: "gpt-2" }, ["m_b", "m_c"]],
  ["each word, in any order", { text: "xl gpt" }, ["m_c"]],
  ["a part of an identifier", { text: "eleuther" }, ["m_a"]],
  ["a family as it is called", { text: "GPT-NeoX" }, ["m_a"]],
  ["a status", { status: "ready" }, ["m_b", "m_d"]],
  ["a family", { family: "gpt_neox" }, ["m_a"]],
  ["all at once", { text: "gpt", status: "ready", family: "gpt2" }, ["m_b"]],
  ["what there is not", { text: "llama" }, []],
])("models are found by %s", (_what, filter, ids) => {
  expect(arranger({ ...ALL, ...filter })(MODELS)).toEqual(ids);
});

test.each<[Listing["sort"], string[]]>([
  ["name", ["m_b", "m_c", "m_a", "m_d"]],
  ["newest", ["m_c", "m_b", "m_a", "m_d"]],
  ["status", ["m_b", "m_d", "m_c", "m_a"]],
  ["memory", ["m_d", "m_b", "m_c", "m_a"]],
])("models are sorted by %s", (sort, ids) => {
  expect(arranger({ ...ALL, sort })(MODELS)).toEqual(ids);
});

test("numbers in names count as numbers", () => {
  const models = table({ name: "Pythia 410M" }, { name: "Pythia 70M" });
  expect(arranger(ALL)(models)).toEqual(["m_1", "m_0"]);
});

describe("a list that goes on", () => {
  const changed = (id: string, change: Partial<ModelSummary>) => ({
    ...MODELS,
    [id]: model({ ...MODELS[id], ...change }),
  });

  test("progress of a load leaves it the same", () => {
    const arrange = arranger(ALL);
    const before = arrange(MODELS);
    expect(arrange(changed("m_a", { progress: 50 }))).toBe(before);
  });

  test("one that is renamed moves", () => {
    const arrange = arranger(ALL);
    arrange(MODELS);
    expect(arrange(changed("m_a", { name: "A" }))).toEqual(["m_a", "m_b", "m_c", "m_d"]);
  });

  test("what comes to match is listed, and what no longer does is not", () => {
    const arrange = arranger({ ...ALL, status: "ready" });
    expect(arrange(MODELS)).toEqual(["m_b", "m_d"]);
    expect(arrange(changed("m_a", { status: "ready" }))).toEqual(["m_b", "m_a", "m_d"]);
    expect(arrange(changed("m_b", { status: "failed" }))).toEqual(["m_d"]);
  });

  test("what is deleted is listed no longer", () => {
    const arrange = arranger(ALL);
    arrange(MODELS);
    const { m_c: _gone, ...rest } = MODELS;
    expect(arrange(rest)).toEqual(["m_b", "m_a", "m_d"]);
  });
});

test("models are counted by status", () => {
  expect(tally(MODELS)).toEqual({
    all: 4,
    pending: 1,
    loading: 0,
    ready: 2,
    unloaded: 0,
    failed: 1,
  });
});

test("families are those that the models have", () => {
  expect(families(MODELS)).toEqual(["gpt2", "gpt_neox"]);
});
