-- name: counts
-- What there is and what is under way; each branch reads an index, or the few rows of a state.
SELECT 'models' AS what, status AS state, count(*) AS rows FROM models GROUP BY status
UNION ALL
SELECT 'loading', phase, count(*) FROM models
WHERE phase <> 'idle' AND status = 'loading' GROUP BY phase
UNION ALL
SELECT 'extracting', phase, count(*) FROM extractions WHERE phase <> 'done' GROUP BY phase
UNION ALL
SELECT 'devices', CASE WHEN online THEN 'online' ELSE 'offline' END, count(*) FROM devices
WHERE online OR last_seen_at >= :retired_before::timestamptz GROUP BY online
UNION ALL
SELECT 'outbox', 'parked', count(*) FROM outbox WHERE parked_because IS NOT NULL;

-- name: waits^
-- Seconds that the load and the extraction that have waited longest to begin have done so.
SELECT
    coalesce(extract(epoch FROM :now::timestamptz - (
        SELECT min(load_requested_at) FROM models WHERE phase = 'waiting'
    )), 0)::double precision AS load,
    coalesce(extract(epoch FROM :now::timestamptz - (
        SELECT min(created_at) FROM extractions WHERE phase = 'waiting'
    )), 0)::double precision AS extraction;
