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

/** Return the ids of the models to list, in order; each word of the text must be found. */
export function arrange(models: Models, { text, status, family, sort }: Listing): string[] {
  const parts = text.toLowerCase().split(/\s+/).filter(Boolean);
  return Object.values(models)
    .filter(
      (row) =>
        (status === null || row.status === status) &&
        (family === null || row.model_type === family) &&
        parts.every((part) => searchedBy(row).includes(part)),
    )
    .sort(ORDERS[sort])
    .map((row) => row.id);
}

/** Return how many models have each status, and `all`. */
export function tally(models: Models): Record<ModelStatus | "all", number> {
  const counts = { all: 0, pending: 0, loading: 0, ready: 0, unloaded: 0, failed: 0 };
  for (const row of Object.values(models)) {
    counts.all += 1;
    counts[row.status] += 1;
  }
  return counts;
}

/** Return the `model_type`s there are, in the order of their names. */
export function families(models: Models): string[] {
  const found = new Set<string>();
  for (const row of Object.values(models)) if (row.model_type) found.add(row.model_type);
  return [...found].sort((a, b) => words.compare(familyName(a), familyName(b)));
}
