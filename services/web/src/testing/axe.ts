import axe from "axe-core";
import { expect } from "vitest";

/** Expect what is drawn to have no barrier that can be found without looking at it. */
export async function expectAccessible(root: Element = document.body): Promise<void> {
  const { violations } = await axe.run(root, {
    rules: {
      // jsdom draws nothing, so that it knows no colours.
      "color-contrast": { enabled: false },
      // A screen stands inside the shell, which has the landmarks.
      region: { enabled: false },
    },
  });
  const found = violations.flatMap(({ id, help, nodes }) =>
    nodes.map((node) => `${id}: ${help}: ${node.html}`),
  );
  expect(found.join("\n")).toBe("");
}
