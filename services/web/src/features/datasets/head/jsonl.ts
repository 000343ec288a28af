/** JSON Lines: an object a line; a column is every key that a line has. */
import { beginning, filledLines } from "./lines";
import { kindOf, type Table } from "./table";
import { Unreadable } from "./unreadable";

/**
 * Read the first rows.
 *
 * @throws Unreadable naming the line
 */
export async function readJsonLines(file: Blob, most: number): Promise<Table> {
  const { text } = await beginning(file, most);
  const rows = filledLines(text)
    .slice(0, most)
    .map(({ number, line }) => object(line, number));
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const columns = names.map((name) => ({ name, kind: kindOf(rows.map((row) => row[name])) }));
  return { columns, rows, remark: null };
}

function object(line: string, number: number): Record<string, unknown> {
  const value = parsed(line, number);
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new Unreadable(
    `Line ${number} is not a JSON object. Write one a line, such as {"text": "A sample."}.`,
  );
}

function parsed(line: string, number: number): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw new Unreadable(`Line ${number} is not JSON. Write one JSON object a line.`);
  }
}
