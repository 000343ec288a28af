import { act, screen, waitFor, within } from "@testing-library/react";
import { HttpResponse, http } from "msw";
import { beforeEach, describe, expect, test } from "vitest";
import type { Model } from "@/api/types";
import { apply } from "@/live/apply";
import { put, useEntities } from "@/state/entities";
import { useSelection } from "@/state/selection";
import { expectAccessible } from "@/testing/axe";
import { gateway, refusal } from "@/testing/gateway";
import { signedIn } from "@/testing/render";
import { hold } from "@/testing/store";
import { full, looking, show, user, withoutStyles } from "./testing";

const server = gateway();
withoutStyles();

function given(change: Partial<Model> = {}): Model {
  const row = full({ status: "ready", ...change });
  server.use(...looking(row));
  put("models", [row]);
  return row;
}

beforeEach(() => signedIn("model:read", "model:write"));

describe("the dialog", () => {
  test("has an address for each tab, and keeps the filters of the list behind it", async () => {
    given();
    show("/models/m_gpt2_1?q=gpt");
    expect(screen.getByRole("dialog", { name: "GPT-2" })).toBeVisible();
    expect(screen.getByRole("tab", { name: "Overview" })).toHaveAttribute("aria-selected", "true");
    await user.click(screen.getByRole("tab", { name: "Config" }));
    expect(screen.getByTestId("here")).toHaveTextContent("/models/m_gpt2_1/config?q=gpt");
    await user.click(screen.getByRole("button", { name: "Close" }));
    expect(screen.getByTestId("here")).toHaveTextContent("/models?q=gpt");
    expect(useSelection.getState().modelId).toBe("m_gpt2_1");
  });

  test("of a model that is not there says so", async () => {
    hold("models", []);
    show("/models/m_gone_1");
    expect(screen.getByRole("heading", { name: "There is no such model" })).toBeVisible();
    await expectAccessible();
    await user.click(screen.getByRole("button", { name: "Show the models" }));
    expect(screen.getByTestId("here")).toHaveTextContent(/^\/models$/);
  });

  test("of a model that is deleted meanwhile says so", () => {
    given();
    hold("models", Object.values(useEntities.getState().models));
    show("/models/m_gpt2_1");
    act(
      () =>
        void apply([
          {
            id: 2,
            type: "model:deleted",
            data: { timestamp: "2026-01-01T00:00:01Z", model_id: "m_gpt2_1" },
          } as never,
        ]),
    );
    expect(screen.getByRole("heading", { name: "There is no such model" })).toBeVisible();
  });

  test("shows a load as it goes, and cancels it", async () => {
    given({ status: "loading", stage: "placing", progress: 90 });
    const cancelled: string[] = [];
    server.use(
      http.post("*/api/models/m_gpt2_1/load/cancel", ({ request }) => {
        cancelled.push(request.headers.get("Idempotency-Key") ?? "");
        return HttpResponse.json(full({ status: "unloaded" }));
      }),
    );
    show("/models/m_gpt2_1");
    expect(screen.getByRole("progressbar", { name: "Placing in memory" })).toBeVisible();
    await user.click(screen.getByRole("button", { name: "Cancel" }));
    await waitFor(() => expect(cancelled).toEqual([expect.stringMatching(/./)]));
  });
});

describe("what a model is", () => {
  test("figures, source, and what quantising changed, with a table for who sees no chart", async () => {
    given({
      quantization: "int4",
      memory_usage_bytes: 312e6,
      fidelity: {
        probe_tokens: 256,
        layers: [
          { hook_point: "layers.0.resid_post", cosine: 0.99912, relative_error: 0.021 },
          { hook_point: "layers.1.resid_post", cosine: 0.9971, relative_error: 0.034 },
        ],
        reference_perplexity: 34.2,
        perplexity: 35.9,
        perplexity_change: 0.0497,
      },
    });
    show("/models/m_gpt2_1");
    expect(screen.getByRole("region", { name: "Facts" })).toHaveTextContent(
      /Parameters\s*124 M.*Layers\s*12.*Context\s*1,024.*In memory\s*312 MB/,
    );
    const table = await screen.findByRole("table", { name: "Fidelity of each layer" });
    expect(within(table).getByRole("row", { name: /layers\.1\.resid_post/ })).toHaveTextContent(
      /0\.99710.*0\.034/,
    );
    expect(screen.getByText(/34\.2 → 35\.9/)).toHaveTextContent("(+4.97 %)");
    await expectAccessible();
  });

  test("what went wrong with its load stands first, with the remedy", () => {
    given({
      status: "failed",
      error: {
        code: "MODEL_TOO_LARGE",
        message: "It takes 12.4 GB.",
        details: { remedy: "Choose int4." },
        timestamp: "2026-01-01T00:00:00Z",
      },
    });
    show("/models/m_gpt2_1");
    expect(screen.getByRole("alert")).toHaveTextContent(/It takes 12\.4 GB\..*Choose int4\./);
  });

  test("its config is searched by name and by value", async () => {
    given({ config: { n_layer: 12, rope_scaling: { factor: 8 }, model_type: "gpt2" } });
    show("/models/m_gpt2_1/config");
    await screen.findByText("rope_scaling.factor");
    await expectAccessible();
    await user.type(screen.getByRole("textbox", { name: "Search the config" }), "factor");
    expect(screen.getByRole("status")).toHaveTextContent("1 of 3 entries");
    expect(screen.queryByText("n_layer")).not.toBeInTheDocument();
    await user.type(screen.getByRole("textbox", { name: "Search the config" }), "less");
    expect(screen.getByText(/Nothing in the config holds/)).toBeVisible();
  });
});

