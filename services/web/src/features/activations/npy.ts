/** Reading numpy's `.npy`: the header, and of a matrix only the row that is asked for. */
import { NoVector, type Vectors } from "./vector";

const MAGIC = "\u0093NUMPY";
const MOST_HEADER = 64 * 1024;
const MOST_WIDTH = 65_536;

interface Kind {
  bytes: number;
  read: (view: DataView, offset: number, little: boolean) => number;
}

const KINDS: Record<string, Kind> = {
  f2: { bytes: 2, read: (view, offset, little) => half(view.getUint16(offset, little)) },
  f4: { bytes: 4, read: (view, offset, little) => view.getFloat32(offset, little) },
  f8: { bytes: 8, read: (view, offset, little) => view.getFloat64(offset, little) },
  i4: { bytes: 4, read: (view, offset, little) => view.getInt32(offset, little) },
  i8: { bytes: 8, read: (view, offset, little) => Number(view.getBigInt64(offset, little)) },
};

/**
 * Open a file of one vector `[width]`, or of several `[rows, width]`.
 *
 * @throws NoVector when it is something else
 */
export async function openNpy(file: Blob): Promise<Vectors> {
  const head = await file.slice(0, MOST_HEADER).arrayBuffer();
  const bytes = new Uint8Array(head);
  if (String.fromCharCode(...bytes.slice(0, 6)) !== MAGIC)
    throw new NoVector("It is no .npy file.");
  const view = new DataView(head);
  const first = bytes[6] === 1;
  const length = first ? view.getUint16(8, true) : view.getUint32(8, true);
  const start = (first ? 10 : 12) + length;
  const header = new TextDecoder("latin1").decode(bytes.slice(first ? 10 : 12, start));
  const { kind, little, shape } = parsed(header);
  const [rows, width] = shape.length === 1 ? [1, shape[0]] : shape;
  if (!rows || !width || shape.length > 2) {
    throw new NoVector(`It holds an array of shape (${shape.join(", ")}), not a vector.`);
  }
  if (width > MOST_WIDTH) throw new NoVector(`Its rows have ${width} numbers each.`);
  return {
    rows,
    width,
    row: async (index) => {
      const from = start + index * width * kind.bytes;
      const data = new DataView(await file.slice(from, from + width * kind.bytes).arrayBuffer());
      if (data.byteLength < width * kind.bytes) throw new NoVector("The file ends too early.");
      return Array.from({ length: width }, (_, place) =>
        kind.read(data, place * kind.bytes, little),
      );
    },
  };
}

function parsed(header: string): { kind: Kind; little: boolean; shape: number[] } {
  const descr = /'descr':\s*'([<>|=]?)(\w+)'/.exec(header);
  const kind = KINDS[descr?.[2] ?? ""];
  if (!kind)
    throw new NoVector(`It holds ${descr?.[2] ?? "objects"}, not floats or whole numbers.`);
  const shape = (/'shape':\s*\(([^)]*)\)/.exec(header)?.[1] ?? "")
    .split(",")
    .filter((part) => part.trim())
    .map(Number);
  if (/'fortran_order':\s*True/.test(header) && Math.min(...shape) > 1) {
    throw new NoVector("It is in Fortran's order. Save it again after np.ascontiguousarray().");
  }
  // A column, which is how some keep a vector, lies like a row.
  const column = shape.length === 2 && shape[1] === 1;
  return { kind, little: descr?.[1] !== ">", shape: column ? [shape[0] ?? 0] : shape };
}

/** Return the number that 16 bits of a float16 stand for. */
function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
