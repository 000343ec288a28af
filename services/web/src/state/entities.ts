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

/** Whether a kind has been fetched, or could not be. */
export interface Fetched {
  status: "no" | "yes";
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

/** Put rows in place of whatever had their ids; one that is as it was stays the same object. */
export function put<K extends Kind>(kind: K, rows: readonly Kinds[K][]): void {
  useEntities.setState((state) => {
    const table = withRows(state, kind, rows);
    return table === state[kind] ? state : ({ [kind]: table } as Partial<Entities>);
  });
}

/** Put rows of a table that is being read; until all of it is here, its length is `total`. */
export function putPage<K extends Kind>(kind: K, rows: readonly Kinds[K][], total: number): void {
  useEntities.setState((state) => {
    const told = state.fetched[kind];
    const table = withRows(state, kind, rows);
    if (told.status === "no" && told.total !== total) {
      return { [kind]: table, fetched: { ...state.fetched, [kind]: { ...told, total } } };
    }
    return table === state[kind] ? state : ({ [kind]: table } as Partial<Entities>);
  });
}

/** Note that all of a table is here, but for rows that are no longer on the server. */
export function settle(kind: Kind, absent: readonly string[]): void {
  useEntities.setState((state) => {
    const told = state.fetched[kind];
    const settled = told.status === "yes" && !told.error && told.total === null;
    const there = absent.filter((id) => id in state[kind]);
    if (settled && !there.length) return state;
    const table: Record<string, Kinds[Kind]> = { ...state[kind] };
    for (const id of there) delete table[id];
    return {
      ...(there.length ? { [kind]: table } : {}),
      fetched: { ...state.fetched, [kind]: { status: "yes", error: null, total: null } },
    };
  });
}

/** Note why a table could not be read. */
export function failed(kind: Kind, error: ApiError): void {
  useEntities.setState(({ fetched }) => ({
    fetched: { ...fetched, [kind]: { ...fetched[kind], status: "yes", error } },
  }));
}

function withRows<K extends Kind>(state: Entities, kind: K, rows: readonly Kinds[K][]): Table<K> {
  const table = state[kind] as Record<string, Kinds[K]>;
  let changed: Record<string, Kinds[K]> | null = null;
  for (const row of rows) {
    const id = idOf(kind, row);
    const before = table[id];
    const now = before === undefined ? row : replaceEqualDeep(before, row);
    if (now === before || gone.has(id)) continue;
    changed ??= { ...table };
    changed[id] = now;
  }
  return changed ?? table;
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