describe("how a model is configured", () => {
  const configuration = () => within(screen.getByRole("region", { name: "Configuration" }));

  test("only what was changed is sent, on the version that was seen", async () => {
    const row = given({ status: "unloaded", updated_at: "2026-01-01T00:00:00.5Z" });
    const asked: unknown[] = [];
    server.use(
      http.patch("*/api/models/m_gpt2_1", async ({ request }) => {
        asked.push(request.headers.get("If-Match"), await request.json());
        return HttpResponse.json({ ...row, quantization: "int8", keep_alive_seconds: 600 });
      }),
    );
    show("/models/m_gpt2_1");
    expect(configuration().getByRole("button", { name: "Save" })).toBeDisabled();
    await user.click(await configuration().findByRole("radio", { name: /int8.*fits now/ }));
    await user.type(configuration().getByRole("textbox", { name: "Leaves memory after" }), "10");
    await user.click(configuration().getByRole("button", { name: "Save" }));
    await waitFor(() =>
      expect(asked).toEqual([
        '"2026-01-01T00:00:00.500000Z"',
        { quantization: "int8", keep_alive_seconds: 600 },
      ]),
    );
    await waitFor(() =>
      expect(configuration().getByRole("button", { name: "Save" })).toBeDisabled(),
    );
    expect(configuration().getByRole("radio", { name: /int8/ })).toBeChecked();
  });

  test("who changed it meanwhile is not overwritten, and what it is now can be loaded", async () => {
    const row = given({ status: "unloaded" });
    server.use(
      http.patch("*/api/models/m_gpt2_1", () =>
        refusal(412, "PRECONDITION_FAILED", "The model was changed since."),
      ),
    );
    show("/models/m_gpt2_1");
    await user.click(configuration().getByRole("switch", { name: /^Offload/ }));
    await user.click(configuration().getByRole("button", { name: "Save" }));
    expect(await screen.findByText("Somebody changed it meanwhile")).toBeVisible();
    server.use(
      http.get("*/api/models/m_gpt2_1", () => HttpResponse.json({ ...row, name: "Renamed" })),
    );
    await user.click(screen.getByRole("button", { name: "Load what it is now" }));
    await waitFor(() => expect(configuration().getByLabelText("Name")).toHaveValue("Renamed"));
    await waitFor(() =>
      expect(configuration().getByRole("switch", { name: /^Offload/ })).not.toBeChecked(),
    );
    await waitFor(() =>
      expect(screen.queryByText("Somebody changed it meanwhile")).not.toBeInTheDocument(),
    );
  });

  test("an event that changes something else is no conflict", async () => {
    const row = given({ status: "unloaded" });
    const seen: unknown[] = [];
    server.use(
      http.patch("*/api/models/m_gpt2_1", ({ request }) => {
        seen.push(request.headers.get("If-Match"));
        return HttpResponse.json({ ...row, offload: true });
      }),
    );
    show("/models/m_gpt2_1");
    await user.click(configuration().getByRole("switch", { name: /^Offload/ }));
    act(() => put("models", [{ ...row, updated_at: "2026-01-01T00:00:09Z" }]));
    await user.click(configuration().getByRole("button", { name: "Save" }));
    await waitFor(() => expect(seen).toEqual(['"2026-01-01T00:00:09.000000Z"']));
  });

  test("an error stands beside the field that it names", async () => {
    given({ status: "unloaded" });
    server.use(
      http.patch("*/api/models/m_gpt2_1", () =>
        refusal(400, "VALIDATION_ERROR", "name: too long.", {
          field: "name",
          remedy: "Choose a shorter one.",
        }),
      ),
    );
    show("/models/m_gpt2_1");
    await user.type(configuration().getByLabelText("Name"), "!");
    await user.click(configuration().getByRole("button", { name: "Save" }));
    await waitFor(() =>
      expect(configuration().getByLabelText("Name")).toHaveAccessibleDescription(
        "name: too long. Choose a shorter one.",
      ),
    );
  });

  test("a model in memory keeps its format", async () => {
    given({ status: "ready" });
    show("/models/m_gpt2_1");
    expect(configuration().getByText("Unload the model to change it.")).toBeVisible();
    expect(configuration().getByRole("radio", { name: /int4/ })).toBeDisabled();
  });

  test("who may only look sees the numbers and no actions", async () => {
    signedIn("model:read");
    given({ keep_alive_seconds: 600 });
    show("/models/m_gpt2_1");
    expect(screen.getByRole("region", { name: "Configuration" })).toHaveTextContent(
      "after 10 min without use",
    );
    for (const name of ["Save", "Unload", "Pin"]) {
      expect(screen.queryByRole("button", { name })).not.toBeInTheDocument();
    }
    await expectAccessible();
  });
});
