/** Parquet: the footer tells the columns, and of the first row group only small parts are read. */
import { decompress } from "fzstd";
import {
  type ColumnMetaData,
  type Compressors,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
  type SchemaTree,
} from "hyparquet";
import type { Kind, Table } from "./table";
import { Unreadable } from "./unreadable";

/** A column of the first row group that is larger is not read for a few rows of it. */
const MOST_BYTES = 32 * 1024 * 1024;
const INTEGERS = new Set(["INT32", "INT64"]);
const COMPRESSORS: Compressors = {
  ZSTD: (input, length) => decompress(input, new Uint8Array(length)),
};
const READABLE = new Set(["UNCOMPRESSED", "SNAPPY", ...Object.keys(COMPRESSORS)]);

/**
 * Read the columns and the first rows.
 *
 * @throws Unreadable where it is no Parquet file
 */
export async function readParquet(blob: Blob, most: number): Promise<Table> {
  const file = {
    byteLength: blob.size,
    slice: (start: number, end?: number) => blob.slice(start, end).arrayBuffer(),
  };
  try {
    const metadata = await parquetMetadataAsync(file);
    const columns = parquetSchema(metadata).children.map((column) => ({
      name: column.element.name,
      kind: kindOf(column),
    }));
    const { readable, remark } = whatIsReadable(
      metadata,
      columns.map(({ name }) => name),
    );
    const found = readable.length
      ? await parquetReadObjects({
          file,
          metadata,
          columns: readable,
          rowEnd: Math.min(most, Number(metadata.num_rows)),
          compressors: COMPRESSORS,
          useOffsetIndex: true,
        })
      : [];
    return { columns, rows: found.map((row) => ({ ...row })), remark };
  } catch {
    throw new Unreadable(
      "It is not readable Parquet. Write the file again, for instance with pandas or pyarrow.",
    );
  }
}

function whatIsReadable(
  metadata: FileMetaData,
  names: readonly string[],
): { readable: string[]; remark: string | null } {
  const chunks = (metadata.row_groups[0]?.columns ?? [])
    .map((column) => column.meta_data)
    .filter((chunk): chunk is ColumnMetaData => chunk !== undefined);
  const ofName = (name: string) => chunks.filter((chunk) => chunk.path_in_schema[0] === name);
  const reasons = new Map(names.map((name) => [name, whyNot(ofName(name))]));
  const left = names.filter((name) => reasons.get(name));
  return {
    readable: names.filter((name) => !reasons.get(name)),
    remark: left.length
      ? `Not shown: ${left.map((name) => `${name} (${reasons.get(name)})`).join(", ")}.`
      : null,
  };
}

function whyNot(chunks: readonly ColumnMetaData[]): string | null {
  const strange = chunks.find((chunk) => !READABLE.has(chunk.codec));
  if (strange) return `compressed with ${strange.codec}`;
  const bytes = chunks.reduce((sum, chunk) => sum + Number(chunk.total_compressed_size), 0);
  return bytes > MOST_BYTES ? "its row group is too large for a look" : null;
}

function kindOf({ element, children }: SchemaTree): Kind {
  const logical = element.logical_type?.type;
  if (logical === "STRING" || element.converted_type === "UTF8") return "text";
  if (logical !== "LIST" && element.converted_type !== "LIST") return "other";
  const item = children[0]?.children[0];
  return item && !item.children.length && INTEGERS.has(item.element.type ?? "")
    ? "tokens"
    : "other";
}
