import { expect, test } from "vitest";
import type { Happening } from "@/state/activity";
import { EMPTY } from "@/state/entities";
import { model } from "@/testing/rows";
import { words } from "./words";

const AT = "2026-01-01T00:00:00Z";
const names = { ...EMPTY, models: { m_gpt2_1: model() } };

test("a failure says why, and what to do", () => {
  const event = {
    id: 1,
    type: "model:failed",
    at: AT,
    data: {
      timestamp: AT,
      model_id: "m_gpt2_1",
      status: "failed",
      task_id: "task_1",
      error: {
        code: "MODEL_LOAD_FAILED",
        message: "The file is cut short.",
        details: { remedy: "Download it again." },
        timestamp: AT,
      },
    },
  } as Happening;
  expect(words(event, names)).toEqual({
    subject: "model",
    name: "GPT-2",
    to: "/models/m_gpt2_1",
    what: "could not be loaded: The file is cut short.",
    remedy: "Download it again.",
    tone: "bad",
  });
});

test("what is about a deleted model leads nowhere", () => {
  const data = { timestamp: AT, model_id: "m_gone_1" };
  const told = words({ id: 2, type: "model:deleted", at: AT, data } as Happening, names);
  expect(told).toMatchObject({ name: "m_gone_1", to: null, what: "was deleted" });
});
