import { screen, within } from "@testing-library/react";
import { expect, test } from "vitest";
import { put } from "@/state/entities";
import { draw } from "@/testing/render";
import { device, extraction, model } from "@/testing/rows";
import { hold } from "@/testing/store";
import DevicePanel from "./DevicePanel";
import { portionsOf } from "./portions";

test("memory is shared out among models, captures, others and what is free", () => {
  const models = { m_gpt2_1: model({ status: "ready", memory_usage_bytes: 2e9 }) };
  const shared = portionsOf(
    device({
      memory_total_bytes: 10e9,
      memory_used_bytes: 3e9,
      memory_free_bytes: 4e9,
      resident_models: ["m_gpt2_1"],
    }),
    models,
  );
  expect(shared.map(({ label, bytes }) => [label, bytes])).toEqual([
    ["GPT-2", 2e9],
    ["Captures and workspace", 1e9],
    ["Other processes", 3e9],
    ["Free", 4e9],
  ]);
});

test("without a figure of what is free no other process is made up", () => {
  const shared = portionsOf(device({ memory_total_bytes: 10e9, memory_free_bytes: null }), {});
  expect(shared.find(({ key }) => key === "others")?.bytes).toBe(0);
  expect(shared.find(({ key }) => key === "free")?.bytes).toBe(10e9);
});

test("the queue shows what runs before what waits", () => {
  hold("devices", [device()]);
  put("models", [model({ status: "loading", stage: "downloading", progress: 40 })]);
  put("extractions", [
    extraction({ extraction_id: "ext_2", created_at: "2026-01-01T00:00:00Z" }),
    extraction({ extraction_id: "ext_1", status: "extracting", progress: 50 }),
  ]);
  draw(<DevicePanel />);
  const queue = screen.getByRole("region", { name: "Queue" });
  expect(
    within(queue)
      .getAllByText(/^(loading|extracting|queued)$/)
      .map((e) => e.textContent),
  ).toEqual(["loading", "extracting", "queued"]);
  expect(
    within(queue)
      .getAllByRole("progressbar")
      .map((e) => e.getAttribute("aria-valuenow")),
  ).toEqual(["40", "50", "0"]);
});

test("a format whose kernels do not run says why", () => {
  hold("devices", [device({ unavailable_formats: { int8: "no kernel for aarch64" } })]);
  draw(<DevicePanel />);
  expect(screen.getByText(/no kernel for aarch64/)).toBeVisible();
});
