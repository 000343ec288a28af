import { fireEvent, screen, waitFor, within } from "@testing-library/react";
import { HttpResponse, http } from "msw";
import { beforeEach, describe, expect, test } from "vitest";
import type { Model } from "@/api/types";
import { put, useEntities } from "@/state/entities";
import type { Capture } from "@/state/extractions";
import { expectAccessible } from "@/testing/axe";
import { gateway, refusal } from "@/testing/gateway";
import { signedIn } from "@/testing/render";
import { cache, dataset, extraction } from "@/testing/rows";
import { hold } from "@/testing/store";
import { estimate, full, looking, show, user, withoutStyles } from "../testing";
import { forgetChoices } from "./drafts";

const server = gateway();
withoutStyles();

const ESTIMATE = "*/api/models/m_gpt2_1/extract-activations/estimate";
const EXTRACT = "*/api/models/m_gpt2_1/extract-activations";

function given(change: Partial<Model> = {}, refused: Record<string, string> = {}): void {
  const row = full({ status: "ready", ...change });
  server.use(...looking(row, refused));
  put("models", [row]);
  hold("datasets", [dataset()]);
}

/** What the form asks the estimate of, the newest last. */
function estimated(): Capture[] {
  const bodies: Capture[] = [];
  server.use(
    http.post(ESTIMATE, async ({ request }) => {
      bodies.push((await request.json()) as Capture);
      return HttpResponse.json(estimate());
    }),
  );
  return bodies;
}

/** Wait until the dialog has taken the focus, which it does a moment after it is drawn. */
const opened = () => waitFor(() => expect(screen.getByRole("dialog")).toContainElement(focused()));
const focused = () => document.activeElement as HTMLElement;
const point = (name: string) => screen.getByRole("checkbox", { name });
const layer = (name: string | RegExp) =>
  within(screen.getByRole("group", { name: "Layers to capture" })).getByRole("button", { name });
const layersText = () => screen.getByRole("textbox", { name: "Layers" });
const write = (input: HTMLElement, value: string) => fireEvent.change(input, { target: { value } });
const code = (name: string) => screen.getByLabelText(name, { selector: "code, pre" });

beforeEach(() => {
  forgetChoices();
  signedIn("model:read", "model:write");
});

describe("what an extraction takes", () => {
  test("stands beside the form as it is filled in", async () => {
    given();
    const asked = estimated();
    show("/models/m_gpt2_1/extract");
    const card = within(await screen.findByRole("region", { name: "Estimate" }));
    expect(await card.findByText("14 s")).toBeVisible();
    expect(card.getByText("118 MB of 100 GB free on the disk")).toBeVisible();
    expect(card.getByText("about 12,780")).toBeVisible();
    expect(asked.at(-1)).toEqual({
      dataset_id: "ds_prose_1",
      layer_indices: "0,6,11",
      hook_kinds: ["resid_post"],
    });
    await user.click(point("mlp_out"));
    await user.click(point("embed"));
    write(layersText(), "0-2,-1");
    await waitFor(() =>
      expect(asked.at(-1)).toEqual({
        dataset_id: "ds_prose_1",
        layer_indices: "0-2,-1",
        hook_kinds: ["mlp_out", "resid_post"],
        hook_points: ["embed"],
      }),
    );
    expect(card.getByText("9")).toBeVisible();
  });

  test("is of the dataset that the address names, until another is chosen", async () => {
    given();
    hold("datasets", [dataset(), dataset({ id: "ds_verse_1", name: "verse" })]);
    const asked = estimated();
    const before = show("/models/m_gpt2_1/extract?dataset=ds_prose_1");
    await waitFor(() => expect(asked.at(-1)?.dataset_id).toBe("ds_prose_1"));
    await user.click(point("mlp_out"));
    before.unmount();
    show("/models/m_gpt2_1/extract?dataset=ds_verse_1");
    await waitFor(() => expect(asked.at(-1)?.dataset_id).toBe("ds_verse_1"));
    await user.click(screen.getByRole("combobox", { name: "Dataset" }));
    await user.click(await screen.findByRole("option", { name: /prose/ }));
    await waitFor(() => expect(asked.at(-1)?.dataset_id).toBe("ds_prose_1"));
    expect(screen.getByTestId("here")).toHaveTextContent(/extract$/);
  });

  test("stands in a form without a barrier", async () => {
    given();
    show("/models/m_gpt2_1/extract");
    expect(await screen.findByText("14 s")).toBeVisible();
    await expectAccessible();
  });

  test("is refused beside the input that is wrong", async () => {
    given();
    server.use(
      http.post(ESTIMATE, () =>
        refusal(400, "VALIDATION_ERROR", "The model's context is 1024 tokens.", {
          field: "tokenization.max_length",
          remedy: "Choose at most 1024.",
        }),
      ),
    );
    show("/models/m_gpt2_1/extract");
    await waitFor(() =>
      expect(
        screen.getByRole("textbox", { name: "Longest sample, in tokens" }),
      ).toHaveAccessibleDescription(/context is 1024 tokens\. Choose at most 1024\./),
    );
  });
});

