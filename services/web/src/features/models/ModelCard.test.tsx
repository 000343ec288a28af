import { act, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { HttpResponse, http } from "msw";
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { ModelSummary, Schemas } from "@/api/types";
import { apply } from "@/live/apply";
import { put, useEntities } from "@/state/entities";
import { useSelection } from "@/state/selection";
import { takeToasts } from "@/state/toasts";
import { estimate, told } from "@/testing/estimates";
import { gateway, refusal } from "@/testing/gateway";
import { draw, signedIn } from "@/testing/render";
import { device, model } from "@/testing/rows";
import { ModelCard } from "./ModelCard";

const server = gateway();
const onDelete = vi.fn();
const user = userEvent.setup({ delay: null });

function show(change: Partial<ModelSummary> = {}) {
  put("models", [model(change)]);
  draw(<ModelCard id="m_gpt2_1" onDelete={onDelete} />, "/models?q=gpt");
}

beforeEach(() => {
  signedIn("model:read", "model:write");
});

describe("what a card shows", () => {
  test("name, family, format and figures", () => {
    show({ quantization: "int4", offload: true });
    expect(screen.getByRole("article", { name: "GPT-2" })).toHaveTextContent(
      /Family\s*GPT-2.*Parameters\s*124 M.*Layers\s*12/,
    );
    expect(screen.getByText("int4 nf4, offload")).toBeVisible();
    expect(screen.getByText("pending")).toBeVisible();
  });

  test("of a path its end, and all of it to who points at it", () => {
    show({ source: "local", model_identifier: "/srv/models/small/gpt2" });
    expect(screen.getByText("…/small/gpt2")).toHaveAttribute("title", "/srv/models/small/gpt2");
  });

  test("a load with its stage, bytes, speed and time left, as they come", () => {
    show({ status: "loading", stage: "resolving" });
    const data = {
      timestamp: "2026-01-01T00:00:01Z",
      model_id: "m_gpt2_1",
      status: "loading",
      task_id: "task_1",
      stage: "downloading",
      progress: 40.7,
      message: "",
      bytes_done: 35_000_000,
      bytes_total: 118_000_000,
      bytes_per_second: 12_000_000,
      seconds_left: 39.2,
      retry: 0,
    } as const;
    act(() => void apply([{ id: null, type: "model:loading", data }]));
    expect(screen.getByRole("progressbar", { name: "Downloading" })).toHaveAttribute(
      "aria-valuenow",
      "40.7",
    );
    expect(screen.getByText("35.0 MB of 118 MB · 12.0 MB/s · 39 s left")).toBeVisible();
  });

  test("the share of the device's budget that it takes", () => {
    put("devices", [device({ resident_models: ["m_gpt2_1"] })]);
    show({ status: "ready", memory_usage_bytes: 497e6, load_time_seconds: 2.5 });
    expect(screen.getByText("497 MB of 6.00 GB")).toBeVisible();
    expect(screen.getByText("Loaded in 2.5 s")).toBeVisible();
  });

  test("what went wrong, and what to do", () => {
    show({
      status: "failed",
      error: {
        code: "MODEL_TOO_LARGE",
        message: "It takes 13.9 GB.",
        details: { remedy: "Load it as int4." },
        timestamp: "2026-01-01T00:00:00Z",
      },
    });
    expect(screen.getByText("It takes 13.9 GB.")).toBeVisible();
    expect(screen.getByText("Load it as int4.")).toBeVisible();
  });

  test("links to its details keep the filters", () => {
    show();
    for (const name of ["GPT-2", "Configure GPT-2"]) {
      expect(screen.getByRole("link", { name })).toHaveAttribute("href", "/models/m_gpt2_1?q=gpt");
    }
  });

  test("the one that was looked at last is marked", async () => {
    show();
    const card = screen.getByRole("article");
    expect(card).not.toHaveAttribute("aria-current");
    await user.click(card);
    expect(card).toHaveAttribute("aria-current", "true");
    expect(useSelection.getState().modelId).toBe("m_gpt2_1");
  });
});

describe("what can be done", () => {
  test("load it as it is registered: the card says so at once", async () => {
    const bodies: unknown[] = [];
    server.use(
      http.post("*/api/models/m_gpt2_1/load", async ({ request }) => {
        bodies.push(await request.json());
        return HttpResponse.json({ id: "m_gpt2_1", status: "loading", task_id: "t_1" });
      }),
    );
    show();
    await user.click(screen.getByRole("button", { name: "Load GPT-2" }));
    expect(screen.getByText("loading")).toBeVisible();
    await waitFor(() => expect(bodies).toEqual([{}]));
  });

  test("a load that is refused is taken back, and the remedy told", async () => {
    server.use(
      http.post("*/api/models/m_gpt2_1/load", () =>
        refusal(422, "MODEL_TOO_LARGE", "Too large.", { remedy: "Load it as int8." }),
      ),
    );
    show();
    await user.click(screen.getByRole("button", { name: "Load GPT-2" }));
    expect(await screen.findByText("pending")).toBeVisible();
    expect(takeToasts()).toMatchObject([{ tone: "bad", remedy: "Load it as int8." }]);
  });

  test("load it in a format chosen beside what it would take", async () => {
    const bodies: Schemas["LoadModel"][] = [];
    server.use(
      http.get("*/api/models/m_gpt2_1/estimate", () =>
        HttpResponse.json(
          estimate({
            recommended: "int8",
            formats: [
              told("none", { total_bytes: 9e9, fit: "never" }),
              told("int8", { total_bytes: 2e9 }),
              told("int4", { unavailable: "no int4 kernels here" }),
            ],
          }),
        ),
      ),
      http.post("*/api/models/m_gpt2_1/load", async ({ request }) => {
        bodies.push((await request.json()) as Schemas["LoadModel"]);
        return HttpResponse.json({});
      }),
    );
    show();
    await user.click(screen.getByRole("button", { name: "Choose a format for GPT-2" }));
    const chosen = await screen.findByRole("menuitem", {
      name: /int8 recommended 2.00 GB fits now/,
    });
    expect(screen.getByRole("menuitem", { name: /as it is.*9.00 GB never fits/ })).toBeEnabled();
    expect(screen.getByRole("menuitem", { name: /int4.*no int4 kernels here/ })).toBeDisabled();
    await user.click(chosen);
    await waitFor(() => expect(bodies).toEqual([{ quantization: "int8" }]));
  });

  test.each([
    ["ready", "Unload GPT-2", "unload"],
    ["loading", "Cancel loading GPT-2", "load/cancel"],
  ] as const)("of one that is %s: %s", async (status, name, path) => {
    const asked = vi.fn(() => HttpResponse.json({}));
    server.use(
      http.post(`*/api/models/m_gpt2_1/${path}`, asked),
      http.get("*/api/models/m_gpt2_1", () => HttpResponse.json(model({ status: "unloaded" }))),
    );
    show({ status });
    await user.click(screen.getByRole("button", { name }));
    expect(await screen.findByText("unloaded")).toBeVisible();
    expect(asked).toHaveBeenCalledOnce();
  });

  test("pin it, and unpin it", async () => {
    const bodies: unknown[] = [];
    server.use(
      http.patch("*/api/models/m_gpt2_1", async ({ request }) => {
        bodies.push(await request.json());
        return HttpResponse.json({});
      }),
    );
    show({ status: "ready" });
    await user.click(screen.getByRole("button", { name: "Pin GPT-2" }));
    expect(screen.getByRole("img", { name: "Pinned" })).toBeVisible();
    await user.click(screen.getByRole("button", { name: "Unpin GPT-2" }));
    await waitFor(() => expect(bodies).toEqual([{ pinned: true }, { pinned: false }]));
    expect(useEntities.getState().models.m_gpt2_1?.pinned).toBe(false);
  });

  test("ask to delete it", async () => {
    show();
    await user.click(screen.getByRole("button", { name: "Delete GPT-2" }));
    expect(onDelete).toHaveBeenCalledWith("m_gpt2_1");
  });

  test("nothing, without the scope to write", () => {
    signedIn("model:read");
    show();
    expect(screen.queryByRole("button")).toBeNull();
    expect(screen.getByRole("link", { name: "Details GPT-2" })).toBeVisible();
  });
});
