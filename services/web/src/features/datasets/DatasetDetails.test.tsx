import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { HttpResponse, http } from "msw";
import { Route, Routes } from "react-router";
import { beforeEach, describe, expect, test } from "vitest";
import type { Schemas } from "@/api/types";
import { expectAccessible } from "@/testing/axe";
import { gateway, refusal } from "@/testing/gateway";
import { draw, signedIn } from "@/testing/render";
import { cache, dataset, extraction, model } from "@/testing/rows";
import { hold } from "@/testing/store";
import DatasetDetails from "./DatasetDetails";

const server = gateway();
const user = userEvent.setup({ delay: null });

const PROSE = dataset({
  columns: { text: "text", title: "text", n: "other" },
  preview: [{ text: "The first sample.", title: "One", n: 1 }],
});

function lengths(change: Partial<Schemas["TokenLengths"]> = {}): Schemas["TokenLengths"] {
  return {
    rows_counted: 500,
    total_rows: 500,
    tokens: 5000,
    estimated_total_tokens: 5000,
    shortest: 1,
    median: 9,
    longest: 40,
    context_length: 1024,
    over_context: 0,
    bins: [
      { from_tokens: 0, to_tokens: 19, rows: 450 },
      { from_tokens: 20, to_tokens: 39, rows: 50 },
    ],
    ...change,
  } as Schemas["TokenLengths"];
}

function open(found: Schemas["TokenLengths"] = lengths()) {
  const asked: URL[] = [];
  server.use(
    http.get("*/api/datasets/ds_prose_1", () => HttpResponse.json(PROSE)),
    http.get("*/api/models/:id/token-lengths", ({ request }) => {
      asked.push(new URL(request.url));
      return HttpResponse.json(found);
    }),
  );
  hold("datasets", [{ ...PROSE, preview: [] }]);
  hold("models", [
    model({ fingerprint: "f".repeat(32), status: "ready" }),
    model({ id: "m_b", name: "Pythia", fingerprint: "e".repeat(32) }),
    model({ id: "m_c", name: "Unprepared" }),
  ]);
  hold("caches", [cache(), cache({ id: "act_2", dataset_id: "ds_other" })]);
  hold("extractions", [extraction({ status: "extracting" })]);
  draw(
    <Routes>
      <Route path="/datasets/:datasetId" element={<DatasetDetails />} />
    </Routes>,
    "/datasets/ds_prose_1",
  );
  return asked;
}

beforeEach(() => signedIn("model:read", "model:write"));

describe("a dataset", () => {
  test("shows its rows, its columns and what was made from it, without a barrier", async () => {
    open();
    const rows = await screen.findByRole("table", { name: "First rows" });
    expect(await within(rows).findByText("The first sample.")).toBeVisible();
    const caches = screen.getByRole("region", { name: "Caches made from it" });
    expect(within(caches).getByRole("link", { name: "GPT-2" })).toHaveAttribute(
      "href",
      "/activations/act_1",
    );
    expect(within(caches).getAllByRole("row")).toHaveLength(1);
    const extractions = screen.getByRole("region", { name: "Extractions over it" });
    expect(within(extractions).getByText("extracting")).toBeVisible();
    await screen.findByRole("figure", { name: /Rows by their length/ });
    await expectAccessible();
  });

  test("leads to an extraction from it, of a model that is chosen", async () => {
    open();
    await user.click(await screen.findByRole("button", { name: "Extract activations" }));
    expect(await screen.findByRole("menuitem", { name: /GPT-2/ })).toHaveAttribute(
      "href",
      "/models/m_gpt2_1/extract?dataset=ds_prose_1",
    );
  });

  test("that is gone says so", async () => {
    server.use(
      http.get("*/api/datasets/:id", () => refusal(404, "DATASET_NOT_FOUND", "No such dataset.")),
    );
    draw(
      <Routes>
        <Route path="/datasets/:datasetId" element={<DatasetDetails />} />
      </Routes>,
      "/datasets/ds_gone",
    );
    expect(await screen.findByRole("heading", { name: "There is no such dataset" })).toBeVisible();
    await expectAccessible();
  });
});

describe("how long its rows are", () => {
  test("is told in the tokens of a model that has a tokenizer", async () => {
    const asked = open();
    const tokens = await screen.findByRole("region", { name: "Tokens" });
    expect(await within(tokens).findByText("5,000")).toBeVisible();
    const bins = within(tokens).getByRole("table");
    expect(within(bins).getByRole("row", { name: "0–19 450" })).toBeInTheDocument();
    expect(asked[0]?.pathname).toBe("/api/models/m_gpt2_1/token-lengths");
    expect(asked[0]?.searchParams.get("dataset_id")).toBe("ds_prose_1");

    await user.click(within(tokens).getByRole("combobox", { name: "Model" }));
    expect(screen.queryByRole("option", { name: "Unprepared" })).toBeNull();
    await user.click(await screen.findByRole("option", { name: "Pythia" }));
    await waitFor(() => expect(asked.at(-1)?.pathname).toBe("/api/models/m_b/token-lengths"));
  });

  test("is counted in another column where one is chosen", async () => {
    const asked = open();
    await user.click(await screen.findByRole("combobox", { name: "Column" }));
    await user.click(await screen.findByRole("option", { name: "title" }));
    await waitFor(() => expect(asked.at(-1)?.searchParams.get("column")).toBe("title"));
  });

  test("says what is over the context, and that only some rows were counted", async () => {
    open(lengths({ total_rows: 40_000, estimated_total_tokens: 400_000, over_context: 12 }));
    expect(await screen.findByText("about 400,000")).toBeVisible();
    expect(screen.getByText("12 of 500 rows").parentElement).toHaveTextContent(
      "12 of 500 rows (2.4 %) are longer than the context.",
    );
    expect(screen.getByText(/Counted in 500 of 40,000 rows/)).toBeVisible();
  });

  test("that cannot be told says why", async () => {
    open();
    server.use(
      http.get("*/api/models/:id/token-lengths", () =>
        refusal(400, "VALIDATION_ERROR", "The model has no tokenizer.", {
          remedy: "Use token ids.",
        }),
      ),
    );
    expect(await screen.findByText("The model has no tokenizer.")).toBeVisible();
    expect(screen.getByText("Use token ids.")).toBeVisible();
  });
});
