/** Hook points by kind: what each reads, and in which order a forward pass comes by them. */
import type { Schemas } from "@/api/types";

export type BlockKind = Schemas["BlockKind"];
export type Outside = "embed" | "final_norm";
export type Kind = BlockKind | Outside;

/** What a hook point reads, in the order of a forward pass. */
export const READS: Record<Kind, string> = {
  embed: "The embedding of each token, before the first block.",
  resid_pre: "The residual stream before the block.",
  q: "Queries as projected, before norms and rotary positions.",
  k: "Keys as projected, before norms and rotary positions.",
  v: "Values as projected.",
  z: "The heads' outputs, before the output projection.",
  attn_out: "What attention adds to the residual stream.",
  resid_mid: "The residual stream between attention and MLP.",
  mlp_act: "The hidden activations of the MLP.",
  mlp_out: "What the MLP adds to the residual stream.",
  resid_post: "The residual stream after the block.",
  final_norm: "The residual stream after the last norm.",
};

export const KINDS = Object.keys(READS) as readonly Kind[];

export function isOutside(kind: Kind): kind is Outside {
  return kind === "embed" || kind === "final_norm";
}

/** Return kinds in the order of a forward pass. */
export function inOrder<K extends Kind>(kinds: Iterable<K>): K[] {
  const chosen = new Set<Kind>(kinds);
  return KINDS.filter((kind): kind is K => chosen.has(kind));
}

/** Return the names of hook points of these kinds in these layers, in the order of a pass. */
export function namesOf(kinds: readonly Kind[], layers: readonly number[]): string[] {
  const inside = inOrder(kinds).filter((kind) => !isOutside(kind));
  return [
    ...(kinds.includes("embed") ? ["embed"] : []),
    ...layers.flatMap((layer) => inside.map((kind) => `layers.${layer}.${kind}`)),
    ...(kinds.includes("final_norm") ? ["final_norm"] : []),
  ];
}

/** What a model tells of its hook points, by kind. */
export interface Anatomy {
  /** Rows' width, and of how many heads they are. */
  shapes: Partial<Record<string, { width: number; heads: number | null }>>;
  /** Why the model has none of a kind. */
  refused: Readonly<Record<string, string>>;
}

/** Nothing is known of a model that was never in memory: all of it may be asked for. */
export const UNKNOWN: Anatomy = { shapes: {}, refused: {} };

/** Return what a model's list of hook points tells by kind. */
export function anatomyOf(list: Schemas["HookPointList"]): Anatomy {
  const shapes: Anatomy["shapes"] = {};
  for (const { kind, width, heads } of list.hook_points) shapes[kind] ??= { width, heads };
  return { shapes, refused: list.refused };
}

/** Return a kind's shape in words: "12 heads × 64", "768 wide". */
export function shapeOf(kind: Kind, { shapes }: Anatomy): string | null {
  const shape = shapes[kind];
  if (!shape) return null;
  const { width, heads } = shape;
  return heads ? `${heads} heads × ${width / heads}` : `${width} wide`;
}

/** Return why a model has no hook points of a kind; null where it has, or may have. */
export function whyRefused(kind: Kind, { shapes, refused }: Anatomy): string | null {
  const known = Object.keys(shapes).length > 0;
  return refused[kind] ?? (known && !shapes[kind] ? "this model has none" : null);
}
