import { describe, expect, test } from "vitest";
import { contrast, type Rgb, rgb } from "./rgb";
import { quantile, scaleOf } from "./scale";

const shade = (css: string): Rgb =>
  css.startsWith("#")
    ? rgb(css === "#000" ? "#000000" : "#ffffff")
    : ((css.match(/\d+/g) ?? []).map(Number) as never);

describe("colours of numbers", () => {
  const values = Array.from({ length: 201 }, (_, index) => index - 100);

  test.each(["light", "dark"] as const)(
    "text is readable on every colour of a %s page",
    (scheme) => {
      for (const signed of [true, false]) {
        const scale = scaleOf(values, signed, scheme);
        for (const value of values) {
          const { background, color } = scale.paint(value);
          expect(contrast(shade(background), shade(color))).toBeGreaterThanOrEqual(4.5);
        }
      }
    },
  );

  test("an outlier does not wash out the others", () => {
    const norms = [...Array.from({ length: 200 }, (_, index) => 10 + index / 10), 3000];
    const scale = scaleOf(norms, false, "light");
    expect(scale.high).toBeLessThan(31);
    expect(scale.beyond(3000)).toBe(true);
    expect(scale.paint(3000)).toEqual(scale.paint(scale.high));
    expect(scale.paint(12).background).not.toBe(scale.paint(25).background);
  });

  test("zero is the middle of numbers of both signs", () => {
    const scale = scaleOf([-1, 0, 3], true, "light");
    expect(scale.low).toBe(-scale.high);
    expect(scale.paint(0).background).toBe("rgb(251 251 253)");
  });

  test("one number alone, or none, has a colour", () => {
    expect(scaleOf([5], false, "light").paint(5).background).toMatch(/^rgb/);
    expect(scaleOf([], true, "dark").paint(0).background).toMatch(/^rgb/);
  });
});

test("a quantile lies between its neighbours", () => {
  expect([0, 0.5, 0.75, 1].map((share) => quantile([1, 2, 3, 5], share))).toEqual([1, 2.5, 3.5, 5]);
  expect(quantile([], 0.5)).toBe(0);
});
