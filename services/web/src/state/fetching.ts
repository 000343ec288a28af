/** Fetching whole tables and single rows into the store. */
import { api, unwrap } from "@/api/client";
import { asApiError } from "@/api/errors";
import {
  failed,
  idOf,
  type Kind,
  type Kinds,
  put,
  putPage,
  remove,
  settle,
  useEntities,
} from "./entities";
import { whenIdle } from "./idle";

/** So many rows are put into the store within a frame, however slow the machine. */
const PAGE = 100;
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
const MOST: Partial<Record<Kind, number>> = { extractions: 500 };

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

/**
 * Fetch a whole table, a page at a time, each when the browser has nothing better to do.
 *
 * What goes wrong is kept beside the table; what was there stays.
 */
export async function fetchAll<K extends Kind>(kind: K): Promise<void> {
  const unseen = new Set(Object.keys(useEntities.getState()[kind]));
  const most = MOST[kind] ?? Number.POSITIVE_INFINITY;
  let end = most;
  let total = 0;
  try {
    for (let offset = 0; offset < end; ) {
      await whenIdle();
      const page = await PAGES[kind](PAGE, offset);
      putPage(kind, page.rows, page.total);
      for (const row of page.rows) unseen.delete(idOf(kind, row));
      if (!page.rows.length) break;
      // Rows that went meanwhile have moved up as many others to before this page.
      offset = page.total < total ? Math.max(0, offset - (total - page.total)) : offset + PAGE;
      total = page.total;
      end = Math.min(most, total);
    }
    settle(kind, [...unseen]);
  } catch (thrown) {
    failed(kind, asApiError(thrown));
  }
}

/** Fetch as much of a table as a screen shows at first; what goes wrong is told by who reads it all. */
export async function fetchFirst<K extends Kind>(kind: K): Promise<void> {
  const page = await PAGES[kind](FIRST, 0).catch(() => null);
  if (page && useEntities.getState().fetched[kind].status === "no") {
    putPage(kind, page.rows, page.total);
  }
}

/** Fetch one row; one that is no longer there is taken away. */
export async function fetchOne<K extends Kind>(kind: K, id: string): Promise<void> {
  const read = ONE[kind] as ((id: string) => Promise<Kinds[K]>) | undefined;
  if (!read) return fetchAll(kind);
  try {
    put(kind, [await read(id)]);
  } catch (thrown) {
    if (asApiError(thrown).status === 404) remove(kind, [id]);
    else failed(kind, asApiError(thrown));
  }
}

/** Fetch everything anew. */
export async function refreshAll(): Promise<void> {
  const kinds: Kind[] = ["models", "datasets", "extractions", "caches", "devices"];
  await Promise.all(kinds.map((kind) => fetchAll(kind)));
}
