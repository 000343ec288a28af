import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { HttpResponse, http } from "msw";
import { beforeEach, describe, expect, test } from "vitest";
import type { Cache } from "@/api/types";
import { useEntities } from "@/state/entities";
import { expectAccessible } from "@/testing/axe";
import { gateway } from "@/testing/gateway";
import { draw, signedIn } from "@/testing/render";
import { cache, dataset, device, model } from "@/testing/rows";
import { hold } from "@/testing/store";
import ActivationsPanel from "./ActivationsPanel";

const server = gateway();
const user = userEvent.setup({ delay: null });

const ROWS = [
  { id: "act_1", file_size_bytes: 100e6, created_at: "2026-01-02T00:00:00Z" },
  { id: "act_2", model_id: "m_b", file_size_bytes: 300e6, created_at: "2026-01-01T00:00:00Z" },
] as const;

function open(rows: readonly Partial<Cache>[], at = "/activations") {
  hold("models", [model(), model({ id: "m_b", name: "Pythia" })]);
  hold("datasets", [dataset()]);
  hold("caches", rows.map(cache));
  draw(<ActivationsPanel />, at);
}

const shown = () =>
  screen.getAllByRole("link", { name: /^View/ }).map((link) => link.getAttribute("href"));

beforeEach(() => signedIn("model:read", "model:write"));

describe("the caches", () => {
  test("are listed with what they hold and take, without a barrier", async () => {
    open(ROWS);
    expect(screen.getByText("2 caches, 400 MB")).toBeVisible();
    const table = screen.getByRole("table", { name: "Caches" });
    expect(within(table).getAllByText("resid_post 0, 6, 11")).toHaveLength(2);
    expect(shown()).toEqual(["/activations/act_1", "/activations/act_2"]);
    await expectAccessible();
  });

  test("are those of the model and dataset in the address", async () => {
    open(ROWS, "/activations?model=m_b");
    expect(shown()).toEqual(["/activations/act_2"]);
    expect(screen.getByText("1 of 2 caches, 300 MB")).toBeVisible();
    await user.click(screen.getByRole("combobox", { name: "Model" }));
    await user.click(await screen.findByRole("option", { name: "GPT-2" }));
    expect(shown()).toEqual(["/activations/act_1"]);
  });

  test("say what the disk holds where several share columns", () => {
    hold("devices", [device({ store_bytes: 250e6 })]);
    open(ROWS);
    expect(
      screen.getByText("2 caches, 400 MB; 250 MB on the disk, as some share columns"),
    ).toBeVisible();
  });

  test("whose files are missing say so, and what to do", async () => {
    open([ROWS[0], { ...ROWS[1], status: "missing" }]);
    const [badge] = screen.getAllByText("missing");
    expect(screen.getAllByText("missing")).toHaveLength(1);
    await user.hover(badge as HTMLElement);
    expect(await screen.findByText(/extract again, or delete it/)).toBeVisible();
    await expectAccessible();
  });

  test("where there are none say how to get one, for a terminal too", async () => {
    open([]);
    expect(screen.getByRole("heading", { name: "No activations yet" })).toBeVisible();
    expect(screen.getByText(/mistudio extract/)).toBeVisible();
    await expectAccessible();
  });

  test("are not deleted by whoever may only read", () => {
    signedIn("model:read");
    open(ROWS);
    expect(shown()).toHaveLength(2);
    expect(screen.queryByRole("button", { name: /delete/i })).toBeNull();
  });
});

test("deleting says how many bytes go and what stays, and takes it off the list", async () => {
  server.use(http.delete("*/api/activations/act_1", () => new HttpResponse(null, { status: 204 })));
  open([...ROWS, { id: "act_3", hook_points: ["layers.6.resid_post"] }]);
  await user.click(
    screen.getAllByRole("button", {
      name: "Delete the cache of GPT-2 over prose",
    })[0] as HTMLElement,
  );
  const dialog = await screen.findByRole("dialog", { name: "Delete this cache?" });
  expect(dialog).toHaveTextContent("12,780 tokens of resid_post 0, 6, 11");
  expect(dialog).toHaveTextContent("3 hook points are in another cache too and stay");
  await expectAccessible();
  await user.click(within(dialog).getByRole("button", { name: "Delete 100 MB" }));
  await waitFor(() =>
    expect(Object.keys(useEntities.getState().caches).sort()).toEqual(["act_2", "act_3"]),
  );
});
