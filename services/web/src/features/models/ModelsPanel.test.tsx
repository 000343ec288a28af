import { act, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { HttpResponse, http } from "msw";
import { Route, Routes, useLocation } from "react-router";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { ModelSummary } from "@/api/types";
import { apply } from "@/live/apply";
import { fetchAll } from "@/state/fetching";
import { expectAccessible } from "@/testing/axe";
import { gateway, refusal } from "@/testing/gateway";
import { draw, signedIn } from "@/testing/render";
import { model } from "@/testing/rows";
import { hold } from "@/testing/store";
import ModelsPanel from "./ModelsPanel";

const server = gateway();
const user = userEvent.setup({ delay: null });

function Address() {
  const { pathname, search } = useLocation();
  return <output aria-label="address">{pathname + search}</output>;
}

function open(rows: readonly Partial<ModelSummary>[], at = "/models") {
  hold("models", rows.map(model));
  draw(
    <>
      <Address />
      <Routes>
        <Route path="/models" element={<ModelsPanel />}>
          <Route path=":modelId" element={<p>its details</p>} />
        </Route>
      </Routes>
    </>,
    at,
  );
}

const address = () => screen.getByRole("status", { name: "address" }).textContent;
const names = () =>
  screen.queryAllByRole("article").map((card) => within(card).getByRole("heading").textContent);

const ROWS = [
  { id: "m_a", name: "GPT-2", status: "ready" },
  { id: "m_b", name: "Pythia 70M", model_type: "gpt_neox", model_identifier: "EleutherAI/pythia" },
  { id: "m_c", name: "Broken", status: "failed", created_at: "2026-02-01T00:00:00Z" },
] as const;

beforeEach(() => {
  signedIn("model:read", "model:write");
  // A window of jsdom has no layout: each card is as high as the grid takes it to be.
  vi.spyOn(HTMLElement.prototype, "offsetHeight", "get").mockReturnValue(222);
});
afterEach(() => vi.restoreAllMocks());

describe("the list", () => {
  test("shows the models, the newest first, and has no barrier", async () => {
    open(ROWS);
    expect(names()).toEqual(["Broken", "GPT-2", "Pythia 70M"]);
    expect(screen.getByText("3 models")).toBeVisible();
    await expectAccessible();
  });

  test("is filtered by text, and says so in the address", async () => {
    open(ROWS);
    await user.click(screen.getByLabelText("Name, id or family"));
    await user.paste("neox");
    expect(names()).toEqual(["Pythia 70M"]);
    expect(screen.getByText(/1 of 3 models/)).toBeVisible();
    expect(address()).toBe("/models?q=neox");
  });

  test("is filtered by status, of which each is counted", async () => {
    open(ROWS);
    await user.click(screen.getByRole("radio", { name: "failed 1" }));
    expect(names()).toEqual(["Broken"]);
    expect(address()).toBe("/models?status=failed");
  });

  test("is filtered by family, and sorted otherwise", async () => {
    open(ROWS);
    await user.selectOptions(screen.getByLabelText("Family"), "GPT-2");
    await user.selectOptions(screen.getByLabelText("Order"), "By status");
    expect(names()).toEqual(["GPT-2", "Broken"]);
    expect(address()).toBe("/models?family=gpt2&sort=status");
  });

  test("is filtered and sorted as the address says", () => {
    open(ROWS, "/models?family=gpt2&sort=name");
    expect(names()).toEqual(["Broken", "GPT-2"]);
  });

  test("follows what happens", () => {
    open(ROWS, "/models?status=failed");
    const error = {
      code: "MODEL_LOAD_FAILED",
      message: "No.",
      details: {},
      timestamp: "",
    } as const;
    const data = { timestamp: "", model_id: "m_a", status: "failed", task_id: "t", error } as const;
    act(() => void apply([{ id: 1, type: "model:failed", data }]));
    expect(names()).toEqual(["Broken", "GPT-2"]);
  });

  test("draws of a thousand models those that are in sight", () => {
    open(Array.from({ length: 1000 }, (_, i) => ({ id: `m_${i}`, name: `Model ${i}` })));
    const cards = screen.getAllByRole("listitem");
    expect(cards.length).toBeLessThan(50);
    expect(cards[0]).toHaveAttribute("aria-setsize", "1000");
    expect(cards[0]).toHaveAttribute("aria-posinset", "1");
  });

  test("says that no model matches, and offers to clear the filters", async () => {
    open(ROWS, "/models?q=nothing&sort=name");
    expect(screen.getByRole("heading", { name: "No model matches" })).toBeVisible();
    await user.click(screen.getByRole("button", { name: "Clear filters" }));
    expect(names()).toEqual(["Broken", "GPT-2", "Pythia 70M"]);
    expect(address()).toBe("/models?sort=name");
  });
});

describe("before there is anything", () => {
  test("the next step is taught, in the browser and on the command line", async () => {
    open([]);
    expect(screen.getByText("mistudio models add openai-community/gpt2 --load")).toBeVisible();
    await expectAccessible();
    await user.click(screen.getByRole("button", { name: "Add your first model" }));
    expect(await screen.findByRole("dialog", { name: "Add a model" })).toBeVisible();
    expect(address()).toBe("/models?add=1");
  });

  test("who may not add is told who can", () => {
    signedIn("model:read");
    open([]);
    expect(screen.getByText("model:write")).toBeVisible();
    expect(screen.queryByRole("button")).toBeNull();
  });

  test("an error is shown with its remedy, and asked again", async () => {
    server.use(
      http.get(
        "*/api/models",
        () => refusal(503, "SERVICE_UNAVAILABLE", "No catalog answers.", { remedy: "Wait." }),
        { once: true },
      ),
      http.get("*/api/models", () => HttpResponse.json({ models: [model()], total: 1 })),
    );
    open([]);
    await act(() => fetchAll("models"));
    expect(screen.getByText("Wait.")).toBeVisible();
    await user.click(screen.getByRole("button", { name: "Try again" }));
    expect(await screen.findByRole("article", { name: "GPT-2" })).toBeVisible();
  });
});

test("details open above the list", () => {
  open(ROWS, "/models/m_a");
  expect(screen.getByText("its details")).toBeVisible();
  expect(names()).toHaveLength(3);
});

test("the dialog that deletes opens for the card that asks, and gives the focus back", async () => {
  open(ROWS);
  const asking = screen.getByRole("button", { name: "Delete GPT-2" });
  await user.click(asking);
  const dialog = await screen.findByRole("dialog", { name: "Delete GPT-2?" });
  await user.click(within(dialog).getByRole("button", { name: "Keep it" }));
  expect(screen.queryByRole("dialog")).toBeNull();
  await waitFor(() => expect(asking).toHaveFocus());
});
