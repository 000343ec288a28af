/** Reading a direction that somebody pastes or keeps in a file. */

/** Vectors of one length: a direction, or a matrix of which a row is one. */
export interface Vectors {
  rows: number;
  width: number;
  /** Return one of them. */
  row: (index: number) => Promise<number[]>;
}

/** What was given is no vector; the message says why. */
export class NoVector extends Error {
  override name = "NoVector";
}

const AROUND = /^(?:\s*(?:np\.|torch\.)?(?:tensor|array)\s*\()|dtype=[\w.]+|[()[\]]/g;

/**
 * Read numbers as people copy them: JSON, numpy's and torch's prints, or one beside the other.
 *
 * @throws NoVector saying what is wrong
 */
export function parseText(text: string): Vectors {
  const value = json(text) ?? words(text);
  const rows = Array.isArray(value[0]) ? (value as unknown[][]) : [value];
  const width = rows[0]?.length ?? 0;
  if (!width) throw new NoVector("There is no number in it.");
  for (const row of rows) {
    if (!Array.isArray(row) || row.length !== width) {
      throw new NoVector("Its rows are not of one length.");
    }
    const wrong = row.find((each) => typeof each !== "number" || !Number.isFinite(each));
    if (wrong !== undefined) throw new NoVector(`“${String(wrong)}” is no number.`);
  }
  return { rows: rows.length, width, row: async (index) => rows[index] as number[] };
}

function json(text: string): unknown[] | null {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

function words(text: string): (number | string)[] {
  if (text.includes("...")) {
    throw new NoVector("It is shortened with “...”. Print all of it, such as with tolist().");
  }
  return text
    .replaceAll(AROUND, " ")
    .split(/[\s,;]+/)
    .filter(Boolean)
    .map((word) => {
      const value = Number(word);
      return Number.isFinite(value) ? value : word;
    });
}
