-- name: insert_removal!
INSERT INTO removals (kind, fingerprint, pool) VALUES (:kind, :fingerprint, :pool)
-- Takes the row's lock: who forgets the removal waits, and then sees what this transaction did.
ON CONFLICT (kind, fingerprint, pool) DO UPDATE SET kind = excluded.kind;

-- name: settled_removals
-- Removals that nobody's work in progress could be about to refer to.
SELECT * FROM removals
WHERE CASE kind
    WHEN 'model' THEN NOT EXISTS (
        SELECT FROM models WHERE models.pool = removals.pool AND phase = 'preparing'
    )
    ELSE NOT EXISTS (
        SELECT FROM datasets WHERE datasets.pool = removals.pool AND status = 'ingesting'
    )
END;

-- name: referred
-- Those of the fingerprints whose files a model or a dataset needs.
SELECT fingerprint FROM unnest(:fingerprints::text[]) AS asked (fingerprint)
WHERE CASE :kind::text
    -- Of a model whose artifact left for want of room no bytes are kept, until it is made again.
    WHEN 'model' THEN EXISTS (
        SELECT FROM models
        WHERE models.fingerprint = asked.fingerprint AND artifact_bytes IS NOT NULL
    )
    ELSE EXISTS (SELECT FROM datasets WHERE datasets.fingerprint = asked.fingerprint)
END;

-- name: known_since$
-- The oldest that this database knows of; null where it knows of nothing.
SELECT least(
    (SELECT min(created_at) FROM models),
    (SELECT min(created_at) FROM datasets),
    (SELECT min(at) FROM audit_log)
);

-- name: delete_removal$
DELETE FROM removals WHERE kind = :kind AND fingerprint = :fingerprint AND pool = :pool
RETURNING fingerprint;
