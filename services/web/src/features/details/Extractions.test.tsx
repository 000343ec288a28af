import { screen, waitFor, within } from "@testing-library/react";
import { HttpResponse, http } from "msw";
import { beforeEach, expect, test } from "vitest";
import type { Extraction } from "@/api/types";
import { put } from "@/state/entities";
import { takeToasts } from "@/state/toasts";
import { expectAccessible } from "@/testing/axe";
import { gateway, refusal } from "@/testing/gateway";
import { signedIn } from "@/testing/render";
import { dataset, extraction } from "@/testing/rows";
import { full, looking, show, user, withoutStyles } from "./testing";

const server = gateway();
withoutStyles();

function given(...rows: Partial<Extraction>[]): void {
  const row = full({ status: "ready" });
  server.use(...looking(row));
  put("models", [row]);
  put("datasets", [dataset()]);
  put(
    "extractions",
    rows.map((change, index) => extraction({ extraction_id: `ext_${index}`, ...change })),
  );
}

beforeEach(() => {
  signedIn("model:read", "model:write");
});

test("what runs stands before what has ended, and other models' are left out", async () => {
  given(
    { status: "completed", cache_id: "act_1", total_tokens: 12_780, file_size_bytes: 118e6 },
    { status: "extracting", samples_processed: 320, total_samples: 512, seconds_left: 7 },
    { status: "queued", model_id: "m_other_2" },
  );
  show("/models/m_gpt2_1/extractions");
  expect(screen.getByRole("tab", { name: /Extractions/ })).toHaveTextContent("1");
  const running = within(screen.getByRole("region", { name: "Running" }));
  expect(running.getAllByRole("article")).toHaveLength(1);
  expect(running.getByText("320 of 512 samples")).toBeVisible();
  const ended = within(screen.getByRole("region", { name: "Ended" }));
  expect(ended.getByText("12,780 tokens · 118 MB")).toBeVisible();
  expect(ended.getByRole("link", { name: "View activations" })).toHaveAttribute(
    "href",
    "/activations/act_1",
  );
  await expectAccessible();
});

test("a failed one says what to do", () => {
  given({
    status: "failed",
    error: {
      code: "INSUFFICIENT_STORAGE",
      message: "The disk is full.",
      details: { remedy: "Delete caches." },
      timestamp: "2026-01-01T00:00:00Z",
    },
  });
  show("/models/m_gpt2_1/extractions");
  expect(screen.getByRole("alert")).toHaveTextContent(/The disk is full\..*Delete caches\./);
});

test("one that is cancelled says so at once", async () => {
  given({ status: "extracting" });
  server.use(
    http.post("*/api/extractions/ext_0/cancel", () =>
      HttpResponse.json(extraction({ extraction_id: "ext_0", status: "cancelled" })),
    ),
  );
  show("/models/m_gpt2_1/extractions");
  await user.click(screen.getByRole("button", { name: "Cancel" }));
  expect(
    within(screen.getByRole("region", { name: "Ended" })).getByText("cancelled"),
  ).toBeVisible();
});

test("one that ended before it could be cancelled goes on as it was", async () => {
  given({ status: "extracting" });
  server.use(
    http.post("*/api/extractions/ext_0/cancel", () =>
      refusal(409, "STATUS_CONFLICT", "It has ended.", { remedy: "Nothing is to be done." }),
    ),
  );
  show("/models/m_gpt2_1/extractions");
  await user.click(screen.getByRole("button", { name: "Cancel" }));
  await waitFor(() => expect(takeToasts()).toMatchObject([{ remedy: "Nothing is to be done." }]));
  expect(screen.getByText("extracting")).toBeVisible();
});

test("where there are none, the next step is taught", async () => {
  given();
  show("/models/m_gpt2_1/extractions");
  expect(screen.getByRole("link", { name: "Choose what to extract" })).toHaveAttribute(
    "href",
    "/models/m_gpt2_1/extract",
  );
  await expectAccessible();
});
