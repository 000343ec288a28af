import { useCallback, useMemo } from "react";
import { useSearchParams } from "react-router";
import { type Listing, SORTS, STATUSES } from "./listing";

type Change = Partial<Listing> & { adding?: boolean };

interface InAddress {
  listing: Listing;
  /** Whether the dialog that adds a model is open. */
  adding: boolean;
  /** Whether anything is filtered away. */
  filtered: boolean;
  change: (change: Change) => void;
}

/** How the list is filtered and sorted: it stands in the address, so that it can be passed on. */
export function useListing(): InAddress {
  const [query, setQuery] = useSearchParams();
  const change = useCallback(
    (wanted: Change) =>
      setQuery(
        (before) => {
          const after = new URLSearchParams(before);
          write(after, "q", wanted.text);
          write(after, "status", wanted.status);
          write(after, "family", wanted.family);
          write(after, "sort", wanted.sort === "newest" ? null : wanted.sort);
          write(after, "add", wanted.adding === undefined ? undefined : wanted.adding ? "1" : null);
          return after;
        },
        { replace: true },
      ),
    [setQuery],
  );
  return useMemo(() => {
    const listing: Listing = {
      text: query.get("q") ?? "",
      status: oneOf(STATUSES, query.get("status")),
      family: query.get("family"),
      sort: oneOf(SORTS, query.get("sort")) ?? "newest",
    };
    return {
      listing,
      adding: query.has("add"),
      filtered: Boolean(listing.text.trim() || listing.status || listing.family),
      change,
    };
  }, [query, change]);
}

/** Set a part of the query; null or nothing takes it out, undefined leaves it. */
function write(query: URLSearchParams, key: string, value: string | null | undefined): void {
  if (value === undefined) return;
  if (value) query.set(key, value);
  else query.delete(key);
}

function oneOf<T extends string>(known: readonly T[], value: string | null): T | null {
  return known.find((each) => each === value) ?? null;
}
