import { describe, expect, test } from "vitest";
import { readLayers, writeLayers } from "./layers";

describe("layers are read as the contract reads them", () => {
  test.each([
    ["", []],
    ["0,6,11", [0, 6, 11]],
    ["11, 6 ,0,6", [0, 6, 11]],
    ["0-3", [0, 1, 2, 3]],
    ["-1", [11]],
    ["-3--1", [9, 10, 11]],
    ["9--1", [9, 10, 11]],
    ["-12-0", [0]],
    ["0-1,-1", [0, 1, 11]],
    ["all", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]],
  ])("%j of twelve", (text, layers) => {
    expect(readLayers(text, 12)).toEqual({ layers, error: null });
  });

  test.each([
    ["12", /12 layers, -12 to 11; there is no layer 12/],
    ["-13", /there is no layer -13/],
    ["5-3", /The range 5-3 ends before it begins/],
    ["-1-0", /The range -1-0 ends before it begins/],
    ["1,,2", /Write layers as/],
    ["01", /Write layers as/],
    ["ALL", /Write layers as/],
    ["1-2-3", /Write layers as/],
    ["1.5", /Write layers as/],
  ])("%j is refused", (text, error) => {
    expect(readLayers(text, 12)).toEqual({ layers: null, error: expect.stringMatching(error) });
  });
});

describe("layers are written as briefly as they can be read", () => {
  test.each([
    [[], ""],
    [[0], "0"],
    [[0, 1], "0,1"],
    [[0, 1, 2], "0-2"],
    [[0, 2, 3, 4, 5, 11], "0,2-5,11"],
    [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], "all"],
  ])("%j of twelve is %j, and reads as what it was", (layers, text) => {
    expect(writeLayers(layers, 12)).toBe(text);
    expect(readLayers(text, 12).layers).toEqual(layers);
  });

  test("the only layer of a model has its number", () => expect(writeLayers([0], 1)).toBe("0"));
});
