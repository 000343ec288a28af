import { act, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import { draw } from "@/testing/render";
import { useCopying } from "./useCopying";

function Copier() {
  const { copied, copy } = useCopying("the text");
  return (
    <button type="button" onClick={copy}>
      {copied ? "Copied" : "Copy"}
    </button>
  );
}

async function press() {
  draw(<Copier />);
  await act(async () => screen.getByRole("button").click());
}

/** What a page has to copy with: jsdom has neither. */
function given({ secure, command }: { secure: boolean; command: () => boolean }) {
  const writeText = vi.fn(() => Promise.resolve());
  vi.stubGlobal("isSecureContext", secure);
  Object.defineProperty(navigator, "clipboard", {
    value: secure ? { writeText } : undefined,
    configurable: true,
  });
  document.execCommand = vi.fn(command);
  return writeText;
}

afterEach(() => vi.unstubAllGlobals());

test("a page of https copies by the browser's clipboard", async () => {
  const written = given({ secure: true, command: () => false });
  await press();
  expect(written).toHaveBeenCalledWith("the text");
  expect(screen.getByRole("button")).toHaveTextContent("Copied");
});

test("a page of plain http selects the text and copies what is selected", async () => {
  let selected = "";
  given({
    secure: false,
    command: () => {
      selected = document.getSelection()?.toString() ?? "";
      return true;
    },
  });
  await press();
  expect(selected).toBe("the text");
  expect(document.execCommand).toHaveBeenCalledWith("copy");
  expect(screen.getByRole("button")).toHaveTextContent("Copied");
});

test("where neither works the text is shown to be copied, and nothing is claimed", async () => {
  given({ secure: false, command: () => false });
  const prompt = vi.fn();
  vi.stubGlobal("prompt", prompt);
  await press();
  expect(prompt).toHaveBeenCalledWith(expect.any(String), "the text");
  expect(screen.getByRole("button")).toHaveTextContent("Copy");
});
