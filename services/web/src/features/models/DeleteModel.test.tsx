import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { HttpResponse, http } from "msw";
import { expect, test, vi } from "vitest";
import { put, useEntities } from "@/state/entities";
import { expectAccessible } from "@/testing/axe";
import { gateway, refusal } from "@/testing/gateway";
import { draw } from "@/testing/render";
import { cache, extraction, model } from "@/testing/rows";
import DeleteModel from "./DeleteModel";

const server = gateway();
const onClose = vi.fn();
const user = userEvent.setup({ delay: null });

function ask() {
  onClose.mockClear();
  draw(<DeleteModel id="m_gpt2_1" opened onClose={onClose} />);
  return screen.findByRole("dialog", { name: "Delete GPT-2?" });
}

const column = (hook_point: string, bytes: number) => ({
  hook_point,
  tokens: 10,
  width: 4,
  bytes,
  mean_norm: null,
  median_norm: null,
  max_abs: null,
  non_finite: 0,
  overflow: 0,
  quantization_error: null,
});

test("it says what it removes; a column that two caches show counts once", async () => {
  put("models", [model({ status: "ready", memory_usage_bytes: 497e6, disk_bytes: 548e6 })]);
  const columns = [column("layers.0.resid_post", 20e6), column("layers.6.resid_post", 30e6)];
  put("caches", [
    cache({ id: "act_1", columns }),
    cache({ id: "act_2", columns: columns.slice(0, 1) }),
    cache({ id: "act_3", model_id: "m_other_2" }),
  ]);
  const dialog = await ask();
  expect(dialog).toHaveTextContent("leaves memory (497 MB)");
  expect(dialog).toHaveTextContent("its prepared weights, 548 MB on disk");
  expect(dialog).toHaveTextContent("2 activation caches, 50.0 MB");
  await expectAccessible(dialog);
});

test("deleting it closes the dialog, and its row is gone", async () => {
  server.use(http.delete("*/api/models/m_gpt2_1", () => new HttpResponse(null, { status: 204 })));
  put("models", [model()]);
  await ask();
  await user.click(screen.getByRole("button", { name: "Delete" }));
  await waitFor(() => expect(onClose).toHaveBeenCalled());
  expect(useEntities.getState().models).toEqual({});
});

test("a refusal stays, with its remedy", async () => {
  server.use(
    http.delete("*/api/models/m_gpt2_1", () =>
      refusal(409, "STATUS_CONFLICT", "It is in use.", { remedy: "Cancel the extraction." }),
    ),
  );
  put("models", [model()]);
  put("extractions", [extraction({ status: "extracting" })]);
  const dialog = await ask();
  expect(dialog).toHaveTextContent("An extraction on it is queued or running. Cancel it first.");
  await user.click(screen.getByRole("button", { name: "Delete" }));
  expect(await screen.findByText("Cancel the extraction.")).toBeVisible();
  expect(onClose).not.toHaveBeenCalled();
});
