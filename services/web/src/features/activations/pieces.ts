/** Texts of tokens with what one does not see in them made visible. */

/** A part of a token as it is drawn. */
export interface Piece {
  /** `space` is drawn as one with a mark; `break` ends the line behind its sign. */
  kind: "text" | "space" | "sign" | "break";
  text: string;
}

const PARTS = /\r?\n| +|[^\S \n]|\p{Cc}|[^\s\p{Cc}]+/gu;
const PICTURES = 0x2400;
const DELETE = 0x7f;

/** Return what a token's text is drawn as. */
export function pieces(text: string): Piece[] {
  if (!text) return [{ kind: "sign", text: "∅" }];
  return (text.match(PARTS) ?? []).map(piece);
}

/** Return text on one line, with signs for what would break it. */
export function visible(text: string): string {
  return text.replaceAll(/\r?\n/g, "↵").replaceAll("\t", "⇥");
}

/** Return a token's text as others quote it. */
export function quoted(text: string): string {
  return `“${visible(text)}”`;
}

function piece(part: string): Piece {
  if (part.endsWith("\n")) return { kind: "break", text: "↵" };
  if (part.startsWith(" ")) return { kind: "space", text: part };
  if (part === "\t") return { kind: "sign", text: "⇥" };
  const code = part.codePointAt(0) ?? 0;
  if (code < 32) return { kind: "sign", text: String.fromCodePoint(PICTURES + code) };
  if (code === DELETE) return { kind: "sign", text: "␡" };
  return /^\s/.test(part) ? { kind: "space", text: part } : { kind: "text", text: part };
}
