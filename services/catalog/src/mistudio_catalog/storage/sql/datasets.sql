-- name: insert_dataset!
INSERT INTO datasets (
    id, pool, name, source, identifier, task_id, created_at, updated_at, heard_at, split,
    subset, revision, format, status, fingerprint, sample_count, file_size_bytes, columns,
    text_column, preview, error
) VALUES (
    :id, :pool, :name, :source, :identifier, :task_id, :created_at, :updated_at, :heard_at,
    :split, :subset, :revision, :format, :status, :fingerprint, :sample_count, :file_size_bytes,
    :columns, :text_column, :preview, :error
);

-- name: save_dataset!
UPDATE datasets SET
    name = :name,
    task_id = :task_id,
    updated_at = :updated_at,
    heard_at = :heard_at,
    format = :format,
    status = :status,
    fingerprint = :fingerprint,
    sample_count = :sample_count,
    file_size_bytes = :file_size_bytes,
    columns = :columns,
    text_column = :text_column,
    preview = :preview,
    error = :error
WHERE id = :id;


-- name: get_dataset^
SELECT * FROM datasets WHERE id = :id;

-- name: lock_dataset^
SELECT * FROM datasets WHERE id = :id FOR NO KEY UPDATE;

-- name: list_datasets
-- Everything but the preview, which would make a page heavy.
SELECT
    id, pool, name, source, identifier, task_id, created_at, updated_at, heard_at, split, subset,
    revision, format, status, fingerprint, sample_count, file_size_bytes, columns, text_column,
    error
FROM datasets
ORDER BY created_at DESC, id
LIMIT :limit OFFSET :offset;

-- name: count_datasets$
SELECT count(*) FROM datasets;

-- name: delete_dataset!
DELETE FROM datasets WHERE id = :id;

-- name: silent_datasets
SELECT * FROM datasets
WHERE status = 'ingesting' AND heard_at < :before
ORDER BY heard_at
LIMIT 1000;

-- name: set_datasets_back!
UPDATE datasets SET heard_at = :now WHERE status = 'ingesting' AND heard_at > :beyond;

-- name: heard_of_dataset!
UPDATE datasets SET heard_at = :at WHERE id = :id;
