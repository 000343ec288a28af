import { expect, test } from "vitest";
import { ago, bytes, count, duration, figure, magnitude } from "./format";

test.each([
  [0, "0 B"],
  [999, "999 B"],
  [1000, "1.00 kB"],
  [999_600, "1.00 MB"],
  [117_780_480, "118 MB"],
  [6e9, "6.00 GB"],
  [null, "–"],
])("%s bytes read %s", (value, words) => expect(bytes(value)).toBe(words));

test.each([
  [0.004, "4 ms"],
  [4.25, "4.3 s"],
  [59.6, "1 min"],
  [3725, "1 h 2 min"],
  [90_000, "1 d 1 h"],
  [null, "–"],
])("%s seconds read %s", (value, words) => expect(duration(value)).toBe(words));

test("counts and parameters", () => {
  expect(count(12345)).toBe("12,345");
  expect(magnitude(124_439_808)).toBe("124 M");
  expect(magnitude(1_100_000_000)).toBe("1.10 B");
});

test("figures have three digits, very large and small ones an exponent", () => {
  expect([0, 0.12345, 123.4, 1e-7, 123456, Number.NaN].map((value) => figure(value))).toEqual([
    "0",
    "0.123",
    "123",
    "1.00e-7",
    "1.23e+5",
    "–",
  ]);
});

test("how long ago", () => {
  const now = Date.parse("2026-01-01T01:00:00Z");
  expect(ago("2026-01-01T00:59:58Z", now)).toBe("just now");
  expect(ago("2026-01-01T00:55:00Z", now)).toBe("5 min ago");
});
