-- name: insert_cache$
-- Answers with the id of the one cache that shows this view, be it new or not.
INSERT INTO activation_caches (
    id, model_id, dataset_id, extraction_id, store_key, dtype, tokenization, rows_considered,
    sample_count, token_count, hook_points, width, file_size_bytes, extraction_time_seconds,
    created_at, last_accessed_at
) VALUES (
    :id, :model_id, (SELECT id FROM datasets WHERE id = :dataset_id), :extraction_id, :store_key,
    :dtype, :tokenization, :rows_considered, :sample_count, :token_count, :hook_points, :width,
    :file_size_bytes, :extraction_time_seconds, :created_at, :created_at
)
ON CONFLICT ON CONSTRAINT activation_caches_one_view
DO UPDATE SET last_accessed_at = excluded.last_accessed_at
RETURNING id;

-- name: touch_cache!
UPDATE activation_caches SET last_accessed_at = :at WHERE id = :id;

-- name: columns_of_cache
SELECT store_columns.summary
FROM activation_caches
JOIN store_columns ON store_columns.store_key = activation_caches.store_key
    AND store_columns.hook_point = ANY(activation_caches.hook_points)
WHERE activation_caches.id = :id;

-- name: list_caches
-- A null selects nothing by what it stands for. The page's ids come first: what a cache shows is not
-- worked out for those that the offset skips.
SELECT
    activation_caches.*,
    stores.storage_path,
    stores.checked,
    NOT EXISTS (
        SELECT FROM unnest(activation_caches.hook_points) AS shown (name)
        WHERE NOT EXISTS (
            SELECT FROM store_columns
            WHERE store_columns.store_key = activation_caches.store_key
                AND store_columns.hook_point = shown.name
                AND store_columns.rows_considered >= activation_caches.rows_considered
        )
    ) AS complete
FROM activation_caches JOIN stores USING (store_key)
WHERE id IN (
    SELECT id FROM activation_caches
    WHERE (:id::text IS NULL OR id = :id)
        AND (:store_key::text IS NULL OR store_key = :store_key)
        AND (:model_id::text IS NULL OR model_id = :model_id)
        AND (:dataset_id::text IS NULL OR dataset_id = :dataset_id)
    ORDER BY created_at DESC, id
    LIMIT :limit OFFSET :offset
)
ORDER BY created_at DESC, id;

-- name: count_caches$
SELECT count(*) FROM activation_caches
WHERE (:model_id::text IS NULL OR model_id = :model_id)
    AND (:dataset_id::text IS NULL OR dataset_id = :dataset_id);

-- name: delete_cache^
DELETE FROM activation_caches WHERE id = :id RETURNING *;

-- name: caches_of_model
SELECT id, store_key FROM activation_caches WHERE model_id = :model_id;

-- name: list_views
-- Every cache with what it shows, the one that nobody has used for longest first.
SELECT
    id,
    store_key,
    hook_points,
    EXISTS (
        SELECT FROM extractions
        WHERE extractions.store_key = activation_caches.store_key AND phase <> 'done'
    ) AS busy
FROM activation_caches
ORDER BY last_accessed_at, id;

-- name: stored_bytes$
SELECT (
    coalesce((SELECT sum(bytes) FROM store_columns), 0)
    + coalesce((SELECT sum(token_bytes) FROM stores), 0)
)::bigint;

-- name: least_recently_used^
SELECT id, last_accessed_at FROM activation_caches
WHERE NOT EXISTS (
    SELECT FROM extractions
    WHERE extractions.store_key = activation_caches.store_key AND phase <> 'done'
)
ORDER BY last_accessed_at, id
LIMIT 1;
