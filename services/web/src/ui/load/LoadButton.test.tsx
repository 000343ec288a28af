import { screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { HttpResponse, http } from "msw";
import { beforeEach, expect, test, vi } from "vitest";
import { expectAccessible } from "@/testing/axe";
import { estimate, told } from "@/testing/estimates";
import { gateway } from "@/testing/gateway";
import { draw } from "@/testing/render";
import { model } from "@/testing/rows";
import type { FormatEstimate } from "../fit";
import { LoadButton } from "./LoadButton";

const server = gateway();
const user = userEvent.setup({ delay: null });
const onLoad = vi.fn();
const NAMES: Record<string, string> = { m_a: "Pythia", m_b: "Gemma", m_c: "Qwen" };

/** Open the menu of a model of which this is estimated. */
async function choose(...formats: FormatEstimate[]) {
  server.use(
    http.get("*/api/models/m_gpt2_1/estimate", () => HttpResponse.json(estimate({ formats }))),
  );
  draw(<LoadButton model={model()} onLoad={onLoad} nameOf={(id) => NAMES[id] ?? id} />);
  await user.click(screen.getByRole("button", { name: "Choose a format for GPT-2" }));
  const menu = await screen.findByRole("menu");
  await within(menu).findByText(/are free/);
  return within(menu);
}

beforeEach(() => onLoad.mockClear());

test("a format that fits now is loaded, and nothing is said of force", async () => {
  const menu = await choose(told("int8"));
  expect(menu.queryByRole("menuitem", { name: /^Force/ })).toBeNull();
  await user.click(menu.getByRole("menuitem", { name: /^int8/ }));
  expect(onLoad).toHaveBeenCalledWith("m_gpt2_1", { quantization: "int8" });
});

test("one for which others leave says which, and needs no force", async () => {
  const menu = await choose(told("int8", { fit: "after_eviction", evict: ["m_a", "m_b"] }));
  expect(menu.queryByRole("menuitem", { name: /^Force/ })).toBeNull();
  await user.click(menu.getByRole("menuitem", { name: /^int8.*Evicts Pythia and Gemma\./ }));
  expect(onLoad).toHaveBeenCalledWith("m_gpt2_1", { quantization: "int8" });
});

test("one that a pinned model is in the way of can be forced: it says who leaves, and who stays", async () => {
  const menu = await choose(
    told("int4"),
    told("int8", { fit: "after_eviction", evict: ["m_a"], held_by: ["m_b", "m_c"] }),
  );
  expect(
    menu.getByRole("menuitem", { name: /^int8.*Gemma and Qwen must leave too, and are pinned/ }),
  ).toBeEnabled();
  await expectAccessible();
  const forced = menu.getAllByRole("menuitem", { name: /^Force/ });
  expect(forced.map((each) => each.textContent)).toEqual([
    "Force int8Evicts Pythia. Gemma and Qwen stay.",
  ]);
  await user.click(forced[0] as HTMLElement);
  expect(onLoad).toHaveBeenCalledWith("m_gpt2_1", { quantization: "int8", force: true });
});

test.each<[string, Partial<FormatEstimate>, string]>([
  ["never fits", { fit: "never" }, "Evicts every model that is neither pinned nor in use."],
  ["other programs are in the way of", { fit: "after_eviction" }, "Evicts nothing."],
])("one that %s can be forced", async (_what, change, words) => {
  const menu = await choose(told("fp16", change));
  expect(menu.getByRole("menuitem", { name: /^Force fp16/ })).toHaveTextContent(words);
});

test("a format that is not available cannot be forced", async () => {
  const menu = await choose(told("int4", { fit: "never", unavailable: "no kernels here" }));
  expect(menu.queryByRole("menuitem", { name: /^Force/ })).toBeNull();
});

test("after a load that failed it offers another try", () => {
  draw(<LoadButton model={model({ status: "failed" })} onLoad={onLoad} nameOf={(id) => id} />);
  expect(screen.getByRole("button", { name: "Load again GPT-2" })).toBeVisible();
});
