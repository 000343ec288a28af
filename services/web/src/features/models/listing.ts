/** Which models are listed, and in which order. */
import type { ModelStatus, ModelSummary } from "@/api/types";
import { familyName } from "@/ui/families";

export const STATUSES = ["ready", "loading", "failed", "unloaded", "pending"] as const;
export const SORTS = ["newest", "name", "status", "memory"] as const;

export type Sort = (typeof SORTS)[number];

export interface Listing {
  text: string;
  status: ModelStatus | null;
  /** A `model_type`. */
  family: string | null;
  sort: Sort;
}

type Models = Readonly<Record<string, ModelSummary>>;
type Compare = (a: ModelSummary, b: ModelSummary) => number;

const words = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

const byName: Compare = (a, b) => words.compare(a.name, b.name) || words.compare(a.id, b.id);
const byAge: Compare = (a, b) =>
  a.created_at < b.created_at ? 1 : a.created_at > b.created_at ? -1 : byName(a, b);

const ORDERS: Record<Sort, Compare> = {
  name: byName,
  newest: byAge,
  status: (a, b) => STATUSES.indexOf(a.status) - STATUSES.indexOf(b.status) || byName(a, b),
  memory: (a, b) => (b.memory_usage_bytes ?? 0) - (a.memory_usage_bytes ?? 0) || byName(a, b),
};

/** Keep what was reckoned of the argument last: many ask the same of one state of the store. */
function ofLast<A, R>(reckon: (argument: A) => R): (argument: A) => R {
  let last: { argument: A; result: R } | null = null;
  return (argument) => {
    if (last?.argument !== argument) last = { argument, result: reckon(argument) };
    return last.result;
  };
}

/** What a row is searched by; rows are never changed, so each is put into words once. */
const searched = new WeakMap<ModelSummary, string>();

function searchedBy(row: ModelSummary): string {
  let found = searched.get(row);
  if (found === undefined) {
    const family = row.model_type ? `${row.model_type} ${familyName(row.model_type)}` : "";
    found = `${row.name} ${row.model_identifier} ${family} ${row.id}`.toLowerCase();
    searched.set(row, found);
  }
  return found;
}

/**
 * Return what lists models: their ids in order, where each word of the text must be found.
 *
 * It sorts anew only where a row has changed that is listed elsewhere for it, beginning with the
 * order that it found last, and returns the same list as long as nothing about it has changed.
 */
export function arranger({ text, status, family, sort }: Listing): (models: Models) => string[] {
  const parts = text.toLowerCase().split(/\s+/).filter(Boolean);
  const isListed = (row: ModelSummary | undefined): row is ModelSummary =>
    row !== undefined &&
    (status === null || row.status === status) &&
    (family === null || row.model_type === family) &&
    parts.every((part) => searchedBy(row).includes(part));
  const compare = ORDERS[sort];
  const isMoved = (before: ModelSummary | undefined, now: ModelSummary | undefined) =>
    isListed(before) && isListed(now)
      ? compare(before, now) !== 0
      : isListed(before) !== isListed(now);
  let seen: Models = {};
  let ids: string[] = [];
  return (models) => {
    const before = seen;
    seen = models;
    if (!changedOf(before, models).some((id) => isMoved(before[id], models[id]))) return ids;
    const kept = ids.map((id) => models[id]).filter(isListed);
    const added = Object.values(models).filter((row) => !isListed(before[row.id]) && isListed(row));
    ids = [...kept, ...added].sort(compare).map((row) => row.id);
    return ids;
  };
}

/** Return the ids of rows that are another object than before, or are not in both. */
function changedOf(before: Models, now: Models): string[] {
  if (before === now) return [];
  const changed = Object.keys(now).filter((id) => now[id] !== before[id]);
  return [...changed, ...Object.keys(before).filter((id) => !(id in now))];
}

/** Return how many models have each status, and `all`. */
export const tally = ofLast((models: Models): Record<ModelStatus | "all", number> => {
  const counts = { all: 0, pending: 0, loading: 0, ready: 0, unloaded: 0, failed: 0 };
  for (const row of Object.values(models)) {
    counts.all += 1;
    counts[row.status] += 1;
  }
  return counts;
});

/** Return the `model_type`s there are, in the order of their names. */
export function families(models: Models): string[] {
  const found = new Set<string>();
  for (const row of Object.values(models)) if (row.model_type) found.add(row.model_type);
  return [...found].sort((a, b) => words.compare(familyName(a), familyName(b)));
}
