-- name: insert_extraction!
INSERT INTO extractions (
    id, pool, model_id, dataset_id, actor, hook_points, dtype, tokenization, rows_considered,
    created_at, updated_at, batch_size, status, phase, task_id, artifact, dataset, store_key,
    progress, told_progress, told_at, samples_processed, samples_captured, total_samples,
    total_tokens, skipped, shards_total, shards_completed, shards_computed, cached, cache_id,
    storage_path, file_size_bytes, width, extraction_time_seconds, error, started_at,
    completed_at, heard_at, paced_at, paced_work, work_total, work_captured, work_processed,
    plan_from, plan_ordered, reserved_bytes, traceparent
) VALUES (
    :id, :pool, :model_id, :dataset_id, :actor, :hook_points, :dtype, :tokenization,
    :rows_considered, :created_at, :updated_at, :batch_size, :status, :phase, :task_id,
    :artifact, :dataset, :store_key, :progress, :told_progress, :told_at, :samples_processed,
    :samples_captured, :total_samples, :total_tokens, :skipped, :shards_total,
    :shards_completed, :shards_computed, :cached, :cache_id, :storage_path, :file_size_bytes,
    :width, :extraction_time_seconds, :error, :started_at, :completed_at, :heard_at,
    :paced_at, :paced_work, :work_total, :work_captured, :work_processed, :plan_from,
    :plan_ordered, :reserved_bytes, :traceparent
);

-- name: save_extraction!
UPDATE extractions SET
    updated_at = :updated_at,
    status = :status,
    phase = :phase,
    task_id = :task_id,
    artifact = :artifact,
    dataset = :dataset,
    store_key = :store_key,
    progress = :progress,
    told_progress = :told_progress,
    told_at = :told_at,
    samples_processed = :samples_processed,
    samples_captured = :samples_captured,
    total_samples = :total_samples,
    total_tokens = :total_tokens,
    skipped = :skipped,
    shards_total = :shards_total,
    shards_completed = :shards_completed,
    shards_computed = :shards_computed,
    cached = :cached,
    cache_id = :cache_id,
    storage_path = :storage_path,
    file_size_bytes = :file_size_bytes,
    width = :width,
    extraction_time_seconds = :extraction_time_seconds,
    error = :error,
    started_at = :started_at,
    completed_at = :completed_at,
    heard_at = :heard_at,
    paced_at = :paced_at,
    paced_work = :paced_work,
    work_total = :work_total,
    work_captured = :work_captured,
    work_processed = :work_processed,
    plan_from = :plan_from,
    plan_ordered = :plan_ordered,
    reserved_bytes = :reserved_bytes
WHERE id = :id;


-- name: get_extraction^
SELECT * FROM extractions WHERE id = :id;

-- name: lock_extraction^
SELECT * FROM extractions WHERE id = :id FOR NO KEY UPDATE;

-- name: list_extractions
-- The page's ids come first and from an index alone, as for models.
SELECT * FROM extractions
WHERE id IN (
    SELECT id FROM extractions
    WHERE (:model_id::text IS NULL OR model_id = :model_id)
        AND (:dataset_id::text IS NULL OR dataset_id = :dataset_id)
        AND (:status::text IS NULL OR status = :status)
    ORDER BY created_at DESC, id
    LIMIT :limit OFFSET :offset
)
ORDER BY created_at DESC, id;

-- name: count_extractions$
SELECT count(*) FROM extractions
WHERE (:model_id::text IS NULL OR model_id = :model_id)
    AND (:dataset_id::text IS NULL OR dataset_id = :dataset_id)
    AND (:status::text IS NULL OR status = :status);

-- name: count_active_extractions$
SELECT count(*) FROM extractions WHERE phase <> 'done';

-- name: count_active_on_model$
SELECT count(*) FROM extractions WHERE phase <> 'done' AND model_id = :model_id;

-- name: count_active_on_dataset$
SELECT count(*) FROM extractions WHERE phase <> 'done' AND dataset_id = :dataset_id;

-- name: active_models
SELECT DISTINCT model_id FROM extractions WHERE phase <> 'done';

-- name: waiting_extractions
SELECT id, model_id FROM extractions WHERE phase = 'waiting' ORDER BY created_at, id;

-- name: working_without_model
SELECT DISTINCT ON (model_id) model_id, extractions.traceparent FROM extractions
JOIN models ON models.id = extractions.model_id
WHERE extractions.phase IN ('planning', 'capturing') AND models.status = 'unloaded'
ORDER BY model_id, extractions.created_at, extractions.id;

-- name: idle_extractions
SELECT id FROM extractions
WHERE phase = 'capturing'
    AND EXISTS (
        SELECT FROM extraction_shards
        WHERE extraction_id = extractions.id AND status = 'planned'
    )
    AND NOT EXISTS (
        SELECT FROM extraction_shards
        WHERE extraction_id = extractions.id AND status = 'ordered'
    )
ORDER BY created_at, id;

-- name: lock_waiting_on_model
SELECT * FROM extractions
WHERE phase = 'waiting' AND model_id = :model_id
ORDER BY created_at, id
FOR NO KEY UPDATE;

-- name: running_on_store$
SELECT EXISTS (
    SELECT FROM extractions
    WHERE store_key = :store_key AND phase IN ('planning', 'capturing', 'committing')
);

-- name: columns_wanted
-- The columns of a store that extractions which are not over were promised.
SELECT DISTINCT unnest(hook_points) AS hook_point FROM extractions
WHERE store_key = :store_key AND phase <> 'done';

-- name: silent_extractions
SELECT * FROM extractions
WHERE phase IN ('planning', 'capturing', 'committing') AND heard_at < :before
ORDER BY heard_at
LIMIT 1000;

-- name: set_extractions_back!
UPDATE extractions SET heard_at = :now
WHERE phase IN ('planning', 'capturing', 'committing') AND heard_at > :beyond;

-- name: reserved_bytes$
-- What extractions under way may still write, or have written without its being listed.
SELECT coalesce(sum(reserved_bytes), 0)::bigint FROM extractions
WHERE phase IN ('capturing', 'committing');

-- name: heard_of_extraction!
UPDATE extractions SET heard_at = :at WHERE id = :id;

-- name: store_keys_of_model
SELECT DISTINCT store_key FROM extractions
WHERE model_id = :model_id AND store_key IS NOT NULL
UNION
SELECT DISTINCT store_key FROM activation_caches WHERE model_id = :model_id;

-- name: active_on_store$
SELECT EXISTS (SELECT FROM extractions WHERE store_key = :store_key AND phase <> 'done');

-- name: work_per_second$
SELECT sum(work) / nullif(sum(seconds), 0)
FROM (
    SELECT shard.work, shard.seconds
    FROM extraction_shards AS shard
    JOIN extractions ON extractions.id = shard.extraction_id
    WHERE extractions.model_id = :model_id AND shard.seconds > 0 AND shard.work > 0
    ORDER BY extractions.created_at DESC
    LIMIT 200
) AS recent;

-- name: tokens_per_row$
SELECT total_tokens::double precision / rows_considered
FROM extractions
WHERE dataset_id = :dataset_id AND status = 'completed' AND rows_considered > 0
    AND tokenization::jsonb @> :tokenization::json::jsonb
ORDER BY created_at DESC
LIMIT 1;
