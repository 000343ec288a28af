-- name: lock_store!
-- Planning, committing and evicting of one store exclude each other; released at commit.
SELECT pg_advisory_xact_lock(7310002, hashtext(:store_key));

-- name: upsert_store!
INSERT INTO stores (store_key, pool, storage_path, token_bytes)
VALUES (:store_key, :pool, :storage_path, :token_bytes)
ON CONFLICT (store_key) DO UPDATE SET
    storage_path = excluded.storage_path,
    token_bytes = excluded.token_bytes;

-- name: unchecked_stores
SELECT * FROM stores WHERE NOT checked ORDER BY store_key LIMIT 1000;

-- name: uncheck_stores!
UPDATE stores SET checked = false;

-- name: check_store$
UPDATE stores SET checked = true, storage_path = :storage_path
WHERE store_key = :store_key AND NOT checked
RETURNING store_key;

-- name: move_extractions!
UPDATE extractions SET storage_path = :storage_path
WHERE store_key = :store_key AND storage_path IS NOT NULL;

-- name: forget_tokens!
-- Tokens belong to columns; without any of those nothing of the store is there.
UPDATE stores SET token_bytes = 0
WHERE store_key = :store_key
    AND NOT EXISTS (SELECT FROM store_columns WHERE store_columns.store_key = stores.store_key);

-- name: upsert_column!
INSERT INTO store_columns (store_key, hook_point, rows_considered, bytes, width, summary)
VALUES (:store_key, :hook_point, :rows_considered, :bytes, :width, :summary)
ON CONFLICT (store_key, hook_point) DO UPDATE SET
    rows_considered = greatest(store_columns.rows_considered, excluded.rows_considered),
    bytes = excluded.bytes,
    width = excluded.width,
    summary = excluded.summary;

-- name: upsert_extent!
INSERT INTO store_extents (store_key, rows_considered, samples, tokens, skipped)
VALUES (:store_key, :rows_considered, :samples, :tokens, :skipped)
ON CONFLICT (store_key, rows_considered) DO UPDATE SET
    samples = excluded.samples, tokens = excluded.tokens, skipped = excluded.skipped;

-- name: get_store^
SELECT * FROM stores WHERE store_key = :store_key;

-- name: get_extent^
SELECT * FROM store_extents
WHERE store_key = :store_key AND rows_considered = :rows_considered;

-- name: store_columns
SELECT * FROM store_columns WHERE store_key = :store_key ORDER BY hook_point;

-- name: columns_viewed
-- The columns of a store that caches show.
SELECT DISTINCT unnest(hook_points) AS hook_point FROM activation_caches
WHERE store_key = :store_key;

-- name: columns_leaving
-- The columns of a store whose files are to leave the disk.
SELECT DISTINCT unnest(hook_points) AS hook_point FROM store_evictions
WHERE store_key = :store_key;

-- name: delete_columns!
DELETE FROM store_columns
WHERE store_key = :store_key AND hook_point = ANY(:hook_points::text[]);

-- name: delete_store!
DELETE FROM stores WHERE store_key = :store_key;

-- name: insert_eviction!
INSERT INTO store_evictions (
    task_id, store_key, pool, hook_points, bytes, created_at, ordered_at, times_ordered
) VALUES (:task_id, :store_key, :pool, :hook_points, :bytes, :created_at, NULL, 0);

-- name: leaving_bytes$
-- What nobody is shown any more and lies on the disk still.
SELECT coalesce(sum(bytes), 0)::bigint FROM store_evictions;

-- name: all_columns
SELECT store_key, hook_point, bytes FROM store_columns;

-- name: all_token_bytes
SELECT store_key, token_bytes FROM stores;

-- name: eviction_pending$
SELECT EXISTS (SELECT FROM store_evictions WHERE store_key = :store_key);

-- name: evictions_to_order
-- One at a time a store, and none while an extraction runs on it.
SELECT DISTINCT ON (store_key) * FROM store_evictions AS eviction
WHERE NOT EXISTS (
        SELECT FROM store_evictions AS other
        WHERE other.store_key = eviction.store_key AND other.ordered_at IS NOT NULL
    )
    AND NOT EXISTS (
        SELECT FROM extractions
        WHERE extractions.store_key = eviction.store_key
            AND extractions.phase IN ('planning', 'capturing', 'committing')
    )
ORDER BY store_key, created_at;

-- name: eviction_ordered$
UPDATE store_evictions SET ordered_at = :at, times_ordered = times_ordered + 1
WHERE task_id = :task_id AND ordered_at IS NOT DISTINCT FROM :ordered_at
RETURNING task_id;

-- name: silent_evictions
SELECT * FROM store_evictions WHERE ordered_at < :before ORDER BY ordered_at LIMIT 1000;

-- name: set_evictions_back!
UPDATE store_evictions SET ordered_at = :now WHERE ordered_at > :beyond;

-- name: finish_eviction$
DELETE FROM store_evictions WHERE task_id = :task_id RETURNING store_key;
