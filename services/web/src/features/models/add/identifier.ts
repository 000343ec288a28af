/** What a model may be called: the catalog's rule, told while one types. */
import type { Schemas } from "@/api/types";

export interface Problem {
  /** A sentence. */
  why: string;
  /** Typing on may mend it: no reason to complain yet. */
  unfinished: boolean;
}

const LONGEST_ID = 96;
const LONGEST = 1000;

const wrong = (why: string): Problem => ({ why, unfinished: false });
const unfinished = (why: string): Problem => ({ why, unfinished: true });

/** Return what is wrong with an identifier of a source, or null. */
export function problemOf(source: Schemas["Source"], identifier: string): Problem | null {
  if (!identifier.trim()) {
    return unfinished(source === "huggingface" ? "Name a model of the hub." : "Name a path.");
  }
  if (identifier.includes("\0")) return wrong("An identifier holds no NUL character.");
  return source === "huggingface" ? problemOfHubId(identifier) : problemOfPath(identifier);
}

/** The hub's own rule for `name` or `owner/name`, one sentence a way to break it. */
function problemOfHubId(id: string): Problem | null {
  const strange = /[^A-Za-z0-9_./-]/u.exec(id)?.[0];
  if (strange !== undefined) {
    const what = strange.trim() ? `“${strange}”` : "blank";
    return wrong(`A hub id holds no ${what}: letters, digits, “-”, “_” and “.” only.`);
  }
  const parts = id.split("/");
  if (parts.length > 2) return wrong("A hub id has one slash: owner/name.");
  if (id.startsWith("/")) return wrong("A hub id begins with its owner or name, not with “/”.");
  if (id.endsWith("/")) return unfinished("The name is missing: owner/name.");
  if (id.includes("--") || id.includes("..")) {
    return wrong("A hub id has no “--” and no “..” in it.");
  }
  if (id.endsWith(".git")) return wrong("A hub id does not end in “.git”.");
  for (const part of parts) {
    if (/^[-.]/.test(part)) return wrong("Owner and name do not begin with “-” or “.”.");
    if (/[-.]$/.test(part)) {
      const why = "Owner and name do not end in “-” or “.”.";
      return part === parts.at(-1) ? unfinished(why) : wrong(why);
    }
  }
  if (id.length > LONGEST_ID) {
    return wrong(`A hub id has at most ${LONGEST_ID} characters; these are ${id.length}.`);
  }
  return null;
}

/** Whether it lies under an allowed root only the machine that has the disk can tell. */
function problemOfPath(path: string): Problem | null {
  if (path.split(/[/\\]/).includes("..")) {
    return wrong("A path has no “..” in it: it must stay under an allowed directory.");
  }
  if (path.length > LONGEST) return wrong(`A path has at most ${LONGEST} characters.`);
  return null;
}

/** Return a name for what is identified, as the card will say it. */
export function nameOf(identifier: string): string {
  return identifier.split(/[/\\]/).filter(Boolean).at(-1) ?? "";
}
