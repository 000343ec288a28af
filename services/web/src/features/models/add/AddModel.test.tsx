import { fireEvent, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { HttpResponse, http } from "msw";
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { Schemas } from "@/api/types";
import { put, useEntities } from "@/state/entities";
import { takeToasts } from "@/state/toasts";
import { expectAccessible } from "@/testing/axe";
import { estimate, told } from "@/testing/estimates";
import { gateway, refusal } from "@/testing/gateway";
import { draw, signedIn } from "@/testing/render";
import { model } from "@/testing/rows";
import AddModelModal from "./AddModelModal";

const server = gateway();
const onClose = vi.fn();
const user = userEvent.setup({ delay: null });

let asked: Schemas["EstimateCheckpoint"][] = [];
let registered: Schemas["RegisterModel"][] = [];

/** The gateway reckons so, and registers what it is given. */
function reckon(answer: Schemas["Estimate"]) {
  server.use(
    http.post("*/api/estimates", async ({ request }) => {
      asked.push((await request.json()) as Schemas["EstimateCheckpoint"]);
      return HttpResponse.json(answer);
    }),
    http.post("*/api/models", async ({ request }) => {
      registered.push((await request.json()) as Schemas["RegisterModel"]);
      return HttpResponse.json({ ...model(), config: {} }, { status: 201 });
    }),
  );
}

beforeEach(() => {
  asked = [];
  registered = [];
  onClose.mockClear();
  signedIn("model:read", "model:write");
  draw(<AddModelModal opened onClose={onClose} />);
});

const identifier = () => screen.findByLabelText(/^(Model id|Path)/);
const format = (name: RegExp) =>
  within(screen.getByRole("radiogroup", { name: "Format" })).findByRole("radio", { name });
const submit = () => user.click(screen.getByText(/^Add( and load)?$/));

/** Write an identifier in the place of what was there. */
async function write(text: string) {
  fireEvent.change(await identifier(), { target: { value: text } });
}

describe("the identifier", () => {
  test("is checked as it is typed, and says why it is none", async () => {
    await write("a b");
    expect(screen.getByText(/holds no blank/)).toBeVisible();
    expect(await identifier()).toBeInvalid();
    await write("a--b");
    expect(screen.getByText(/no “--”/)).toBeVisible();
  });

  test("is not complained of before it is finished", async () => {
    await user.click(await identifier());
    await write("owner/");
    expect(await identifier()).toBeValid();
    await user.tab();
    expect(screen.getByText("The name is missing: owner/name.")).toBeVisible();
  });

  test("follows other rules where it is a path", async () => {
    await user.click(await screen.findByLabelText("Local"));
    await write("/srv/a b/../c");
    expect(screen.getByText(/stay under an allowed directory/)).toBeVisible();
  });

  test("that nobody has is said beside it, with the remedy", async () => {
    server.use(
      http.post("*/api/estimates", () =>
        refusal(400, "VALIDATION_ERROR", "There is no such model.", {
          field: "model_identifier",
          remedy: "Check the spelling.",
        }),
      ),
    );
    await write("a/b");
    expect(await screen.findByText("There is no such model. Check the spelling.")).toBeVisible();
    expect(await identifier()).toBeInvalid();
  });

  test("of a model that is registered already names it", async () => {
    reckon(estimate());
    put("models", [model()]);
    await write("openai-community/gpt2");
    expect(screen.getByText(/^GPT-2 is this model already/)).toBeVisible();
  });

  test("is looked up once its typing pauses; whoever types on waits for no answer", async () => {
    const signals: AbortSignal[] = [];
    server.use(
      http.post("*/api/estimates", async ({ request }) => {
        signals.push(request.signal);
        asked.push((await request.json()) as Schemas["EstimateCheckpoint"]);
        if (asked.length === 1)
          await new Promise((gone) => request.signal.addEventListener("abort", gone));
        return HttpResponse.json(estimate());
      }),
    );
    await write("gpt2");
    await waitFor(() => expect(asked).toHaveLength(1));
    await write("gpt2-xl");
    await waitFor(() => expect(signals[0]?.aborted).toBe(true));
    expect(await screen.findByText("Fits now.")).toBeVisible();
    expect(asked.map((each) => each.model_identifier)).toEqual(["gpt2", "gpt2-xl"]);
  });
});

describe("whether it will fit", () => {
  test("stands beside each format, and what is recommended is chosen", async () => {
    reckon(
      estimate({
        recommended: "int8",
        formats: [
          told("none", { total_bytes: 13.9e9, fit: "never", batch_size: 0 }),
          told("int8", { total_bytes: 3.5e9, batch_size: 8 }),
          told("int4", { unavailable: "no int4 kernels here" }),
        ],
      }),
    );
    await write("a/b");
    expect(
      await format(/int8 recommended 3.50 GB batches of up to 8 × 1,024 tokens fits now/),
    ).toBeChecked();
    expect(screen.getByText("GPT-2, 12 layers, 124 M parameters")).toBeVisible();
    expect(await format(/as it is 13.9 GB no batch fits beside it never fits/)).toBeEnabled();
    expect(await format(/int4.*no int4 kernels here/)).toBeDisabled();
    expect(screen.getByText("548 MB to download, 548 MB on disk.")).toBeVisible();
    await expectAccessible(screen.getByRole("dialog"));
  });

  test("names who would leave, and who must", async () => {
    put("models", [model({ id: "m_xl", name: "GPT-2 XL" }), model({ id: "m_py", name: "Pythia" })]);
    reckon(
      estimate({
        recommended: "none",
        formats: [
          told("none", { fit: "after_eviction", evict: ["m_xl"] }),
          told("fp16", { fit: "after_eviction", evict: ["m_xl"], held_by: ["m_py"] }),
        ],
      }),
    );
    await write("a/b");
    expect(await screen.findByText("Fits once GPT-2 XL has left memory.")).toBeVisible();
    await user.click(await format(/^fp16/));
    expect(screen.getByText(/GPT-2 XL and Pythia have left; Pythia is pinned/)).toBeVisible();
  });

  test("of one that never fits offers the disk, and loads it only so", async () => {
    const offload = {
      blocks: 20,
      total_bytes: 5e9,
      read_bytes_per_batch: 8e9,
      cost: "20 of 32 blocks are read at each batch.",
    };
    reckon(
      estimate({
        recommended: null,
        formats: [told("none", { fit: "never", total_bytes: 14e9, offload })],
      }),
    );
    await write("a/b");
    expect(await screen.findByText(/takes 14.0 GB of a budget of 6.00 GB/)).toBeVisible();
    expect(screen.getByLabelText(/^Load at once/)).not.toBeChecked();
    await user.click(screen.getByLabelText(/blocks on the disk/));
    expect(screen.getByText("Runs with 20 of its blocks on the disk.")).toBeVisible();
    await submit();
    await waitFor(() => expect(registered).toMatchObject([{ offload: true, auto_load: true }]));
  });

  test("is reckoned anew for other options of int4", async () => {
    reckon(estimate({ recommended: "int4" }));
    await write("a/b");
    await user.click(await screen.findByLabelText("fp4"));
    await waitFor(() =>
      expect(asked.at(-1)?.quantization_options).toEqual({ int4_type: "fp4", double_quant: true }),
    );
  });

  test("is not known where nobody can look, and says what to do", async () => {
    server.use(
      http.post("*/api/estimates", () =>
        refusal(503, "SERVICE_UNAVAILABLE", "No loader answers.", { remedy: "Start a loader." }),
      ),
    );
    await write("a/b");
    const alert = await screen.findByRole("alert");
    expect(within(alert).getByText("Start a loader.")).toBeVisible();
  });
});

describe("adding", () => {
  test("sends what was chosen, says what was found, and closes", async () => {
    reckon(estimate({ recommended: "bf16" }));
    await write("openai-community/gpt2");
    await user.type(screen.getByLabelText("Revision"), "v1");
    await user.type(screen.getByLabelText(/^Keep alive/), "30");
    await user.click(screen.getByLabelText(/^Pin/));
    await user.click(await format(/^int4/));
    await submit();
    await waitFor(() => expect(onClose).toHaveBeenCalled());
    expect(registered).toEqual([
      {
        name: "gpt2",
        source: "huggingface",
        model_identifier: "openai-community/gpt2",
        revision: "v1",
        quantization: "int4",
        quantization_options: { int4_type: "nf4", double_quant: true },
        pinned: true,
        keep_alive_seconds: 1800,
        offload: false,
        auto_load: true,
      },
    ]);
    expect(useEntities.getState().models.m_gpt2_1).toBeDefined();
    expect(takeToasts()).toMatchObject([
      { title: "GPT-2 is added", message: "Its family is GPT-2, 12 layers, 124 M parameters." },
    ]);
  });

  test("needs an identifier", async () => {
    await identifier();
    await submit();
    expect(await identifier()).toBeInvalid();
    expect(registered).toEqual([]);
  });

  test("that is refused shows the error beside the field it names", async () => {
    reckon(estimate());
    server.use(
      http.post("*/api/models", () =>
        refusal(400, "VALIDATION_ERROR", "There is no revision v9.", { field: "revision" }),
      ),
    );
    await write("a/b");
    await submit();
    const field = screen.getByLabelText("Revision");
    await waitFor(() => expect(field).toBeInvalid());
    expect(screen.getByText("There is no revision v9.")).toBeVisible();
    expect(onClose).not.toHaveBeenCalled();
  });

  test("that is refused for no field says so above them all", async () => {
    reckon(estimate());
    server.use(
      http.post("*/api/models", () =>
        refusal(429, "RATE_LIMITED", "Too many loads.", { remedy: "Wait an hour." }),
      ),
    );
    await write("a/b");
    await submit();
    expect(await screen.findByRole("alert")).toHaveTextContent("Too many loads.Wait an hour.");
  });
});
