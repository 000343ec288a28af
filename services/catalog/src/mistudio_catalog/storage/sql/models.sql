-- name: insert_model!
INSERT INTO models (
    id, pool, name, source, model_identifier, quantization, created_at, updated_at, revision,
    status, phase, stage, progress, told_progress, told_at, task_id, placed_task_id, device_id,
    model_type, architecture, config, parameter_count, hidden_size, num_layers, vocab_size,
    context_length, checkpoint_dtype, weight_bytes, fingerprint, artifact_bytes,
    artifact_quantization, artifact_dtype, memory_usage_bytes, load_time_seconds, error,
    load_requested_at, load_started_at, loaded_at, last_used_at, heard_at,
    quantization_options, artifact_options, pinned, keep_alive_seconds, offload, fidelity,
    force, figures, progressed_at, measured_bytes, hook_points, overflows_float16,
    traceparent
) VALUES (
    :id, :pool, :name, :source, :model_identifier, :quantization, :created_at, :updated_at,
    :revision, :status, :phase, :stage, :progress, :told_progress, :told_at, :task_id,
    :placed_task_id, :device_id, :model_type, :architecture, :config, :parameter_count,
    :hidden_size, :num_layers, :vocab_size, :context_length, :checkpoint_dtype, :weight_bytes,
    :fingerprint, :artifact_bytes, :artifact_quantization, :artifact_dtype, :memory_usage_bytes,
    :load_time_seconds, :error, :load_requested_at, :load_started_at, :loaded_at, :last_used_at,
    :heard_at, :quantization_options, :artifact_options, :pinned, :keep_alive_seconds, :offload,
    :fidelity, :force, :figures, :progressed_at, :measured_bytes, :hook_points,
    :overflows_float16, :traceparent
);

-- name: save_model!
UPDATE models SET
    name = :name,
    quantization = :quantization,
    updated_at = :updated_at,
    revision = :revision,
    status = :status,
    phase = :phase,
    stage = :stage,
    progress = :progress,
    told_progress = :told_progress,
    told_at = :told_at,
    task_id = :task_id,
    placed_task_id = :placed_task_id,
    device_id = :device_id,
    model_type = :model_type,
    architecture = :architecture,
    config = :config,
    parameter_count = :parameter_count,
    hidden_size = :hidden_size,
    num_layers = :num_layers,
    vocab_size = :vocab_size,
    context_length = :context_length,
    checkpoint_dtype = :checkpoint_dtype,
    weight_bytes = :weight_bytes,
    fingerprint = :fingerprint,
    artifact_bytes = :artifact_bytes,
    artifact_quantization = :artifact_quantization,
    artifact_dtype = :artifact_dtype,
    memory_usage_bytes = :memory_usage_bytes,
    load_time_seconds = :load_time_seconds,
    error = :error,
    load_requested_at = :load_requested_at,
    load_started_at = :load_started_at,
    loaded_at = :loaded_at,
    last_used_at = :last_used_at,
    heard_at = :heard_at,
    quantization_options = :quantization_options,
    artifact_options = :artifact_options,
    pinned = :pinned,
    keep_alive_seconds = :keep_alive_seconds,
    offload = :offload,
    fidelity = :fidelity,
    force = :force,
    figures = :figures,
    progressed_at = :progressed_at,
    measured_bytes = :measured_bytes,
    hook_points = :hook_points,
    overflows_float16 = :overflows_float16,
    traceparent = :traceparent
WHERE id = :id;


-- name: get_model^
SELECT * FROM models WHERE id = :id;

-- name: lock_model^
SELECT * FROM models WHERE id = :id FOR NO KEY UPDATE;

-- name: list_models
-- Everything but config, fidelity and hook points, which would make a page heavy. The page's ids come first
-- and from the index alone: rows that the offset skips are never read.
SELECT
    id, pool, name, source, model_identifier, quantization, created_at, updated_at, revision,
    status, phase, stage, progress, told_progress, told_at, task_id, placed_task_id, device_id,
    model_type, architecture, parameter_count, hidden_size, num_layers, vocab_size,
    context_length, checkpoint_dtype, weight_bytes, fingerprint, artifact_bytes,
    artifact_quantization, artifact_dtype, memory_usage_bytes, load_time_seconds, error,
    load_requested_at, load_started_at, loaded_at, last_used_at, heard_at,
    quantization_options, artifact_options, pinned, keep_alive_seconds, offload, force, figures,
    progressed_at, measured_bytes, overflows_float16
