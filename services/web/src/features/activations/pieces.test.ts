import { expect, test } from "vitest";
import { pieces, quoted } from "./pieces";

const drawn = (text: string) => pieces(text).map(({ kind, text }) => `${kind}:${text}`);

test.each([
  [" the", ["space: ", "text:the"]],
  ["\n\n", ["break:↵", "break:↵"]],
  ["\r\n", ["break:↵"]],
  ["a\tb", ["text:a", "sign:⇥", "text:b"]],
  ["\u0000", ["sign:␀"]],
  ["", ["sign:∅"]],
  ["<|endoftext|>", ["text:<|endoftext|>"]],
  ["日本", ["text:日本"]],
])("%j is drawn with all that is in it", (text, expected) => expect(drawn(text)).toEqual(expected));

test("a quoted token stays on its line", () => expect(quoted(" a\n")).toBe("“ a↵”"));
