-- name: first_handling$
INSERT INTO inbox (message_id, subject) VALUES (:message_id, :subject)
ON CONFLICT DO NOTHING
RETURNING message_id;

-- name: was_handled$
SELECT EXISTS (SELECT FROM inbox WHERE message_id = :message_id);

-- name: exclusively!
-- Held until the transaction ends.
SELECT pg_advisory_xact_lock(7310004, hashtext(:scope));

-- name: try_exclusively$
SELECT pg_try_advisory_xact_lock(7310004, hashtext(:scope));

-- name: get_answer^
SELECT request, answer FROM idempotency_keys WHERE actor = :actor AND key = :key;

-- name: keep_answer!
INSERT INTO idempotency_keys (actor, key, request, answer, created_at)
VALUES (:actor, :key, :request, :answer, :at);

-- name: loads_since^
SELECT count(*) AS loads, min(requested_at) AS first FROM load_requests
WHERE actor = :actor AND requested_at > :since;

-- name: count_load!
INSERT INTO load_requests (actor, requested_at) VALUES (:actor, :at);

-- name: void_tasks!
INSERT INTO void_tasks (task_id, pool, voided_at)
SELECT unnest(:task_ids::text[]), :pool::text, :at::timestamptz
ON CONFLICT (task_id) DO UPDATE SET voided_at = excluded.voided_at;

-- name: recently_void
SELECT task_id FROM void_tasks WHERE pool = :pool AND voided_at > :since ORDER BY voided_at;

-- name: forget_handled!
DELETE FROM inbox WHERE handled_at < :before;

-- name: forget_answers!
DELETE FROM idempotency_keys WHERE created_at < :before;

-- name: forget_loads!
DELETE FROM load_requests WHERE requested_at < :before;

-- name: forget_void!
DELETE FROM void_tasks WHERE voided_at < :before;
