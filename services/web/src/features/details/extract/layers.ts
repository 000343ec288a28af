/** What people write for several layers, read as the contract reads it: 0,6,11 and 0-5 and all and -1. */

const INDEX = "-?(?:0|[1-9][0-9]{0,4})";
const ITEM = `(?:all|${INDEX}(?:-${INDEX})?)`;
const TEXT = new RegExp(`^ *${ITEM} *(?:, *${ITEM} *)*$`);
const RANGE = new RegExp(`^(${INDEX})(?:-(${INDEX}))?$`);
/** From so many neighbours on, a range is shorter to read than a list. */
const LEAST_RANGE = 3;

/** Layers in order and without repeats, or why the text names none. */
export type Read = { layers: number[]; error: null } | { layers: null; error: string };

/** Return the layers that a text names in a model of so many; nothing written names none. */
export function readLayers(text: string, numLayers: number): Read {
  if (!text.trim()) return { layers: [], error: null };
  if (!TEXT.test(text)) return refused("Write layers as 0-5,11 or all; -1 is the last one.");
  const found = new Set<number>();
  for (const item of text.split(",")) {
    const [first, last] = ends(item.trim());
    for (const end of [first, last]) {
      if (end < -numLayers || end >= numLayers) {
        return refused(
          `The model has ${numLayers} layers, -${numLayers} to ${numLayers - 1}; there is no layer ${end}.`,
        );
      }
    }
    const [from, to] = [first, last].map((end) => (end < 0 ? end + numLayers : end)) as Ends;
    if (to < from) return refused(`The range ${first}-${last} ends before it begins.`);
    for (let layer = from; layer <= to; layer += 1) found.add(layer);
  }
  return { layers: [...found].sort((a, b) => a - b), error: null };
}

/** Return the shortest text that names these layers, which are in order. */
export function writeLayers(layers: readonly number[], numLayers: number): string {
  if (numLayers > 1 && layers.length === numLayers) return "all";
  const items: string[] = [];
  for (let at = 0; at < layers.length; ) {
    const first = layers[at] as number;
    let end = at;
    while (layers[end + 1] === first + (end + 1 - at)) end += 1;
    if (end - at + 1 >= LEAST_RANGE) items.push(`${first}-${layers[end]}`);
    else items.push(...layers.slice(at, end + 1).map(String));
    at = end + 1;
  }
  return items.join(",");
}

type Ends = [number, number];

function ends(item: string): Ends {
  if (item === "all") return [0, -1];
  const [, first, last] = RANGE.exec(item) ?? [];
  return [Number(first), Number(last ?? first)];
}

function refused(error: string): Read {
  return { layers: null, error };
}
