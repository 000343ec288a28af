-- name: insert_shards*!
INSERT INTO extraction_shards (
    extraction_id, index, sample_start, samples, tokens, hook_points, status, samples_done,
    device_id, seconds, work
) VALUES (
    :extraction_id, :index, :sample_start, :samples, :tokens, :hook_points, :status,
    :samples_done, :device_id, :seconds, :work
);

-- name: get_shard^
SELECT * FROM extraction_shards WHERE extraction_id = :extraction_id AND index = :index;

-- name: ordered_shards
SELECT * FROM extraction_shards
WHERE extraction_id = :extraction_id AND status = 'ordered'
ORDER BY index;

-- name: order_next_shards
-- Fills the window of outstanding orders and returns the shards that join it.
UPDATE extraction_shards SET status = 'ordered'
WHERE extraction_id = :extraction_id AND index IN (
    SELECT index FROM extraction_shards
    WHERE extraction_id = :extraction_id AND status = 'planned'
    ORDER BY index
    LIMIT greatest(:window::bigint - (
        SELECT count(*) FROM extraction_shards
        WHERE extraction_id = :extraction_id AND status = 'ordered'
    ), 0)
)
RETURNING *;

-- name: shard_captured!
UPDATE extraction_shards SET
    status = 'captured',
    samples_done = samples,
    device_id = :device_id,
    seconds = :seconds
WHERE extraction_id = :extraction_id AND index = :index;

-- name: shard_progressed!
UPDATE extraction_shards SET
    samples_done = least(greatest(samples_done, :samples_done), samples)
WHERE extraction_id = :extraction_id AND index = :index AND status = 'ordered';

-- name: live_shards^
SELECT
    coalesce(sum(samples_done), 0)::bigint AS samples,
    coalesce(sum(work * samples_done / samples), 0)::bigint AS work
FROM extraction_shards
WHERE extraction_id = :extraction_id AND status = 'ordered';