FROM models
WHERE id IN (
    SELECT id FROM models
    WHERE (:status::text IS NULL OR status = :status)
        AND (:model_type::text IS NULL OR model_type = :model_type)
        AND (:pattern::text IS NULL OR name ILIKE :pattern OR model_identifier ILIKE :pattern)
    ORDER BY created_at DESC, id
    LIMIT :limit OFFSET :offset
)
ORDER BY created_at DESC, id;

-- name: count_models$
SELECT count(*) FROM models
WHERE (:status::text IS NULL OR status = :status)
    AND (:model_type::text IS NULL OR model_type = :model_type);

-- name: count_found_models$
-- Apart, so that what almost all rows hold is counted from idx_models_words alone: the rows
-- themselves, with their configs, are the larger part of the database.
SELECT sum(found.number)::bigint FROM (
    SELECT count(*) AS number FROM models
    WHERE (:status::text IS NULL OR status = :status)
        AND (:model_type::text IS NULL OR model_type = :model_type)
        AND (name ILIKE :pattern OR model_identifier ILIKE :pattern)
        AND octet_length(name) + octet_length(model_identifier) < 2000
    UNION ALL
    SELECT count(*) FROM models
    WHERE (:status::text IS NULL OR status = :status)
        AND (:model_type::text IS NULL OR model_type = :model_type)
        AND (name ILIKE :pattern OR model_identifier ILIKE :pattern)
        AND octet_length(name) + octet_length(model_identifier) >= 2000
) AS found;

-- name: delete_model!
DELETE FROM models WHERE id = :id;

-- name: models_by_ids
SELECT * FROM models WHERE id = ANY(:ids::text[]);

-- name: next_waiting_model^
SELECT * FROM models
WHERE pool = :pool AND phase = 'waiting'
ORDER BY load_requested_at, id
LIMIT 1
FOR NO KEY UPDATE;

-- name: count_admitted_loads$
SELECT count(*) FROM models
WHERE pool = :pool AND status = 'loading' AND phase IN ('preparing', 'placing');

-- name: silent_models
SELECT * FROM models
WHERE phase IN ('preparing', 'placing') AND heard_at < :before
ORDER BY heard_at
LIMIT 1000;

-- name: stalled_models
SELECT id FROM models
WHERE phase IN ('preparing', 'placing') AND progressed_at < :before
ORDER BY progressed_at
LIMIT 1000;

-- name: set_models_back!
UPDATE models SET heard_at = least(heard_at, :now), progressed_at = least(progressed_at, :now)
WHERE phase IN ('preparing', 'placing', 'releasing')
    AND greatest(heard_at, progressed_at) > :beyond;

-- name: pinned_and_nowhere
SELECT id FROM models
WHERE pinned AND pool = :pool AND status IN ('pending', 'unloaded')
ORDER BY last_used_at DESC NULLS LAST, id;

-- name: releasing_models
SELECT * FROM models WHERE phase = 'releasing' ORDER BY updated_at LIMIT 1000;

-- name: ready_models_on_device
SELECT * FROM models WHERE device_id = :device_id AND status = 'ready' AND phase = 'idle'
ORDER BY id;

-- name: wish_for_model^
SELECT pinned, keep_alive_seconds, offload FROM models WHERE id = :id;

-- name: heard_of_model!
UPDATE models SET heard_at = :at WHERE id = :id;

-- name: touch_model!
UPDATE models SET last_used_at = :at WHERE id = :id;

-- name: model_overflowed!
UPDATE models SET overflows_float16 = true WHERE id = :id;

-- name: artifact_bytes$
-- Models that share an artifact count it once.
SELECT coalesce(sum(bytes), 0)::bigint FROM (
    SELECT max(artifact_bytes) AS bytes FROM models
    WHERE fingerprint IS NOT NULL
    GROUP BY pool, fingerprint
) AS artifacts;

-- name: least_recently_used_artifact^
SELECT pool, fingerprint FROM models
WHERE fingerprint IS NOT NULL AND artifact_bytes IS NOT NULL
GROUP BY pool, fingerprint
HAVING bool_and(
    status IN ('pending', 'unloaded', 'failed')
    AND NOT pinned
    AND NOT EXISTS (
        SELECT FROM extractions WHERE extractions.model_id = models.id AND phase <> 'done'
    )
)
ORDER BY max(greatest(created_at, load_requested_at, loaded_at, last_used_at)), fingerprint
LIMIT 1;

-- name: artifact_leaves!
UPDATE models SET artifact_bytes = NULL WHERE pool = :pool AND fingerprint = :fingerprint;