describe("the diagram and the layers", () => {
  test("a point that the model refuses cannot be chosen, and says why", async () => {
    given({}, { resid_mid: "attention and MLP both read the block's input" });
    show("/models/m_gpt2_1/extract");
    await waitFor(() => expect(point("resid_mid")).toBeDisabled());
    expect(point("resid_mid")).toHaveAccessibleDescription(/Not in this model: attention and MLP/);
    expect(screen.getByText(/cannot be captured of this model: attention and MLP/)).toBeVisible();
    expect(point("q")).toHaveAccessibleDescription(/Rows are 12 heads × 64\./);
  });

  test("points are chosen by the keyboard alone", async () => {
    given();
    show("/models/m_gpt2_1/extract");
    await opened();
    point("z").focus();
    await user.keyboard(" ");
    expect(point("z")).toBeChecked();
  });

  test("cells and text say the same", async () => {
    given();
    show("/models/m_gpt2_1/extract");
    expect(layer("Layer 6")).toHaveAttribute("aria-pressed", "true");
    await user.click(layer("Layer 6"));
    expect(layersText()).toHaveValue("0,11");
    await user.click(layer("Layer 2"));
    fireEvent.click(layer("Layer 5"), { shiftKey: true });
    expect(layersText()).toHaveValue("0,2-5,11");
    await user.click(screen.getByRole("button", { name: "All" }));
    expect(layer("Layer 7")).toHaveAttribute("aria-pressed", "true");
    expect(layersText()).toHaveValue("all");
  });

  test("cells are one stop of the Tab key, and arrows go from one to the next", async () => {
    given();
    show("/models/m_gpt2_1/extract");
    await opened();
    layer("Layer 0").focus();
    await user.keyboard("{ArrowRight}{ArrowRight}");
    expect(layer("Layer 2")).toHaveFocus();
    await user.keyboard("{End}{Enter}");
    expect(layer("Layer 11")).toHaveAttribute("aria-pressed", "false");
  });

  test("a text that cannot be read says so, and nothing is asked for", async () => {
    given();
    show("/models/m_gpt2_1/extract");
    write(layersText(), "12");
    expect(layersText()).toHaveAccessibleDescription(/there is no layer 12/);
    expect(screen.getByRole("button", { name: "Extract activations" })).toBeDisabled();
  });

  test("what is stored for this dataset and type is marked", async () => {
    given();
    put("caches", [
      cache({
        layer_indices: [0],
        hook_points: ["layers.0.resid_post", "embed"],
        tokenization: { ...cache().tokenization, max_length: 1024 },
      }),
    ]);
    show("/models/m_gpt2_1/extract");
    expect(layer("Layer 0, stored already")).toBeVisible();
    expect(point("embed")).toHaveAccessibleDescription(/Stored already\./);
    expect(point("resid_post")).toHaveAccessibleDescription(/Stored already in layers 0\./);
    await user.click(screen.getByLabelText("Stored as", { selector: "input" }));
    await user.click(await screen.findByRole("option", { name: /^float16/ }));
    expect(layer("Layer 0")).toBeVisible();
  });
});

