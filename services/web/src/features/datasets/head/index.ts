/** The first rows of a file that is about to be uploaded. Readers come when they are needed. */
import type { Schemas } from "@/api/types";
import type { Table } from "./table";

export { type Column, type Kind, suggested, type Table } from "./table";
export { Unreadable } from "./unreadable";

export type Format = Schemas["DatasetFormat"];

/** So many rows are looked at. */
export const ROWS = 8;

const ENDINGS: Record<string, Format> = {
  jsonl: "jsonl",
  ndjson: "jsonl",
  json: "jsonl",
  txt: "text",
  text: "text",
  md: "text",
  csv: "csv",
  tsv: "csv",
  parquet: "parquet",
};
const SNIFFED = 64 * 1024;

/** Return a file's format, by its name's ending or else by what it begins with. */
export async function formatOf(file: File): Promise<Format> {
  const ending = file.name.split(".").at(-1)?.toLowerCase() ?? "";
  const named = ENDINGS[ending];
  if (named && file.name.includes(".")) return named;
  const start = new TextDecoder().decode(await file.slice(0, SNIFFED).arrayBuffer());
  if (start.startsWith("PAR1")) return "parquet";
  return start.trimStart().startsWith("{") ? "jsonl" : "text";
}

/**
 * Read the columns and the first rows of a file, of which only the beginning is read.
 *
 * @throws Unreadable saying where the file is not what its format promises
 */
export async function readHead(file: File, format: Format): Promise<Table> {
  switch (format) {
    case "jsonl":
      return (await import("./jsonl")).readJsonLines(file, ROWS);
    case "csv":
      return (await import("./csv")).readCsv(file, ROWS);
    case "parquet":
      return (await import("./parquet")).readParquet(file, ROWS);
    case "text":
      return (await import("./text")).readText(file, ROWS);
  }
}
