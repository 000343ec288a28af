/** CSV with a header row; tabs for commas where the file's name ends so. */
import Papa from "papaparse";
import { beginning } from "./lines";
import type { Table } from "./table";
import { Unreadable } from "./unreadable";

const NOT_TEXT = [
  /^(0|-?[1-9]\d{0,17})$/,
  /^-?(0|[1-9]\d*)\.\d+([eE][+-]?\d+)?$/,
  /^(true|false|True|False)$/,
];

/**
 * Read the first rows.
 *
 * @throws Unreadable naming the row
 */
export async function readCsv(file: File, most: number): Promise<Table> {
  const { text, whole } = await beginning(file, most + 1);
  const { data, errors } = Papa.parse<string[]>(text, {
    delimiter: file.name.toLowerCase().endsWith(".tsv") ? "\t" : ",",
    preview: most + 1,
    skipEmptyLines: true,
  });
  const [header = [], ...found] = data;
  // A quoted field may go on behind what was read: then its row is not judged.
  const cut = !whole && errors.some((error) => error.code === "MissingQuotes");
  const rows = cut ? found.slice(0, -1) : found;
  const names = header.map((name, index) => name.trim() || `unnamed_${index}`);
  if (new Set(names).size < names.length) {
    throw new Unreadable("Two columns have the same name. Rename one of them.");
  }
  for (const [index, fields] of rows.entries()) {
    if (fields.length !== names.length) {
      throw new Unreadable(
        `Row ${index + 1} has ${fields.length} fields and the header ${names.length}. ` +
          "Give every row as many; quote fields that hold commas or quotes.",
      );
    }
  }
  return {
    columns: names.map((name, index) => ({
      name,
      kind: isText(rows.map((fields) => fields[index] ?? "")) ? "text" : "other",
    })),
    rows: rows.map((fields) => Object.fromEntries(names.map((name, i) => [name, fields[i]]))),
    remark: null,
  };
}

function isText(fields: readonly string[]): boolean {
  const filled = fields.filter(Boolean);
  return !filled.length || filled.some((field) => !NOT_TEXT.some((form) => form.test(field)));
}
