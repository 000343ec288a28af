import { expect, test } from "vitest";
import { type Choice, captureOf, firstChoice } from "./choice";
import { commandOf, pythonOf } from "./elsewhere";

function capture(change: Partial<Choice>) {
  const found = captureOf({ ...firstChoice(12), datasetId: "ds_prose_1", ...change }, 12);
  if (!found) throw new Error("the choice names nothing to capture");
  return found;
}

test("what is left as it is stands in neither", () => {
  expect(commandOf("m_gpt2_1", capture({}))).toBe(
    "mistudio extract m_gpt2_1 ds_prose_1 \\\n  --layers 0,6,11 \\\n  --hook-kinds resid_post",
  );
});

test("a command has an option for each field", () => {
  const command = commandOf(
    "m_gpt2_1",
    capture({
      kinds: ["embed", "z", "resid_post"],
      layers: "-1",
      samples: 100,
      dtype: "float16",
      column: "the text",
      maxLength: 256,
      longer: "windows",
      stride: 128,
      specialTokens: false,
      batchSize: 8,
    }),
  );
  expect(command.split(" \\\n  ")).toEqual([
    "mistudio extract m_gpt2_1 ds_prose_1",
    "--layers=-1",
    "--hook-kinds z,resid_post",
    "--hook-points embed",
    "--samples 100",
    "--dtype float16",
    "--column 'the text'",
    "--max-length 256",
    "--stride 128",
    "--no-special-tokens",
    "--batch-size 8",
  ]);
});

test("what is cut is said by a flag", () => {
  expect(commandOf("m_gpt2_1", capture({ longer: "truncate", stride: 128 }))).toMatch(
    /--truncate$/,
  );
});

test("hook points outside the blocks need no layers", () => {
  expect(commandOf("m_gpt2_1", capture({ kinds: ["embed"], layers: "" }))).toBe(
    "mistudio extract m_gpt2_1 ds_prose_1 \\\n  --hook-points embed",
  );
});

test("Python names the arguments of the client", () => {
  const python = pythonOf(
    "m_gpt2_1",
    capture({ kinds: ["embed", "z"], layers: "all", specialTokens: false, longer: "truncate" }),
  );
  expect(python).toContain(
    [
      "    asked = client.extract(",
      '        "m_gpt2_1",',
      '        "ds_prose_1",',
      '        layer_indices="all",',
      '        hook_kinds=["z"],',
      '        hook_points=["embed"],',
      "        add_special_tokens=False,",
      "        truncate=True,",
      "    )",
    ].join("\n"),
  );
});