describe("the request", () => {
  test("runs at once in the list, and what it became is read", async () => {
    given();
    const bodies: Capture[] = [];
    server.use(
      http.post(EXTRACT, async ({ request }) => {
        const body = (await request.json()) as Capture;
        bodies.push(body);
        expect(request.headers.get("Idempotency-Key")).toMatch(/./);
        return HttpResponse.json(
          {
            extraction_id: body.extraction_id,
            status: "queued",
            estimated_time_seconds: 14,
            estimated_bytes: 118e6,
            estimate_unknown: null,
            cached: false,
            cache_id: null,
            message: "Activation extraction queued",
          },
          { status: 202 },
        );
      }),
      http.get("*/api/extractions/:id", ({ params }) =>
        HttpResponse.json(
          extraction({
            extraction_id: String(params.id),
            status: "extracting",
            progress: 25,
            samples_processed: 128,
            total_samples: 512,
            seconds_left: 9,
          }),
        ),
      ),
    );
    show("/models/m_gpt2_1/extract");
    await user.click(screen.getByRole("button", { name: "Extract activations" }));
    const running = within(
      await screen.findByRole("region", { name: "Extractions of this model" }),
    );
    expect(running.getByRole("article", { name: "resid_post in layers 0,6,11" })).toBeVisible();
    expect(await running.findByText("128 of 512 samples")).toBeVisible();
    expect(running.getByText("9.0 s left")).toBeVisible();
    expect(bodies).toEqual([
      {
        dataset_id: "ds_prose_1",
        layer_indices: "0,6,11",
        hook_kinds: ["resid_post"],
        extraction_id: expect.stringMatching(/^ext_[0-9a-f]{32}$/),
      },
    ]);
  });

  test("what is cached already leads to its activations at once", async () => {
    given();
    const done = { status: "completed", cached: true, cache_id: "act_1", progress: 100 } as const;
    server.use(
      http.post(EXTRACT, async ({ request }) => {
        const { extraction_id } = (await request.json()) as Capture;
        return HttpResponse.json({ extraction_id, ...done }, { status: 202 });
      }),
      http.get("*/api/extractions/:id", ({ params }) =>
        HttpResponse.json(extraction({ extraction_id: String(params.id), ...done })),
      ),
      http.get("*/api/activations/act_1", () => HttpResponse.json(cache())),
    );
    show("/models/m_gpt2_1/extract");
    await user.click(screen.getByRole("button", { name: "Extract activations" }));
    expect(await screen.findByText("All of it was cached already.")).toBeVisible();
    expect(screen.getByRole("link", { name: "View activations" })).toHaveAttribute(
      "href",
      "/activations/act_1",
    );
  });

  test("that is refused leaves the list, with the remedy beside the button", async () => {
    given();
    server.use(
      http.post(EXTRACT, () =>
        refusal(429, "RATE_LIMITED", "5 extractions are running.", {
          remedy: "Wait for one to end.",
        }),
      ),
    );
    show("/models/m_gpt2_1/extract");
    await user.click(screen.getByRole("button", { name: "Extract activations" }));
    const card = within(screen.getByRole("region", { name: "Estimate" }));
    expect(await card.findByRole("alert")).toHaveTextContent(
      /5 extractions are running\..*Wait for one to end\./,
    );
    expect(useEntities.getState().extractions).toEqual({});
  });

  test("can be copied as a command and as Python", async () => {
    given();
    show("/models/m_gpt2_1/extract");
    expect(code("command")).toHaveTextContent(
      "mistudio extract m_gpt2_1 ds_prose_1 \\ --layers 0,6,11 \\ --hook-kinds resid_post",
    );
    await user.click(screen.getByRole("radio", { name: "Python" }));
    expect(code("Python")).toHaveTextContent('layer_indices="0,6,11", hook_kinds=["resid_post"],');
  });

  test("is not offered to who may only look", async () => {
    signedIn("model:read");
    given();
    put("extractions", [extraction({ status: "extracting" })]);
    show("/models/m_gpt2_1/extract");
    expect(await screen.findByText("14 s")).toBeVisible();
    expect(screen.queryByRole("button", { name: "Extract activations" })).not.toBeInTheDocument();
    expect(screen.queryByRole("button", { name: "Cancel" })).not.toBeInTheDocument();
  });
});

describe("what comes first", () => {
  test("text, where there is none", async () => {
    given();
    hold("datasets", []);
    show("/models/m_gpt2_1/extract");
    expect(screen.getByRole("link", { name: "Upload a dataset" })).toHaveAttribute(
      "href",
      "/datasets",
    );
    await expectAccessible();
  });

  test("a load, where the model was never in memory", () => {
    given({ status: "pending" });
    show("/models/m_gpt2_1/extract");
    expect(screen.getByRole("heading", { name: "First, load the model" })).toBeVisible();
  });
});
