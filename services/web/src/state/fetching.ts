/** Fetching whole tables and single rows into the store. */
import { api, unwrap } from "@/api/client";
import { asApiError } from "@/api/errors";
import { begin, type Kind, type Kinds, put, remove, replaceAll, useEntities } from "./entities";

const PAGE = 500;
const FIRST = 24;

interface Page<T> {
  rows: readonly T[];
  total: number;
}

type Reader<T> = (limit: number, offset: number) => Promise<Page<T>>;

const PAGES: { [K in Kind]: Reader<Kinds[K]> } = {
  models: async (limit, offset) => {
    const page = await unwrap(api.GET("/api/models", { params: { query: { limit, offset } } }));
    return { rows: page.models, total: page.total };
  },
  datasets: async (limit, offset) => {
    const page = await unwrap(api.GET("/api/datasets", { params: { query: { limit, offset } } }));
    return { rows: page.datasets, total: page.total };
  },
  extractions: async (limit, offset) => {
    const page = await unwrap(
      api.GET("/api/extractions", { params: { query: { limit, offset } } }),
    );
    return { rows: page.extractions, total: page.total };
  },
  caches: async (limit, offset) => {
    const page = await unwrap(
      api.GET("/api/activations", { params: { query: { limit, offset } } }),
    );
    return { rows: page.activations, total: page.total };
  },
  devices: async () => {
    const page = await unwrap(api.GET("/api/devices"));
    return { rows: page.devices, total: page.total };
  },
};

/** Extractions pile up without end: the newest ones are enough to look at. */
const MOST: Partial<Record<Kind, number>> = { extractions: PAGE };

const ONE: { [K in Kind]?: (id: string) => Promise<Kinds[K]> } = {
  models: (id) => unwrap(api.GET("/api/models/{model_id}", { params: { path: { model_id: id } } })),
  datasets: (id) =>
    unwrap(api.GET("/api/datasets/{dataset_id}", { params: { path: { dataset_id: id } } })),
  extractions: (id) =>
    unwrap(
      api.GET("/api/extractions/{extraction_id}", { params: { path: { extraction_id: id } } }),
    ),
  caches: (id) =>
    unwrap(api.GET("/api/activations/{cache_id}", { params: { path: { cache_id: id } } })),
};

/** Fetch a whole table. What goes wrong is kept beside it; what was there stays. */
export async function fetchAll<K extends Kind>(kind: K): Promise<void> {
  note(kind, "busy");
  try {
    const rows: Kinds[K][] = [];
    const most = MOST[kind] ?? Number.POSITIVE_INFINITY;
    for (let offset = 0; offset < most; offset += PAGE) {
      const page = await PAGES[kind](PAGE, offset);
      rows.push(...page.rows);
      if (offset + PAGE >= page.total || !page.rows.length) break;
    }
    replaceAll(kind, rows);
  } catch (thrown) {
    note(kind, "yes", thrown);
  }
}

/** Fetch as much of a table as a screen shows at first; what goes wrong is told by who reads it all. */
export async function fetchFirst<K extends Kind>(kind: K): Promise<void> {
  const page = await PAGES[kind](FIRST, 0).catch(() => null);
  if (page) begin(kind, page.rows, page.total);
}

/** Fetch one row; one that is no longer there is taken away. */
export async function fetchOne<K extends Kind>(kind: K, id: string): Promise<void> {
  const read = ONE[kind] as ((id: string) => Promise<Kinds[K]>) | undefined;
  if (!read) return fetchAll(kind);
  try {
    put(kind, [await read(id)]);
  } catch (thrown) {
    if (asApiError(thrown).status === 404) remove(kind, [id]);
    else note(kind, "yes", thrown);
  }
}

/** Fetch everything anew. */
export async function refreshAll(): Promise<void> {
  const kinds: Kind[] = ["models", "datasets", "extractions", "caches", "devices"];
  await Promise.all(kinds.map((kind) => fetchAll(kind)));
}

function note(kind: Kind, status: "busy" | "yes", thrown?: unknown): void {
  const error = thrown === undefined ? null : asApiError(thrown);
  useEntities.setState((state) => ({
    fetched: { ...state.fetched, [kind]: { ...state.fetched[kind], status, error } },
  }));
}
