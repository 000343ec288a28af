import { HttpResponse, http } from "msw";
import { beforeEach, describe, expect, test } from "vitest";
import type { ModelSummary } from "@/api/types";
import { gateway, refusal } from "@/testing/gateway";
import { model } from "@/testing/rows";
import { put, remove, useEntities } from "./entities";
import { fetchAll, fetchFirst } from "./fetching";

const server = gateway();
const ROWS = Array.from({ length: 250 }, (_, n) => model({ id: `m_${n}`, name: `Model ${n}` }));
const ids = () => Object.keys(useEntities.getState().models);

/** Answer with what there is at the time; return the offsets that were asked for. */
function serve(rows: () => readonly ModelSummary[], asked: (offset: number) => void = () => {}) {
  const offsets: number[] = [];
  server.use(
    http.get("*/api/models", ({ request }) => {
      const query = new URL(request.url).searchParams;
      const [limit, offset] = [Number(query.get("limit")), Number(query.get("offset"))];
      offsets.push(offset);
      const all = rows();
      const models = all.slice(offset, offset + limit);
      asked(offset);
      return HttpResponse.json({ models, total: all.length, limit, offset });
    }),
  );
  return offsets;
}

describe("a long table", () => {
  test("is read a page at a time, and its length is known from the first one on", async () => {
    const lengths: (number | null)[] = [];
    const offsets = serve(
      () => ROWS,
      () => lengths.push(useEntities.getState().fetched.models.total),
    );
    await fetchAll("models");
    expect(offsets).toEqual([0, 100, 200]);
    expect(lengths).toEqual([null, 250, 250]);
    expect(ids()).toHaveLength(250);
    expect(useEntities.getState().fetched.models).toEqual({
      status: "yes",
      error: null,
      total: null,
    });
  });

  test("of which rows are deleted meanwhile misses none of the others", async () => {
    let rows = ROWS;
    serve(
      () => rows,
      (offset) => {
        if (!offset) rows = ROWS.slice(30);
      },
    );
    put("models", ROWS);
    await fetchAll("models");
    expect(ids()).toEqual(expect.arrayContaining(ROWS.slice(30).map(({ id }) => id)));
  });

  test("keeps what came while it was read", async () => {
    serve(
      () => ROWS,
      (offset) => {
        if (offset === 200) put("models", [model({ id: "m_new" })]);
      },
    );
    await fetchAll("models");
    expect(ids()).toContain("m_new");
    expect(ids()).toHaveLength(251);
  });
});

describe("reading again", () => {
  beforeEach(() => put("models", ROWS.slice(0, 3)));

  test("changes nothing where nothing has changed", async () => {
    serve(() => structuredClone(ROWS.slice(0, 3)));
    await fetchAll("models");
    const before = useEntities.getState();
    await fetchAll("models");
    expect(useEntities.getState()).toBe(before);
  });

  test("takes away what is no longer there, and does not bring back what was deleted", async () => {
    serve(
      () => ROWS.slice(1, 3),
      () => remove("models", ["m_2"]),
    );
    await fetchAll("models");
    expect(ids()).toEqual(["m_1"]);
  });

  test("that fails leaves what was there, and says why", async () => {
    server.use(http.get("*/api/models", () => refusal(503, "SERVICE_UNAVAILABLE", "Away.")));
    await fetchAll("models");
    expect(ids()).toHaveLength(3);
    expect(useEntities.getState().fetched.models.error?.message).toBe("Away.");
  });
});

test("the first rows are enough to begin with, and nothing against all of them", async () => {
  const offsets = serve(() => ROWS);
  await fetchFirst("models");
  expect(ids()).toHaveLength(24);
  expect(useEntities.getState().fetched.models).toMatchObject({ status: "no", total: 250 });
  await fetchAll("models");
  serve(() => ROWS.map((row) => ({ ...row, name: "older" })));
  await fetchFirst("models");
  expect(useEntities.getState().models.m_0?.name).toBe("Model 0");
  expect(offsets).toEqual([0, 0, 100, 200]);
});
