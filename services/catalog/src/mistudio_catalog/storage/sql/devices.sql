-- name: lock_device^
SELECT * FROM devices WHERE id = :id FOR NO KEY UPDATE;

-- name: save_device!
INSERT INTO devices (
    id, pool, kind, name, online, memory_total_bytes, memory_budget_bytes, memory_used_bytes,
    told_used_bytes, residents, store_bytes, store_free_bytes, started_at, reported_at,
    last_seen_at, memory_free_bytes, unavailable_formats
) VALUES (
    :id, :pool, :kind, :name, :online, :memory_total_bytes, :memory_budget_bytes,
    :memory_used_bytes, :told_used_bytes, :residents, :store_bytes, :store_free_bytes,
    :started_at, :reported_at, :last_seen_at, :memory_free_bytes, :unavailable_formats
)
ON CONFLICT (id) DO UPDATE SET
    pool = excluded.pool,
    kind = excluded.kind,
    name = excluded.name,
    online = excluded.online,
    memory_total_bytes = excluded.memory_total_bytes,
    memory_budget_bytes = excluded.memory_budget_bytes,
    memory_used_bytes = excluded.memory_used_bytes,
    told_used_bytes = excluded.told_used_bytes,
    residents = excluded.residents,
    store_bytes = excluded.store_bytes,
    store_free_bytes = excluded.store_free_bytes,
    started_at = excluded.started_at,
    reported_at = excluded.reported_at,
    last_seen_at = excluded.last_seen_at,
    memory_free_bytes = excluded.memory_free_bytes,
    unavailable_formats = excluded.unavailable_formats;

-- name: list_devices
SELECT * FROM devices ORDER BY name, id;

-- name: online_devices$
SELECT count(*) FROM devices WHERE pool = :pool AND online;

-- name: silent_devices
SELECT id FROM devices WHERE online AND last_seen_at < :before;

-- name: set_devices_back!
UPDATE devices SET last_seen_at = :now WHERE online AND last_seen_at > :beyond;
