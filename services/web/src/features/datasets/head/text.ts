/** Plain text: one sample a line that holds anything but white space. */
import { beginning, filledLines } from "./lines";
import type { Table } from "./table";

/** Read the first rows. */
export async function readText(file: Blob, most: number): Promise<Table> {
  const { text } = await beginning(file, most);
  const rows = filledLines(text)
    .slice(0, most)
    .map(({ line }) => ({ text: line }));
  return { columns: [{ name: "text", kind: "text" }], rows, remark: null };
}
