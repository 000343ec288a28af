-- name: send!
-- In the order given: the sequence is drawn row by row.
INSERT INTO outbox (subject, pool, entity_id, payload, traceparent)
SELECT subject, pool, entity_id, payload, :traceparent
FROM unnest(:subjects::text[], :pools::text[], :entity_ids::text[], :payloads::text[])
    WITH ORDINALITY AS message (subject, pool, entity_id, payload, position)
ORDER BY position;

-- name: notify!
SELECT pg_notify('mistudio_outbox', '');

-- name: due
SELECT seq, id, subject, pool, entity_id, payload, traceparent FROM outbox
WHERE parked_because IS NULL
ORDER BY seq
LIMIT :limit;

-- name: published!
DELETE FROM outbox WHERE seq = ANY(:seqs::bigint[]);

-- name: park!
UPDATE outbox SET parked_because = :reason WHERE seq = :seq;

-- name: lag^
SELECT count(*) AS messages,
    coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::double precision
        AS seconds
FROM outbox
WHERE parked_because IS NULL;

-- name: become_relay$
SELECT pg_try_advisory_lock(7310003);

-- name: already_published!
DELETE FROM outbox WHERE id::text = ANY(:ids::text[]);
