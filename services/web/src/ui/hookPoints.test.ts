import { expect, test } from "vitest";
import { kindOf, layerOf, layerRanges, shortHookPoints } from "./hookPoints";

test("a hook point's name tells its block and its kind", () => {
  expect([layerOf("layers.6.resid_post"), kindOf("layers.6.resid_post")]).toEqual([
    6,
    "resid_post",
  ]);
  expect([layerOf("final_norm"), kindOf("final_norm")]).toEqual([null, "final_norm"]);
});

test.each([
  [[0, 1], "0, 1"],
  [[5, 0, 1, 2], "0–2, 5"],
  [[3], "3"],
])("layers %s read %s", (layers, words) => expect(layerRanges(layers)).toBe(words));

test("hook points are told by kind", () => {
  const names = ["embed", "layers.0.resid_post", "layers.0.z", "layers.1.resid_post"];
  expect(shortHookPoints(names)).toEqual(["embed", "resid_post 0, 1", "z 0"]);
});
