import { describe, expect, test } from "vitest";
import { formatOf, readHead, suggested } from ".";

// Three rows of text, input_ids and score, as pyarrow writes them with each codec.
const SNAPPY =
  "UEFSMRUEFS4VMEwVBhUAEgAAFxgDAAAAb25lAQcsdHdvBQAAAHRocmVlFQAVFBUYLBUGFRAVBhUGHAAAAAokAgAAAAYBAgMkABUEFTAVNEwVDBUAEgAAGFwBAAAAAgAAAAMAAAAEAAAABQAAAAYAAAAVABUiFSYsFQwVEBUGFQYcAAAAEUACAAAAAzICAAAADAMDA4jGAhUEFTAVLEwVBhUAEgAAGAAABQEE4D8FBygA+D8AAAAAAAAEQBUAFRQVGCwVBhUQFQYVBhwAAAAKJAIAAAAGAQIDJAAVBBlsNQAYBnNjaGVtYRUGABUMJQIYBHRleHQlAEwcAAAANQIYCWlucHV0X2lkcxUCFQZMPAAAADUEGARsaXN0FQIAFQIlAhgHZWxlbWVudAAVCiUCGAVzY29yZQAWBhkcGTwmABwVDBk1AAYQGRgEdGV4dBUCFgYWhAEWigEmVCYIKSwVBBUAFQIAFQAVEBUCADwWFhkGGSYABgAAACYAHBUCGTUABhAZOAlpbnB1dF9pZHMEbGlzdAdlbGVtZW50FQIWDBaUARacASbiASaSASksFQQVABUCABUAFRAVAgA8KSYGBhlGAAAADAAAACYAHBUKGTUABhAZGAVzY29yZRUCFgYWhgEWhgEm9gImrgIpLBUEFQAVAgAVABUQFQIAPCkGGSYABgAAABaeAxYGJggWrAMAKCBwYXJxdWV0LWNwcC1hcnJvdyB2ZXJzaW9uIDI2LjAuMRk8HAAAHAAAHAAAAGQBAABQQVIx";
const ZSTD =
  "UEFSMRUEFS4VQEwVBhUAEgAAKLUv/SAXuQAAAwAAAG9uZQMAAAB0d28FAAAAdGhyZWUVABUUFSYsFQYVEBUGFQYcAAAAKLUv/SAKUQAAAgAAAAYBAgMkABUEFTAVQkwVDBUAEgAAKLUv/SAYwQAAAQAAAAIAAAADAAAABAAAAAUAAAAGAAAAFQAVIhU0LBUMFRAVBhUGHAAAACi1L/0gEYkAAAIAAAADMgIAAAAMAwMDiMYCFQQVMBVCTBUGFQASAAAotS/9IBjBAAAAAAAAAADgPwAAAAAAAPg/AAAAAAAABEAVABUUFSYsFQYVEBUGFQYcAAAAKLUv/SAKUQAAAgAAAAYBAgMkABUEGWw1ABgGc2NoZW1hFQYAFQwlAhgEdGV4dCUATBwAAAA1AhgJaW5wdXRfaWRzFQIVBkw8AAAANQQYBGxpc3QVAgAVAiUCGAdlbGVtZW50ABUKJQIYBXNjb3JlABYGGRwZPCYAHBUMGTUABhAZGAR0ZXh0FQwWBhaEARaoASZkJggpLBUEFQAVAgAVABUQFQIAPBYWGQYZJgAGAAAAJgAcFQIZNQAGEBk4CWlucHV0X2lkcwRsaXN0B2VsZW1lbnQVDBYMFpQBFrgBJo4CJrABKSwVBBUAFQIAFQAVEBUCADwpJgYGGUYAAAAMAAAAJgAcFQoZNQAGEBkYBXNjb3JlFQwWBhaGARaqASbGAyboAiksFQQVABUCABUAFRAVAgA8KQYZJgAGAAAAFp4DFgYmCBaKBAAoIHBhcnF1ZXQtY3BwLWFycm93IHZlcnNpb24gMjYuMC4xGTwcAAAcAAAcAAAAZAEAAFBBUjE=";
const GZIP =
  "UEFSMRUEFS4VTkwVBhUAEgAAH4sIAAAAAAACA2NmYGDIz0tlBlIl5fmsICqjKDUVAIMM+mYXAAAAFQAVFBU8LBUGFRAVBhUGHAAAAB+LCAAAAAAAAgNjYmBgYGNkYlZhAACS5eFVCgAAABUEFTAVSEwVDBUAEgAAH4sIAAAAAAACA2NkYGBgAmJmIGYBYlYgZgNiAL4Hb68YAAAAFQAVIhVGLBUMFRAVBhUGHAAAAB+LCAAAAAAAAgNjYmBgYDZiApI8zMzMHceYANaKzogRAAAAFQQVMBVCTBUGFQASAAAfiwgAAAAAAAIDY2AAgQf2YIrhB5RmcQAAWTuy9RgAAAAVABUUFTwsFQYVEBUGFQYcAAAAH4sIAAAAAAACA2NiYGBgY2RiVmEAAJLl4VUKAAAAFQQZbDUAGAZzY2hlbWEVBgAVDCUCGAR0ZXh0JQBMHAAAADUCGAlpbnB1dF9pZHMVAhUGTDwAAAA1BBgEbGlzdBUCABUCJQIYB2VsZW1lbnQAFQolAhgFc2NvcmUAFgYZHBk8JgAcFQwZNQAGEBkYBHRleHQVBBYGFoQBFswBJnImCCksFQQVABUCABUAFRAVAgA8FhYZBhkmAAYAAAAmABwVAhk1AAYQGTgJaW5wdXRfaWRzBGxpc3QHZWxlbWVudBUEFgwWlAEW0AEmuAIm1AEpLBUEFQAVAgAVABUQFQIAPCkmBgYZRgAAAAwAAAAmABwVChk1AAYQGRgFc2NvcmUVBBYGFoYBFsABJoIEJqQDKSwVBBUAFQIAFQAVEBUCADwpBhkmAAYAAAAWngMWBiYIFtwEACggcGFycXVldC1jcHAtYXJyb3cgdmVyc2lvbiAyNi4wLjEZPBwAABwAABwAAABkAQAAUEFSMQ==";

