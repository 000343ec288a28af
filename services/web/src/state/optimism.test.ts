import { expect, test } from "vitest";
import { ApiError } from "@/api/errors";
import { model } from "@/testing/rows";
import { patch, put, useEntities } from "./entities";
import { optimistically } from "./optimism";
import { takeToasts } from "./toasts";

const refusal = new ApiError("No.", 409, {
  code: "STATUS_CONFLICT",
  message: "No.",
  details: { remedy: "Wait." },
  timestamp: "2026-01-01T00:00:00Z",
});
const row = () => useEntities.getState().models.m_gpt2_1;

test("what is asked for shows at once", async () => {
  put("models", [model()]);
  const asked = optimistically(
    "models",
    "m_gpt2_1",
    { status: "loading" },
    "Not loaded",
    async () => 1,
  );
  expect(row()?.status).toBe("loading");
  expect(await asked).toBe(1);
  expect(row()?.status).toBe("loading");
});

test("a refusal is undone, and told with its remedy", async () => {
  put("models", [model()]);
  const change = { status: "loading", progress: 5 } as const;
  await optimistically("models", "m_gpt2_1", change, "Not loaded", () => Promise.reject(refusal));
  expect(row()).toMatchObject({ status: "pending", progress: 0 });
  expect(takeToasts()).toMatchObject([{ tone: "bad", title: "Not loaded", remedy: "Wait." }]);
});

test("what an event changed meanwhile is not undone", async () => {
  put("models", [model()]);
  await optimistically("models", "m_gpt2_1", { status: "loading" }, "Not loaded", async () => {
    patch("models", "m_gpt2_1", { status: "ready" });
    throw refusal;
  });
  expect(row()?.status).toBe("ready");
});
