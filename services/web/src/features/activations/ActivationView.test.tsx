import { act, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { HttpResponse, http } from "msw";
import { Route, Routes, useLocation } from "react-router";
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { Cache, Schemas } from "@/api/types";
import { patch } from "@/state/entities";
import { expectAccessible } from "@/testing/axe";
import { gateway, refusal } from "@/testing/gateway";
import { draw, signedIn } from "@/testing/render";
import { cache, dataset, extraction, model } from "@/testing/rows";
import { hold } from "@/testing/store";
import ActivationView from "./ActivationView";
import { useDirection } from "./look";

const server = gateway();
const user = userEvent.setup({ delay: null });

function column(
  hook_point: string,
  change: Partial<Schemas["ColumnSummary"]> = {},
): Schemas["ColumnSummary"] {
  return {
    hook_point,
    tokens: 12_780,
    width: 3,
    bytes: 1000,
    mean_norm: 12.5,
    median_norm: 11,
    max_abs: 99,
    non_finite: 0,
    overflow: 0,
    quantization_error: null,
    ...change,
  };
}

function Address() {
  const { pathname, search } = useLocation();
  return <output aria-label="address">{pathname + search}</output>;
}

function open(tab: string, change: Partial<Cache> = {}) {
  const found = cache({
    columns: cache().hook_points.map((name) => column(name)),
    activation_shape: [12_780, 3],
    ...change,
  });
  server.use(http.get("*/api/activations/act_1", () => HttpResponse.json(found)));
  hold("models", [model()]);
  hold("datasets", [dataset()]);
  hold("caches", [{ ...found, columns: [] }]);
  draw(
    <>
      <Address />
      <Routes>
        <Route path="/activations/:cacheId/*" element={<ActivationView />} />
      </Routes>
    </>,
    `/activations/act_1${tab}`,
  );
}

const address = () => screen.getByRole("status", { name: "address" }).textContent;

/** Answer with tokens of two samples; the first position is a giant. */
function heatMaps(): Schemas["ShowHeatMap"][] {
  const asked: Schemas["ShowHeatMap"][] = [];
  server.use(
    http.post("*/api/activations/act_1/heat-map", async ({ request }) => {
      const body = (await request.json()) as Schemas["ShowHeatMap"];
      asked.push(body);
      const first = body.first_sample ?? 0;
      const found: Schemas["HeatMap"] = {
        hook_point: body.hook_point,
        measure: body.along?.direction
          ? "direction"
          : body.along?.neuron != null
            ? "neuron"
            : "norm",
        width: 3,
        first_sample: first,
        total_samples: 512,
        samples: [0, 1].map((index) => ({
          sample: first + index,
          row: first + index,
          start: 0,
          token_count: index ? 2000 : 4,
          input_ids: [50_256, 464, 198, 7],
          texts: ["<s>", " the", "\n", "odd"],
          values: [900, 10, 12, index ? null : 11],
        })),
      };
      return HttpResponse.json(found);
    }),
  );
  return asked;
}

beforeEach(() => {
  signedIn("model:read", "model:write");
  useDirection.setState({ direction: null });
});

describe("a cache", () => {
  test("begins with statistics, and each tab has an address", async () => {
    open("");
    expect(await screen.findByRole("heading", { name: "GPT-2 over prose" })).toBeVisible();
    expect(address()).toBe("/activations/act_1/statistics");
    await user.click(screen.getByRole("tab", { name: "Use" }));
    expect(address()).toBe("/activations/act_1/use");
  });

  test("that is gone says so", async () => {
    server.use(
      http.get("*/api/activations/act_1", () => refusal(404, "CACHE_NOT_FOUND", "No such cache.")),
    );
    draw(
      <Routes>
        <Route path="/activations/:cacheId/*" element={<ActivationView />} />
      </Routes>,
      "/activations/act_1",
    );
    expect(await screen.findByRole("heading", { name: "There is no such cache" })).toBeVisible();
    await expectAccessible();
  });
});

describe("a cache whose files are missing", () => {
  test("says so in place of what it holds, without a barrier", async () => {
    open("", { status: "missing" });
    expect(await screen.findByText("Its files are missing")).toBeVisible();
    expect(screen.getByText("missing")).toBeVisible();
    expect(screen.queryByRole("tab")).toBeNull();
    await expectAccessible();
  });

  test("is asked for again as it was, and is back when that has ended", async () => {
    const asked: unknown[] = [];
    server.use(
      http.post("*/api/models/m_gpt2_1/extract-activations", async ({ request }) => {
        const body = (await request.json()) as { extraction_id: string };
        asked.push(body);
        return HttpResponse.json(
          {
            extraction_id: body.extraction_id,
            model_id: "m_gpt2_1",
            status: "queued",
            cached: false,
            cache_id: null,
          },
          { status: 202 },
        );
      }),
      http.get("*/api/extractions/:id", ({ params }) =>
        HttpResponse.json(extraction({ extraction_id: String(params.id) })),
      ),
    );
    open("", { status: "missing", rows_considered: 600 });
    await user.click(await screen.findByRole("button", { name: "Extract again" }));
    expect(await screen.findByRole("link", { name: "Follow it" })).toHaveAttribute(
      "href",
      "/models/m_gpt2_1/extractions",
    );
    expect(screen.getByRole("button", { name: "Extract again" })).toBeDisabled();
    expect(asked).toMatchObject([
      {
        dataset_id: "ds_prose_1",
        hook_points: cache().hook_points,
        dtype: "float32",
        sample_count: 600,
      },
    ]);
    const found = cache({ columns: cache().hook_points.map((name) => column(name)) });
    server.use(http.get("*/api/activations/act_1", () => HttpResponse.json(found)));
    act(() => patch("caches", "act_1", { status: "ready" }));
    expect(await screen.findByRole("tab", { name: "Statistics" })).toBeVisible();
    expect(screen.queryByText("Its files are missing")).toBeNull();
  });

  test("can only be deleted when its dataset is gone", async () => {
    open("", { status: "missing", dataset_id: null });
    expect(await screen.findByText(/nobody can capture it again/)).toBeVisible();
    expect(screen.queryByRole("button", { name: "Extract again" })).toBeNull();
    await user.click(screen.getByRole("button", { name: "Delete…" }));
    expect(await screen.findByRole("dialog", { name: "Delete this cache?" })).toBeVisible();
  });

  test("is waited for while nobody has looked", async () => {
    open("", { status: "unchecked" });
    expect(await screen.findByText("Its files are being looked for")).toBeVisible();
    expect(screen.queryByRole("button", { name: "Extract again" })).toBeNull();
  });
});

describe("statistics", () => {
  test("stand in a table, what is wrong with a remedy, without a barrier", async () => {
    open("/statistics", {
      dtype: "int8",
      columns: [
        column("layers.0.resid_post"),
        column("layers.6.resid_post", {
          overflow: 7,
          quantization_error: { relative_error: 0.0062, max_row_error: 0.02, mean_cosine: 1 },
        }),
      ],
    });
    const table = await screen.findByRole("table", { name: "Statistics of each column" });
    const row = within(table).getByRole("row", { name: /layers\.6\.resid_post/ });
    expect(within(row).getByText("0.62 %")).toBeVisible();
    expect(within(row).getByText("7")).toBeVisible();
    expect(screen.getByText(/Extract again with dtype bfloat16/)).toBeVisible();
    expect(screen.getByRole("figure", { name: /Mean norm by layer/ })).toBeInTheDocument();
    await expectAccessible();
  });
});

describe("norms", () => {
  test("are a picture with a table beside it, of what was read", async () => {
    const norms: Schemas["Norms"] = {
      hook_points: ["layers.0.resid_post", "layers.6.resid_post"],
      positions: [0, 1, 2],
      longest: 6,
      mean_norms: [
        [900, 10, 11],
        [950, 20, null],
      ],
      tokens_read: 6000,
      total_tokens: 12_780,
    };
    server.use(http.get("*/api/activations/act_1/norms", () => HttpResponse.json(norms)));
    open("/norms");
    const table = await screen.findByRole("table", { name: /Mean norms/ });
    expect(within(table).getByRole("columnheader", { name: "2–5" })).toBeInTheDocument();
    expect(
      within(table).getByRole("row", { name: "layers.6.resid_post 950 20 –" }),
    ).toBeInTheDocument();
    expect(screen.getByText(/Over the first 6,000 of 12,780 tokens/)).toBeVisible();
    await user.click(screen.getByRole("radio", { name: "Lines" }));
    expect(address()).toContain("as=lines");
    await expectAccessible();
  });
});

describe("samples", () => {
  test("are tokens with their numbers, and say what the colours leave out", async () => {
    heatMaps();
    open("/samples");
    const tokens = await screen.findByRole("listbox", { name: "Tokens of sample 0 by norm" });
    expect(
      within(tokens)
        .getAllByRole("option")
        .map((each) => each.getAttribute("aria-label")),
    ).toEqual(["“<s>”, 900", "“ the”, 10", "“↵”, 12", "“odd”, 11"]);
    expect(screen.getByText(/first position has 81\.8 times the norm/)).toBeVisible();
    expect(screen.getByText(/tokens lie beyond them and are framed/)).toBeVisible();
    const second = screen.getByRole("region", { name: "Sample 1, of row 1" });
    expect(second).toHaveTextContent("the first 4 of 2,000 tokens");
    expect(within(second).getByRole("option", { name: "“odd”, not finite" })).toBeVisible();
    await expectAccessible();
  });

  test("are gone through by arrow keys, each token telling its figures", async () => {
    heatMaps();
    open("/samples");
    const tokens = await screen.findByRole("listbox", { name: "Tokens of sample 0 by norm" });
    tokens.focus();
    await user.keyboard("{ArrowRight}");
    const told = await screen.findByRole("tooltip");
    expect(told).toHaveTextContent("norm 10");
    expect(told).toHaveTextContent("position 1");
    expect(told).toHaveTextContent("id 464");
    const active = document.getElementById(tokens.getAttribute("aria-activedescendant") ?? "");
    expect(active).toHaveAccessibleName("“ the”, 10");
    await user.keyboard("{End}");
    expect(await screen.findByRole("tooltip")).toHaveTextContent("position 3");
    await user.keyboard("{Escape}");
    expect(screen.queryByRole("tooltip")).toBeNull();
  });

  test("are coloured by a neuron of another hook point, and paged", async () => {
    const asked = heatMaps();
    open("/samples");
    await user.click(await screen.findByRole("combobox", { name: "Hook point" }));
    await user.click(await screen.findByRole("option", { name: "layers.11.resid_post" }));
    await user.click(screen.getByRole("radio", { name: "Neuron" }));
    const neuron = screen.getByRole("textbox", { name: "Neuron, of 3" });
    await user.clear(neuron);
    await user.type(neuron, "2");
    await user.click(screen.getByRole("button", { name: "Later samples" }));
    await waitFor(() =>
      expect(asked.at(-1)).toEqual({
        hook_point: "layers.11.resid_post",
        along: { neuron: 2 },
        first_sample: 8,
        samples: 8,
      }),
    );
    expect(
      await screen.findByRole("listbox", { name: "Tokens of sample 8 by neuron 2" }),
    ).toBeVisible();
    expect(address()).toBe(
      "/activations/act_1/samples?hook=layers.11.resid_post&by=neuron&neuron=2&sample=8",
    );
  });

  test("are coloured by a direction that is pasted, if it is as wide as the rows", async () => {
    const asked = heatMaps();
    open("/samples?by=direction");
    expect(await screen.findByText(/Give a vector, and tokens/)).toBeVisible();
    expect(asked).toEqual([]);
    await user.click(screen.getByRole("button", { name: "Give a vector…" }));
    const dialog = await screen.findByRole("dialog", { name: "Look along a direction" });
    const numbers = within(dialog).getByRole("textbox", { name: "Numbers" });
    await user.click(numbers);
    await user.paste("1 2");
    expect(await within(dialog).findByRole("alert")).toHaveTextContent("It has 2 components");
    expect(within(dialog).getByRole("button", { name: "Use it" })).toBeDisabled();
    await expectAccessible();
    await user.clear(numbers);
    await user.paste("tensor([0.5, -1.0, 2.0])");
    await user.click(within(dialog).getByRole("button", { name: "Use it" }));
    await waitFor(() => expect(asked.at(-1)?.along).toEqual({ direction: [0.5, -1, 2] }));
    expect(await screen.findByRole("button", { name: "pasted (3)" })).toBeVisible();
  });

  test("that cannot be read say why", async () => {
    server.use(
      http.post("*/api/activations/act_1/heat-map", () =>
        refusal(503, "SERVICE_UNAVAILABLE", "No extractor answers.", { remedy: "Start one." }),
      ),
    );
    open("/samples");
    expect(await screen.findByText("No extractor answers.")).toBeVisible();
    expect(screen.getByText("Start one.")).toBeVisible();
  });
});

describe("top tokens", () => {
  function tops(): Schemas["FindTopTokens"][] {
    const asked: Schemas["FindTopTokens"][] = [];
    server.use(
      http.post("*/api/activations/act_1/top-tokens", async ({ request }) => {
        asked.push((await request.json()) as Schemas["FindTopTokens"]);
        const token = { row: 3, input_id: 7, text: " cat", before: "the\n", after: " sat" };
        return HttpResponse.json({
          hook_point: "layers.6.resid_post",
          measure: "neuron",
          width: 3,
          tokens: [
            { ...token, sample: 41, position: 5, value: 9.5 },
            { ...token, sample: 7, position: 0, value: -3, text: null, before: null, after: null },
          ],
          tokens_read: 5000,
          total_tokens: 12_780,
        } satisfies Schemas["TopTokens"]);
      }),
    );
    return asked;
  }

  test("stand in their context, say what was compared, and lead to their samples", async () => {
    tops();
    heatMaps();
    open("/top-tokens?by=neuron&neuron=1");
    const table = await screen.findByRole("table", { name: "Tokens by neuron 1" });
    expect(screen.getByText(/Compared the first 5,000 of 12,780 tokens/)).toBeVisible();
    expect(within(table).getByRole("row", { name: /the↵ cat sat/ })).toHaveTextContent("9.5");
    expect(within(table).getByRole("row", { name: /#7/ })).toHaveTextContent("-3");
    await expectAccessible();
    await user.click(within(table).getByRole("link", { name: "Heat map of sample 41" }));
    expect(address()).toBe("/activations/act_1/samples?by=neuron&neuron=1&sample=41&token=5");
    await screen.findByRole("listbox", { name: "Tokens of sample 41 by neuron 1" });
  });

  test("are the least ones, and as many as one likes", async () => {
    const asked = tops();
    open("/top-tokens");
    await user.click(await screen.findByRole("radio", { name: "Least" }));
    await user.click(screen.getByRole("combobox", { name: "How many" }));
    await user.click(await screen.findByRole("option", { name: "100" }));
    await waitFor(() =>
      expect(asked.at(-1)).toEqual({
        hook_point: "layers.6.resid_post",
        along: {},
        least: true,
        count: 100,
      }),
    );
  });
});

describe("using it", () => {
  test("is shown as code that opens this very cache, without a barrier", async () => {
    open("/use");
    const code = await screen.findByLabelText("Python that opens this cache");
    expect(code).toHaveTextContent('open( "activations/0123456789abcdef" ).view(512)');
    expect(screen.getByLabelText("Python that trains on this cache")).toHaveTextContent(
      'batch.columns["layers.6.resid_post"]',
    );
    expect(screen.getByLabelText("commands that export this cache")).toHaveTextContent(
      "mistudio activations export act_1 ./cached --format saelens --context-size 128",
    );
    await expectAccessible();
  });

  test("exports by an address that the browser follows", async () => {
    const follow = vi.fn();
    vi.stubGlobal("location", { ...window.location, assign: follow });
    server.use(
      http.post("*/api/activations/act_1/download-link", () =>
        HttpResponse.json({
          url: "/api/activations/act_1/archive?ticket=t",
          file_name: "act_1.tar",
          bytes: 5,
          expires_at: "2100-01-01T00:00:00Z",
        } satisfies Schemas["DownloadLink"]),
      ),
    );
    open("/use");
    await user.click(await screen.findByRole("button", { name: "Export" }));
    await waitFor(() =>
      expect(follow).toHaveBeenCalledWith("/api/activations/act_1/archive?ticket=t"),
    );
    vi.unstubAllGlobals();
  });

  test("verifies in steps, and names what is damaged with the remedy", async () => {
    const asked: (string | null)[] = [];
    server.use(
      http.post("*/api/activations/act_1/verify", ({ request }) => {
        const after = new URL(request.url).searchParams.get("after");
        asked.push(after);
        return HttpResponse.json({
          verified_files: 2,
          verified_bytes: 50,
          total_files: 4,
          total_bytes: 100,
          next: after ? null : "tokens/00000.safetensors",
          damaged: after
            ? [{ path: "layers.6.resid_post/00001.safetensors", reason: "content" }]
            : [],
          remedy: after ? "Delete the cache and extract it again." : null,
        } satisfies Schemas["StoreVerification"]);
      }),
    );
    open("/use");
    await user.click(await screen.findByRole("button", { name: "Verify" }));
    const damaged = await screen.findByRole("table", { name: "Damaged files" });
    expect(damaged).toHaveTextContent("it has another content than was written");
    expect(screen.getByText("Delete the cache and extract it again.")).toBeVisible();
    expect(asked).toEqual([null, "tokens/00000.safetensors"]);
  });

  test("stops verifying when it is told to", async () => {
    let steps = 0;
    server.use(
      http.post("*/api/activations/act_1/verify", () => {
        steps += 1;
        if (steps > 1) return new Promise<never>(() => {});
        return HttpResponse.json({
          verified_files: 1,
          verified_bytes: 25,
          total_files: 4,
          total_bytes: 100,
          next: "x",
          damaged: [],
          remedy: null,
        } satisfies Schemas["StoreVerification"]);
      }),
    );
    open("/use");
    await user.click(await screen.findByRole("button", { name: "Verify" }));
    await waitFor(() =>
      expect(screen.getByRole("progressbar")).toHaveAttribute("aria-valuenow", "25"),
    );
    await user.click(screen.getByRole("button", { name: "Cancel" }));
    expect(await screen.findByText("Stopped after 1 of 4 files, all of them whole")).toBeVisible();
  });

  test("is no deleting for whoever may only read", async () => {
    signedIn("model:read");
    open("/use");
    await screen.findByRole("button", { name: "Verify" });
    expect(screen.queryByRole("button", { name: /Delete/ })).toBeNull();
  });
});