const named = (name: string, ...parts: BlobPart[]) => new File(parts, name);
const parquet = (base64: string) =>
  named(
    "rows.parquet",
    Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)),
  );
const kinds = ({ columns }: { columns: readonly { name: string; kind: string }[] }) =>
  Object.fromEntries(columns.map(({ name, kind }) => [name, kind]));

describe("JSON Lines", () => {
  test("columns are what any of the first rows has", async () => {
    const file = named(
      "a.jsonl",
      '\ufeff{"text": "one", "n": 1}\n\n{"text": "two", "ids": [1, 2], "odd": "x"}\r\n{"odd": 3}\n',
    );
    const head = await readHead(file, "jsonl");
    expect(kinds(head)).toEqual({ text: "text", n: "other", ids: "tokens", odd: "other" });
    expect(head.rows).toHaveLength(3);
    expect(suggested(head.columns)).toBe("text");
  });

  test("of many rows only the first few are read, and a line that is cut off is not judged", async () => {
    const line = `${JSON.stringify({ text: "x".repeat(60_000) })}\n`;
    const head = await readHead(named("a.jsonl", line.repeat(20)), "jsonl");
    expect(head.rows).toHaveLength(8);
  });

  test.each([
    ['{"text": "one"}\nnot JSON', "Line 2 is not JSON"],
    ["[1, 2]", "Line 1 is not a JSON object"],
  ])("%j is told to be something else", async (text, why) => {
    await expect(readHead(named("a.jsonl", text), "jsonl")).rejects.toThrow(why);
  });

  test("what is not UTF-8 is told to be so", async () => {
    const file = named("a.jsonl", new Uint8Array([0x7b, 0xff, 0x7d]));
    await expect(readHead(file, "jsonl")).rejects.toThrow("not UTF-8");
  });
});

describe("CSV", () => {
  test("a column of numbers or of true and false is no text, all else is", async () => {
    const file = named("a.csv", 'name,n,yes,zip\n"a, b",1.5,true,01\n"two\nlines",2.0,false,02\n');
    const head = await readHead(file, "csv");
    expect(kinds(head)).toEqual({ name: "text", n: "other", yes: "other", zip: "text" });
    expect(head.rows[1]?.name).toBe("two\nlines");
  });

  test("tabs part the fields of a .tsv file", async () => {
    const head = await readHead(named("a.tsv", "text\tn\nhello, you\t1\n"), "csv");
    expect(head.rows).toEqual([{ text: "hello, you", n: "1" }]);
  });

  test.each([
    ["a,b\n1\n", "Row 1 has 1 fields and the header 2"],
    ["a,a\n1,2\n", "same name"],
  ])("%j is told to be wrong", async (text, why) => {
    await expect(readHead(named("a.csv", text), "csv")).rejects.toThrow(why);
  });
});

describe("Parquet", () => {
  test.each([
    ["snappy", SNAPPY],
    ["zstd", ZSTD],
  ])("columns and rows of a file with %s are read", async (_, base64) => {
    const head = await readHead(parquet(base64), "parquet");
    expect(kinds(head)).toEqual({ text: "text", input_ids: "tokens", score: "other" });
    expect(head.rows[2]).toEqual({ text: "three", input_ids: [4, 5, 6], score: 2.5 });
    expect(head.remark).toBeNull();
  });

  test("of another codec the columns alone are shown, and it is said", async () => {
    const head = await readHead(parquet(GZIP), "parquet");
    expect(kinds(head).text).toBe("text");
    expect(head.rows).toEqual([]);
    expect(head.remark).toContain("text (compressed with GZIP)");
  });

  test("what is no Parquet is told to be so", async () => {
    await expect(readHead(named("a.parquet", "PAR1 and no more"), "parquet")).rejects.toThrow(
      "not readable Parquet",
    );
  });
});

test("of plain text each line that is not empty is a sample", async () => {
  const head = await readHead(named("a.txt", "one\n\n  \ntwo"), "text");
  expect(head.rows).toEqual([{ text: "one" }, { text: "two" }]);
});

test.each([
  ["a.NDJSON", "", "jsonl"],
  ["a.md", "", "text"],
  ["a.tsv", "", "csv"],
  ["rows", '\n{"a": 1}', "jsonl"],
  ["rows", "PAR1...", "parquet"],
  ["rows", "prose", "text"],
])("the format of %s that begins with %j is %s", async (name, text, format) => {
  expect(await formatOf(named(name, text))).toBe(format);
});

test.each([
  [["body", "input_ids"], ["text", "tokens"], "input_ids"],
  [["n", "body"], ["other", "text"], "body"],
  [["text", "body"], ["other", "text"], "body"],
  [["n"], ["other"], null],
] as const)("of %s that hold %s, %s is taken", (names, held, chosen) => {
  const columns = names.map((name, index) => ({ name, kind: held[index] ?? "other" }));
  expect(suggested(columns)).toBe(chosen);
});
