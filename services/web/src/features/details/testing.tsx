/** A model's details over a gateway that answers as a test wants. */
import { configure } from "@testing-library/react";
import userEvent, { PointerEventsCheckLevel } from "@testing-library/user-event";
import { HttpResponse, http } from "msw";
import { Outlet, Route, Routes, useLocation } from "react-router";
import { afterAll, beforeAll } from "vitest";
import type { Model, ModelSummary, Schemas } from "@/api/types";
import { draw } from "@/testing/render";
import { formatEstimate, model } from "@/testing/rows";
import { isOutside, KINDS } from "./extract/hooks";
import ModelDetails from "./ModelDetails";

/** Somebody at the keyboard and the mouse; whether styles let a click through is not looked up. */
export const user = userEvent.setup({
  delay: null,
  pointerEventsCheck: PointerEventsCheckLevel.Never,
});

/**
 * Find by role without asking of each element whether a style hides it: here are no styles, and of
 * a whole screen it takes most of the time.
 */
export function withoutStyles(): void {
  beforeAll(() => configure({ defaultHidden: true }));
  afterAll(() => configure({ defaultHidden: false }));
}

/** Draw the details at an address. */
export function show(at: string) {
  return draw(
    <>
      <Routes>
        <Route path="/models" element={<Outlet />}>
          <Route path=":modelId/*" element={<ModelDetails />} />
        </Route>
        <Route path="*" element={null} />
      </Routes>
      <Here />
    </>,
    at,
  );
}

/** Tells where the router is. */
function Here() {
  const { pathname, search } = useLocation();
  return <span data-testid="here">{pathname + search}</span>;
}

export function full(change: Partial<Model> = {}): Model {
  return {
    ...model(change),
    config: { model_type: "gpt2", n_layer: 12 },
    fidelity: null,
    ...change,
  };
}

/** The hook points of a model, but for kinds that it refuses. */
export function hookPoints(
  { id, num_layers }: ModelSummary,
  refused: Record<string, string> = {},
): Schemas["HookPointList"] {
  const points: Schemas["HookPointShape"][] = [];
  for (const kind of KINDS.filter((each) => !refused[each])) {
    const shape = { kind, width: 768, heads: kind.length === 1 ? 12 : null };
    const layers = isOutside(kind) ? [null] : Array.from({ length: num_layers ?? 0 }, (_, n) => n);
    for (const layer of layers) {
      points.push({
        ...shape,
        layer,
        hook_point: layer === null ? kind : `layers.${layer}.${kind}`,
      });
    }
  }
  return { model_id: id, num_layers: num_layers ?? 0, hook_points: points, refused };
}

export function fit(quantization: Schemas["Quantization"]): Schemas["FormatEstimate"] {
  return formatEstimate({ quantization, total_bytes: 500e6, batch_size: 8, disk_bytes: 500e6 });
}

export function estimate(
  change: Partial<Schemas["ExtractionEstimate"]> = {},
): Schemas["ExtractionEstimate"] {
  return {
    estimated_time_seconds: 14.2,
    estimated_bytes: 118e6,
    available_bytes: 100e9,
    total_tokens: 12_780,
    rows_sampled: 256,
    cached: false,
    unknown: null,
    ...change,
  };
}

/** What the gateway answers to who only looks. */
export function looking(row: Model, refused: Record<string, string> = {}) {
  const at = `*/api/models/${row.id}`;
  return [
    http.get(at, () => HttpResponse.json(row)),
    http.get(`${at}/hook-points`, () => HttpResponse.json(hookPoints(row, refused))),
    http.get(`${at}/estimate`, () =>
      HttpResponse.json({
        model_id: row.id,
        model_identifier: row.model_identifier,
        model_type: "gpt2",
        num_layers: 12,
        parameter_count: 124_439_808,
        device_id: "dev_1",
        budget_bytes: 6e9,
        used_bytes: 0,
        free_bytes: 6e9,
        formats: (["none", "fp16", "bf16", "int8", "int4"] as const).map(fit),
        recommended: "none",
        message: "",
      } satisfies Schemas["Estimate"]),
    ),
    http.post(`${at}/extract-activations/estimate`, () => HttpResponse.json(estimate())),
  ];
}
