-- name: add_audit!
INSERT INTO audit_log (at, actor, action, object_id, door, outcome, trace_id)
VALUES (:at, :actor, :action, :object_id, :door, :outcome, :trace_id);

-- name: list_audit
SELECT id, at, actor, action, object_id, door, outcome, trace_id FROM audit_log
WHERE (:actor::text IS NULL OR actor = :actor)
    AND (:action::text IS NULL OR action = :action)
    AND (:object_id::text IS NULL OR object_id = :object_id)
    AND (:since::timestamptz IS NULL OR at >= :since)
    AND (:before::timestamptz IS NULL OR at < :before)
ORDER BY at DESC, id DESC
LIMIT :limit OFFSET :offset;

-- name: count_audit$
SELECT count(*) FROM (
    SELECT FROM audit_log
    WHERE (:actor::text IS NULL OR actor = :actor)
        AND (:action::text IS NULL OR action = :action)
        AND (:object_id::text IS NULL OR object_id = :object_id)
        AND (:since::timestamptz IS NULL OR at >= :since)
        AND (:before::timestamptz IS NULL OR at < :before)
    LIMIT :most
) AS counted;

-- name: forget_audit!
DELETE FROM audit_log WHERE at < :before;
