import { act, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { HttpResponse, http } from "msw";
import { beforeEach, describe, expect, test } from "vitest";
import type { Dataset } from "@/api/types";
import { useEntities } from "@/state/entities";
import { useUploads } from "@/state/uploads";
import { expectAccessible } from "@/testing/axe";
import { gateway, refusal } from "@/testing/gateway";
import { draw, signedIn } from "@/testing/render";
import { cache, dataset, extraction } from "@/testing/rows";
import { hold } from "@/testing/store";
import DatasetsPanel from "./DatasetsPanel";

const server = gateway();
const user = userEvent.setup({ delay: null });

function open(rows: readonly Partial<Dataset>[], at = "/datasets") {
  hold("datasets", rows.map(dataset));
  draw(<DatasetsPanel />, at);
}

const names = () =>
  within(screen.getByRole("table", { name: "Datasets" }))
    .getAllByRole("link")
    .map((link) => link.textContent);

const essays = () =>
  new File(
    ['{"title": "One", "text": "The first.", "n": 1}\n{"title": "Two", "text": "The second."}\n'],
    "essays.jsonl",
  );

const choose = (file: File) =>
  user.upload(document.querySelector("input[type=file]") as HTMLInputElement, file);

beforeEach(() => {
  signedIn("model:read", "model:write");
});

describe("the list", () => {
  test("shows the newest first, what went wrong with its remedy, and has no barrier", async () => {
    const error = {
      code: "VALIDATION_ERROR",
      message: "Line 17 is not JSON.",
      details: { remedy: "Write one JSON object a line." },
      timestamp: "2026-01-01T00:00:00Z",
    } as const;
    open([
      { id: "ds_1", name: "prose", created_at: "2026-01-01T00:00:00Z" },
      { id: "ds_2", name: "notes", created_at: "2026-01-02T00:00:00Z", status: "failed", error },
    ]);
    expect(names()).toEqual(["notes", "prose"]);
    expect(screen.getByText("Line 17 is not JSON. Write one JSON object a line.")).toBeVisible();
    await screen.findByText(/Drop a file anywhere/);
    await expectAccessible();
  });

  test("is sorted by a column's title, once more the other way round", async () => {
    open([
      { id: "ds_1", name: "small", sample_count: 5 },
      { id: "ds_2", name: "large", sample_count: 500 },
    ]);
    await user.click(screen.getByRole("button", { name: "Samples" }));
    expect(names()).toEqual(["large", "small"]);
    await user.click(screen.getByRole("button", { name: "Samples, sorted descending" }));
    expect(names()).toEqual(["small", "large"]);
  });

  test("is searched by what stands in the address", async () => {
    open(
      [
        { id: "ds_1", name: "prose" },
        { id: "ds_2", name: "wiki", identifier: "Salesforce/wikitext" },
      ],
      "/datasets?search=sales",
    );
    expect(names()).toEqual(["wiki"]);
    await user.clear(screen.getByRole("textbox", { name: "Search datasets" }));
    expect(names()).toHaveLength(2);
  });

  test("says where there is none how to get one, for a terminal too", async () => {
    open([]);
    expect(screen.getByRole("heading", { name: "No datasets yet" })).toBeVisible();
    expect(screen.getByText("mistudio datasets add ./texts.jsonl")).toBeVisible();
    await expectAccessible();
  });

  test("offers nothing that a reader may not do", () => {
    signedIn("model:read");
    open([{ id: "ds_1" }]);
    expect(screen.queryByRole("button", { name: /upload|register|delete/i })).toBeNull();
    expect(screen.queryByText(/Drop a file/)).toBeNull();
  });
});

describe("an upload", () => {
  test("shows the first rows, takes the chosen column and sends the file", async () => {
    let form: FormData | null = null;
    server.use(
      http.post("*/api/datasets/upload", async ({ request }) => {
        form = await request.formData();
        expect(request.headers.get("Authorization")).toMatch(/^Bearer/);
        return HttpResponse.json(dataset({ id: "ds_new", name: "My essays" }), { status: 201 });
      }),
    );
    open([]);
    await choose(essays());
    const dialog = await screen.findByRole("dialog", { name: "Upload essays.jsonl" });
    expect(await within(dialog).findByText("The first.")).toBeVisible();
    expect(within(dialog).getByRole("radio", { name: "text (text)" })).toBeChecked();
    expect(within(dialog).getByRole("radio", { name: "n (other)" })).toBeDisabled();
    await expectAccessible();

    await user.click(within(dialog).getByRole("radio", { name: "title (text)" }));
    const name = within(dialog).getByRole("textbox", { name: /Name/ });
    await user.clear(name);
    await user.type(name, "My essays");
    await user.click(within(dialog).getByRole("button", { name: /^Upload/ }));

    expect(await screen.findByRole("link", { name: "My essays" })).toBeVisible();
    const sent = form as unknown as FormData;
    expect([sent.get("name"), sent.get("format"), sent.get("text_column")]).toEqual([
      "My essays",
      "jsonl",
      "title",
    ]);
    expect(await (sent.get("file") as File).text()).toContain("The second.");
    expect(screen.queryByRole("region", { name: "Uploads" })).toBeNull();
  });

  test("tells how far it has come, and is cancelled", async () => {
    server.use(http.post("*/api/datasets/upload", () => new Promise<never>(() => {})));
    open([{ id: "ds_1" }]);
    await choose(essays());
    await user.click(await screen.findByRole("button", { name: /^Upload \d/ }));
    const uploads = await screen.findByRole("region", { name: "Uploads" });
    act(() =>
      useUploads.setState(({ uploads }) => ({
        uploads: uploads.map((each) => ({ ...each, sent: 25, total: 100 })),
      })),
    );
    expect(within(uploads).getByRole("progressbar")).toHaveAttribute("aria-valuenow", "25");
    await user.click(within(uploads).getByRole("button", { name: "Cancel the upload of essays" }));
    await waitFor(() => expect(screen.queryByRole("region", { name: "Uploads" })).toBeNull());
  });

  test("that is refused says why, and is sent again", async () => {
    let tries = 0;
    server.use(
      http.post("*/api/datasets/upload", () => {
        tries += 1;
        return tries === 1
          ? refusal(413, "PAYLOAD_TOO_LARGE", "The file is larger than 10 bytes.", {
              remedy: "Register it as a local dataset.",
            })
          : HttpResponse.json(dataset({ id: "ds_new", name: "essays" }), { status: 201 });
      }),
    );
    open([]);
    await choose(essays());
    await user.click(await screen.findByRole("button", { name: /^Upload \d/ }));
    const alert = await screen.findByRole("alert");
    expect(alert).toHaveTextContent("The file is larger than 10 bytes.");
    expect(alert).toHaveTextContent("Register it as a local dataset.");
    await user.click(screen.getByRole("button", { name: "Upload essays again" }));
    expect(await screen.findByRole("link", { name: "essays" })).toBeVisible();
  });

  test("of a file that is not its format warns before it is sent", async () => {
    open([]);
    await choose(new File(["no JSON"], "a.jsonl"));
    expect(await screen.findByText(/Line 1 is not JSON/)).toBeVisible();
  });
});

describe("registering", () => {
  test("asks for a path, and shows what the service says beside its field", async () => {
    server.use(
      http.post("*/api/datasets", () =>
        refusal(400, "VALIDATION_ERROR", "The path is outside the allowed roots.", {
          field: "identifier",
          remedy: "Start with --allow.",
        }),
      ),
    );
    open([]);
    await user.click(screen.getByRole("button", { name: "Register…" }));
    const dialog = await screen.findByRole("dialog", { name: "Register a dataset" });
    await user.type(within(dialog).getByRole("textbox", { name: /Path/ }), "/srv/a.jsonl");
    await user.click(within(dialog).getByRole("button", { name: "Register" }));
    const path = within(dialog).getByRole("textbox", { name: /Path/ });
    await waitFor(() => expect(path).toBeInvalid());
    expect(path).toHaveAccessibleDescription(/outside the allowed roots. Start with --allow./);
    await expectAccessible();
  });

  test("of a hub id sends subset and split, and names it by the id", async () => {
    let body: unknown;
    server.use(
      http.post("*/api/datasets", async ({ request }) => {
        body = await request.json();
        return HttpResponse.json(dataset({ id: "ds_w", name: "wikitext" }), { status: 201 });
      }),
    );
    open([]);
    await user.click(screen.getByRole("button", { name: "Register…" }));
    const dialog = await screen.findByRole("dialog", { name: "Register a dataset" });
    await user.click(within(dialog).getByRole("radio", { name: "On the Hugging Face hub" }));
    await user.type(within(dialog).getByRole("textbox", { name: /Hub id/ }), "Salesforce/wikitext");
    await user.type(within(dialog).getByRole("textbox", { name: "Subset" }), "wikitext-2-raw-v1");
    await user.click(within(dialog).getByRole("button", { name: "Register" }));
    expect(await screen.findByRole("link", { name: "wikitext" })).toBeVisible();
    expect(body).toMatchObject({
      source: "huggingface",
      identifier: "Salesforce/wikitext",
      name: "wikitext",
      split: "train",
      subset: "wikitext-2-raw-v1",
    });
  });
});

describe("deleting", () => {
  test("says what stays, and takes it off the list", async () => {
    server.use(http.delete("*/api/datasets/ds_1", () => new HttpResponse(null, { status: 204 })));
    hold("caches", [cache({ dataset_id: "ds_1" })]);
    open([{ id: "ds_1", name: "prose" }]);
    await user.click(screen.getByRole("button", { name: "Delete prose" }));
    const dialog = await screen.findByRole("dialog", { name: "Delete prose?" });
    expect(dialog).toHaveTextContent("1 activation cache made from it stays");
    await expectAccessible();
    await user.click(within(dialog).getByRole("button", { name: "Delete" }));
    await waitFor(() => expect(useEntities.getState().datasets).toEqual({}));
  });

  test("that is refused says why", async () => {
    server.use(
      http.delete("*/api/datasets/ds_1", () =>
        refusal(409, "STATUS_CONFLICT", "1 extraction over this dataset is queued or running.", {
          remedy: "Wait for them, or cancel them first.",
        }),
      ),
    );
    hold("extractions", [extraction({ dataset_id: "ds_1", status: "extracting" })]);
    open([{ id: "ds_1", name: "prose" }]);
    await user.click(screen.getByRole("button", { name: "Delete prose" }));
    const dialog = await screen.findByRole("dialog", { name: "Delete prose?" });
    expect(dialog).toHaveTextContent("An extraction over it is queued or running");
    await user.click(within(dialog).getByRole("button", { name: "Delete" }));
    expect(await within(dialog).findByRole("alert")).toHaveTextContent("cancel them first");
  });
});
