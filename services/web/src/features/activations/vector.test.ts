import { describe, expect, test } from "vitest";
import { openNpy } from "./npy";
import { parseText } from "./vector";

/** What `numpy.save` writes. */
function npy(descr: string, shape: string, data: ArrayBuffer, order = "False"): Blob {
  const header = `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': ${shape}, }`;
  const padded = header.padEnd(118 - 1, " ").concat("\n");
  const magic = [0x93, ...new TextEncoder().encode("NUMPY"), 1, 0, padded.length & 255, 0];
  return new Blob([new Uint8Array(magic), new TextEncoder().encode(padded), data]);
}

describe("numbers that are pasted", () => {
  test.each([
    ["[0.5, -1, 2e-3]"],
    ["0.5 -1\n2e-3"],
    ["0.5, -1, 2e-3"],
    ["tensor([ 0.5, -1.0, 0.002])"],
    ["array([0.5, -1. , 0.002], dtype=float32)"],
    ["[ 0.5 -1.   0.002]"],
  ])("%s is a vector", async (text) => {
    const vectors = parseText(text);
    expect([vectors.rows, vectors.width]).toEqual([1, 3]);
    expect(await vectors.row(0)).toEqual([0.5, -1, 0.002]);
  });

  test("several lists are rows to choose from", async () => {
    const vectors = parseText("[[1, 2], [3, 4]]");
    expect(vectors.rows).toBe(2);
    expect(await vectors.row(1)).toEqual([3, 4]);
  });

  test.each([
    ["", "There is no number in it."],
    ["[1, 2, x]", "“x” is no number."],
    ["[[1, 2], [3]]", "Its rows are not of one length."],
    ["[0.1 0.2 ... 0.9]", "It is shortened"],
  ])("%s is told to be none", (text, why) => expect(() => parseText(text)).toThrow(why));
});

describe("a .npy file", () => {
  test("of one vector is read", async () => {
    const vectors = await openNpy(npy("<f4", "(3,)", new Float32Array([0.5, -1, 2]).buffer));
    expect([vectors.rows, vectors.width]).toEqual([1, 3]);
    expect(await vectors.row(0)).toEqual([0.5, -1, 2]);
  });

  test("of a matrix gives the row that is asked for", async () => {
    const data = new Float64Array([1, 2, 3, 4, 5, 6]).buffer;
    const vectors = await openNpy(npy("<f8", "(3, 2)", data));
    expect([vectors.rows, vectors.width]).toEqual([3, 2]);
    expect(await vectors.row(2)).toEqual([5, 6]);
  });

  test("of float16 is read exactly", async () => {
    const bits = new Uint16Array([0x3c00, 0xc000, 0x3555, 0x0001]);
    const vectors = await openNpy(npy("<f2", "(4,)", bits.buffer));
    expect(await vectors.row(0)).toEqual([1, -2, 0.333251953125, 2 ** -24]);
  });

  test("of a column is a vector", async () => {
    const vectors = await openNpy(npy("<i4", "(2, 1)", new Int32Array([7, -8]).buffer, "True"));
    expect(await vectors.row(0)).toEqual([7, -8]);
  });

  test.each([
    [npy("<f4", "(1, 2, 3)", new ArrayBuffer(24)), "shape (1, 2, 3)"],
    [npy("<f4", "(2, 2)", new ArrayBuffer(16), "True"), "Fortran"],
    [npy("|O", "(2,)", new ArrayBuffer(16)), "It holds O"],
    [new Blob(["PK"]), "no .npy file"],
  ])("that is something else is told to be so", async (file, why) => {
    await expect(openNpy(file)).rejects.toThrow(why);
  });
});
