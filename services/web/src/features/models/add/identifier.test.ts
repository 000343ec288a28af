import { describe, expect, test } from "vitest";
import { nameOf, problemOf } from "./identifier";

describe("ids of the hub", () => {
  test.each(["gpt2", "openai-community/gpt2", "meta-llama/Llama-3.2-1B", "a_b/c", "x".repeat(96)])(
    "%s is taken",
    (id) => expect(problemOf("huggingface", id)).toBeNull(),
  );

  test.each([
    ["a/b/c", /one slash/],
    ["../etc", /“\.\.”/],
    ["a..b", /“\.\.”/],
    ["a--b", /“--”/],
    ["/etc", /begins with/],
    ["-a", /do not begin/],
    ["a./b", /do not end/],
    ["a b", /no blank/],
    ["é", /no “é”/],
    ["x".repeat(97), /at most 96 characters; these are 97/],
    ["a.git", /“\.git”/],
    ["a\0b", /NUL/],
  ])("%s is refused, and why", (id, why) => {
    expect(problemOf("huggingface", id)).toMatchObject({
      why: expect.stringMatching(why),
      unfinished: false,
    });
  });

  test.each(["", " ", "owner/", "owner/name-", "name."])("“%s” is on its way", (id) => {
    expect(problemOf("huggingface", id)?.unfinished).toBe(true);
  });
});

describe("paths", () => {
  test.each(["/srv/models/gpt2", "gpt2 with blanks", "~/é/model.gguf"])("%s may be one", (path) =>
    expect(problemOf("local", path)).toBeNull(),
  );

  test.each([
    ["../etc", /“\.\.”/],
    ["a\\..\\b", /“\.\.”/],
    ["a\0b", /NUL/],
    ["x".repeat(1001), /at most 1000/],
  ])("%s is none", (path, why) => expect(problemOf("custom", path)?.why).toMatch(why));
});

test.each([
  ["openai-community/gpt2", "gpt2"],
  ["/srv/models/mine/", "mine"],
  ["", ""],
])("%s is called %s", (identifier, name) => expect(nameOf(identifier)).toBe(name));
