-- name: list_claims
-- The models that extractions need in a device's memory, now or next.
SELECT
    models.id AS model_id,
    coalesce(models.measured_bytes, models.artifact_bytes, models.weight_bytes, 0) AS bytes,
    bool_or(extractions.phase <> 'waiting') AS working,
    turn.holds,
    turn.since
FROM extractions
JOIN models ON models.id = extractions.model_id
LEFT JOIN model_turns AS turn ON turn.model_id = models.id
WHERE models.pool = :pool AND extractions.phase IN ('waiting', 'planning', 'capturing')
GROUP BY models.id, turn.model_id
ORDER BY models.id;

-- name: save_turn!
INSERT INTO model_turns (model_id, pool, holds, since)
VALUES (:model_id, :pool, :holds, :since)
ON CONFLICT (model_id) DO UPDATE SET holds = excluded.holds, since = excluded.since;

-- name: keep_turns_of!
DELETE FROM model_turns WHERE pool = :pool AND model_id <> ALL(:model_ids::text[]);

-- name: turn_of_model^
SELECT
    EXISTS (SELECT FROM model_turns WHERE pool = :pool) AS contended,
    EXISTS (SELECT FROM model_turns WHERE model_id = :model_id AND holds) AS holds,
    (SELECT count(*) FROM devices WHERE pool = :pool AND online) AS devices;
