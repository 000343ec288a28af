import { expect, test } from "vitest";
import { claimsOf } from "./claims";

const tokenOf = (claims: string) => {
  const bytes = String.fromCharCode(...new TextEncoder().encode(claims));
  const body = btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return `head.${body}.signature`;
};

test("a token says whose it is and what it allows", () => {
  const claims = { sub: "Zoë ÿÿ?>", scopes: ["model:read"], exp: 1 };
  expect(claimsOf(tokenOf(JSON.stringify(claims)))).toEqual({
    subject: "Zoë ÿÿ?>",
    scopes: ["model:read"],
  });
});

test.each(["", "nonsense", "a.b.c", tokenOf("null"), tokenOf("[]"), tokenOf('{"sub": 1}')])(
  "of %j nothing is known",
  (token) => expect(claimsOf(token)).toBeNull(),
);
