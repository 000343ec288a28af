/** Everything that lives on the server and changes while one looks, by its id. */
import { replaceEqualDeep } from "@tanstack/react-query";
import { create } from "zustand";
import type { ApiError } from "@/api/errors";
import type { Cache, Dataset, Device, Extraction, LoadProgress, ModelSummary } from "@/api/types";

export interface Kinds {
  models: ModelSummary;
  datasets: Dataset;
  extractions: Extraction;
  caches: Cache;
  devices: Device;
}

export type Kind = keyof Kinds;
export type Table<K extends Kind> = Readonly<Record<string, Kinds[K]>>;

/** Whether a kind has been fetched, is on its way, or could not be. */
export interface Fetched {
  status: "no" | "busy" | "yes";
  error: ApiError | null;
  /** How many rows the server has, while only the first of them are here. */
  total: number | null;
}

type Tables = { [K in Kind]: Table<K> };

export interface Entities extends Tables {
  /** What loading models tell, while they load. */
  loads: Readonly<Record<string, LoadProgress>>;
  fetched: Readonly<Record<Kind, Fetched>>;
}

const NOT_YET: Fetched = { status: "no", error: null, total: null };

export const EMPTY: Entities = {
  models: {},
  datasets: {},
  extractions: {},
  caches: {},
  devices: {},
  loads: {},
  fetched: {
    models: NOT_YET,
    datasets: NOT_YET,
    extractions: NOT_YET,
    caches: NOT_YET,
    devices: NOT_YET,
  },
};

export const useEntities = create<Entities>(() => EMPTY);

/** Ids of what was deleted: an answer that was on its way meanwhile must not bring it back. */
const gone = new Set<string>();

/** Return the id of a row of any kind. */
export function idOf<K extends Kind>(kind: K, row: Kinds[K]): string {
  return kind === "extractions" ? (row as Extraction).extraction_id : (row as { id: string }).id;
}

/** Put rows in place of whatever had their ids. */
export function put<K extends Kind>(kind: K, rows: readonly Kinds[K][]): void {
  if (!rows.length) return;
  useEntities.setState((state) => {
    const table = { ...state[kind] } as Record<string, Kinds[K]>;
    for (const row of rows) {
      const id = idOf(kind, row);
      if (!gone.has(id)) table[id] = row;
    }
    return { [kind]: table } as Partial<Entities>;
  });
}

/** Put rows in place of the whole table; one that is as it was stays the same object. */
export function replaceAll<K extends Kind>(kind: K, rows: readonly Kinds[K][]): void {
  const entries = rows.map((row) => [idOf(kind, row), row] as const);
  const table = Object.fromEntries(entries.filter(([id]) => !gone.has(id)));
  useEntities.setState((state) => ({
    [kind]: replaceEqualDeep(state[kind], table),
    fetched: { ...state.fetched, [kind]: { status: "yes", error: null, total: null } },
  }));
}

/** Put the first rows of a table of which nothing is here yet. */
export function begin<K extends Kind>(kind: K, rows: readonly Kinds[K][], total: number): void {
  if (useEntities.getState().fetched[kind].status === "yes") return;
  put(kind, rows);
  useEntities.setState(({ fetched }) => ({
    fetched: { ...fetched, [kind]: { ...fetched[kind], total } },
  }));
}

/** Change some fields of a row; nothing if there is none. */
export function patch<K extends Kind>(kind: K, id: string, change: Partial<Kinds[K]>): void {
  useEntities.setState((state) => {
    const row = state[kind][id];
    if (!row) return state;
    return { [kind]: { ...state[kind], [id]: { ...row, ...change } } } as Partial<Entities>;
  });
}

/** Take rows away for good. */
export function remove(kind: Kind, ids: readonly string[]): void {
  buried(ids);
  useEntities.setState((state) => {
    const table: Record<string, Kinds[Kind]> = { ...state[kind] };
    for (const id of ids) delete table[id];
    return { [kind]: table } as Partial<Entities>;
  });
}

/** Note that these ids are of what is no more. */
export function buried(ids: readonly string[]): void {
  for (const id of ids) gone.add(id);
}

/** Forget everything, as whoever signs out would wish. */
export function forgetAll(): void {
  gone.clear();
  useEntities.setState(EMPTY, true);
}
