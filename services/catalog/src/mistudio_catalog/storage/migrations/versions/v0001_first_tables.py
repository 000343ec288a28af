"""The first tables: models, datasets, extractions, stores, devices and the messaging tables.

Documents that nobody queries into are ``json``, not ``jsonb``: jsonb refuses the NUL escape, and
a preview of somebody's text may hold one.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_MODELS = """
CREATE TABLE models (
    id varchar(128) PRIMARY KEY,
    pool varchar(32) NOT NULL,
    name varchar(500) NOT NULL,
    source text NOT NULL CHECK (source IN ('huggingface', 'local', 'custom')),
    model_identifier varchar(1000) NOT NULL,
    revision text,
    quantization text NOT NULL CHECK (quantization IN ('none', 'fp16', 'bf16', 'int8', 'int4')),
    status text NOT NULL CHECK (status IN ('pending', 'loading', 'ready', 'failed', 'unloaded')),
    phase text NOT NULL CHECK (phase IN ('idle', 'waiting', 'preparing', 'placing', 'releasing')),
    stage text CHECK (stage IN ('resolving', 'downloading', 'verifying', 'quantizing', 'placing')),
    progress double precision NOT NULL CHECK (progress BETWEEN 0 AND 100),
    told_progress double precision NOT NULL,
    told_at timestamptz,
    task_id text,
    placed_task_id text,
    device_id text,
    model_type text,
    architecture text,
    config json NOT NULL,
    parameter_count bigint,
    hidden_size bigint,
    num_layers bigint,
    vocab_size bigint,
    context_length bigint,
    checkpoint_dtype text,
    weight_bytes bigint,
    fingerprint text,
    artifact_bytes bigint,
    artifact_quantization text,
    artifact_dtype text,
    memory_usage_bytes bigint,
    load_time_seconds double precision,
    error json,
    load_requested_at timestamptz,
    load_started_at timestamptz,
    loaded_at timestamptz,
    last_used_at timestamptz,
    heard_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT models_phase_of_status CHECK (
        CASE status
            WHEN 'loading' THEN phase IN ('waiting', 'preparing', 'placing')
            WHEN 'ready' THEN phase IN ('idle', 'placing', 'releasing')
            ELSE phase = 'idle'
        END
    )
)
"""

_DATASETS = """
CREATE TABLE datasets (
    id varchar(128) PRIMARY KEY,
    pool varchar(32) NOT NULL,
    name varchar(500) NOT NULL,
    source text NOT NULL CHECK (source IN ('upload', 'local', 'huggingface')),
    identifier varchar(1000) NOT NULL,
    split text NOT NULL,
    subset text,
    revision text,
    format text CHECK (format IN ('jsonl', 'text', 'csv', 'parquet')),
    status text NOT NULL CHECK (status IN ('ingesting', 'ready', 'failed')),
    task_id text NOT NULL,
    fingerprint text,
    sample_count bigint,
    file_size_bytes bigint,
    columns json NOT NULL,
    text_column text,
    preview json NOT NULL,
    error json,
    heard_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
)
"""

_STORES = """
CREATE TABLE stores (
    store_key text PRIMARY KEY,
    pool varchar(32) NOT NULL,
    storage_path text NOT NULL,
    token_bytes bigint NOT NULL
)
"""

_STORE_COLUMNS = """
CREATE TABLE store_columns (
    store_key text NOT NULL REFERENCES stores ON DELETE CASCADE,
    hook_point text NOT NULL,
    rows_considered bigint NOT NULL,
    bytes bigint NOT NULL,
    width bigint NOT NULL,
    summary json NOT NULL,
    PRIMARY KEY (store_key, hook_point)
)
"""

_STORE_EXTENTS = """
CREATE TABLE store_extents (
    store_key text NOT NULL REFERENCES stores ON DELETE CASCADE,
    rows_considered bigint NOT NULL,
    samples bigint NOT NULL,
    tokens bigint NOT NULL,
    skipped json NOT NULL,
    PRIMARY KEY (store_key, rows_considered)
)
"""

_STORE_EVICTIONS = """
CREATE TABLE store_evictions (
    task_id text PRIMARY KEY,
    store_key text NOT NULL,
    pool varchar(32) NOT NULL,
    hook_points text[],
    created_at timestamptz NOT NULL,
    ordered_at timestamptz,
    times_ordered integer NOT NULL
)
"""

_EXTRACTIONS = """
CREATE TABLE extractions (
    id varchar(128) PRIMARY KEY,
    pool varchar(32) NOT NULL,
    model_id varchar(128) NOT NULL REFERENCES models ON DELETE CASCADE,
    dataset_id varchar(128) NOT NULL,
    actor text NOT NULL,
    status text NOT NULL
        CHECK (status IN ('queued', 'extracting', 'completed', 'failed', 'cancelled')),
    phase text NOT NULL
        CHECK (phase IN ('waiting', 'planning', 'capturing', 'committing', 'done')),
    task_id text,
    hook_points text[] NOT NULL,
    dtype text NOT NULL CHECK (dtype IN ('float32', 'float16', 'bfloat16')),
    tokenization json NOT NULL,
    rows_considered bigint NOT NULL,
    batch_size integer,
    artifact json,
    dataset json,
    store_key text,
    progress double precision NOT NULL CHECK (progress BETWEEN 0 AND 100),
    told_progress double precision NOT NULL,
    told_at timestamptz,
    samples_processed bigint NOT NULL,
    samples_captured bigint NOT NULL,
    total_samples bigint,
    total_tokens bigint,
    skipped json NOT NULL,
    shards_total integer NOT NULL,
    shards_completed integer NOT NULL,
    shards_computed integer NOT NULL,
    cached boolean NOT NULL,
    cache_id varchar(128),
    storage_path text,
    file_size_bytes bigint,
    width bigint,
    extraction_time_seconds double precision,
    error json,
    started_at timestamptz,
    completed_at timestamptz,
    heard_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT extractions_phase_of_status CHECK (
        CASE status
            WHEN 'queued' THEN phase IN ('waiting', 'planning')
            WHEN 'extracting' THEN phase IN ('capturing', 'committing')
            ELSE phase = 'done'
        END
    )
)
"""

_SHARDS = """
CREATE TABLE extraction_shards (
    extraction_id varchar(128) NOT NULL REFERENCES extractions ON DELETE CASCADE,
    index integer NOT NULL,
    sample_start bigint NOT NULL,
    samples bigint NOT NULL,
    tokens bigint NOT NULL,
    hook_points text[] NOT NULL,
    status text NOT NULL CHECK (status IN ('planned', 'ordered', 'captured')),
    samples_done bigint NOT NULL,
    files json NOT NULL,
    device_id text,
    seconds double precision,
    PRIMARY KEY (extraction_id, index)
)
"""

_CACHES = """
CREATE TABLE activation_caches (
    id varchar(128) PRIMARY KEY,
    model_id varchar(128) NOT NULL REFERENCES models ON DELETE CASCADE,
    dataset_id varchar(128) REFERENCES datasets ON DELETE SET NULL,
    extraction_id varchar(128) REFERENCES extractions ON DELETE SET NULL,
    store_key text NOT NULL REFERENCES stores,
    dtype text NOT NULL,
    tokenization json NOT NULL,
    rows_considered bigint NOT NULL,
    sample_count bigint NOT NULL,
    token_count bigint NOT NULL,
    hook_points text[] NOT NULL,
    width bigint NOT NULL,
    file_size_bytes bigint NOT NULL,
    extraction_time_seconds double precision,
    created_at timestamptz NOT NULL,
    last_accessed_at timestamptz NOT NULL,
    CONSTRAINT activation_caches_one_view
        UNIQUE (model_id, store_key, rows_considered, hook_points)
)
"""

_DEVICES = """
CREATE TABLE devices (
    id varchar(128) PRIMARY KEY,
    pool varchar(32) NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    online boolean NOT NULL,
    memory_total_bytes bigint NOT NULL,
    memory_budget_bytes bigint NOT NULL,
    memory_used_bytes bigint NOT NULL,
    told_used_bytes bigint NOT NULL,
    residents json NOT NULL,
    store_bytes bigint NOT NULL,
    store_free_bytes bigint NOT NULL,
    started_at timestamptz NOT NULL,
    reported_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL
)
"""

_OUTBOX = """
CREATE TABLE outbox (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    subject text NOT NULL,
    pool varchar(32) NOT NULL,
    entity_id text NOT NULL,
    payload text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    parked_because text
)
"""

_INBOX = """
CREATE TABLE inbox (
    message_id text PRIMARY KEY,
    subject text NOT NULL,
    handled_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""

_IDEMPOTENCY_KEYS = """
CREATE TABLE idempotency_keys (
    actor text NOT NULL,
    key text NOT NULL,
    request text NOT NULL,
    answer json NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (actor, key)
)
"""

_LOAD_REQUESTS = """
CREATE TABLE load_requests (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    actor text NOT NULL,
    requested_at timestamptz NOT NULL
)
"""

_VOID_TASKS = """
CREATE TABLE void_tasks (
    task_id text PRIMARY KEY,
    pool varchar(32) NOT NULL,
    voided_at timestamptz NOT NULL
)
"""

_REMOVALS = """
CREATE TABLE removals (
    kind text NOT NULL CHECK (kind IN ('model', 'dataset')),
    fingerprint text NOT NULL,
    pool varchar(32) NOT NULL,
    PRIMARY KEY (kind, fingerprint, pool)
)
"""

_INDEXES = (
    "CREATE INDEX idx_models_status ON models (status)",
    "CREATE INDEX idx_models_model_type ON models (model_type)",
    "CREATE INDEX idx_models_source ON models (source)",
    "CREATE INDEX idx_models_created_at ON models (created_at DESC, id)",
    "CREATE INDEX idx_models_last_used_at ON models (last_used_at DESC)",
    "CREATE INDEX idx_models_ready ON models (status, model_type) WHERE status = 'ready'",
    "CREATE INDEX idx_models_busy ON models (pool, phase) WHERE phase <> 'idle'",
    "CREATE INDEX idx_models_fingerprint ON models (fingerprint)",
    "CREATE INDEX idx_datasets_created_at ON datasets (created_at DESC, id)",
    "CREATE INDEX idx_datasets_fingerprint ON datasets (fingerprint)",
    "CREATE INDEX idx_datasets_ingesting ON datasets (heard_at) WHERE status = 'ingesting'",
    "CREATE INDEX idx_extractions_created_at ON extractions (created_at DESC, id)",
    "CREATE INDEX idx_extractions_model ON extractions (model_id, created_at DESC)",
    "CREATE INDEX idx_extractions_dataset ON extractions (dataset_id, created_at DESC)",
    "CREATE INDEX idx_extractions_active ON extractions (created_at, id) WHERE phase <> 'done'",
    "CREATE INDEX idx_extractions_store ON extractions (store_key)",
    "CREATE UNIQUE INDEX extractions_one_running_per_store ON extractions (store_key) "
    "WHERE phase IN ('planning', 'capturing', 'committing')",
    "CREATE INDEX idx_activation_caches_model ON activation_caches (model_id)",
    "CREATE INDEX idx_activation_caches_dataset ON activation_caches (dataset_id)",
    "CREATE INDEX idx_activation_caches_extraction ON activation_caches (extraction_id)",
    "CREATE INDEX idx_activation_caches_store ON activation_caches (store_key)",
    "CREATE INDEX idx_activation_caches_created_at ON activation_caches (created_at DESC, id)",
    "CREATE INDEX idx_store_evictions_store ON store_evictions (store_key)",
    "CREATE INDEX idx_load_requests_actor ON load_requests (actor, requested_at)",
    "CREATE INDEX idx_void_tasks_pool ON void_tasks (pool, voided_at)",
    "CREATE INDEX idx_inbox_handled_at ON inbox (handled_at)",
    "CREATE INDEX idx_outbox_due ON outbox (seq) WHERE parked_because IS NULL",
)

_TABLES = (
    _MODELS,
    _DATASETS,
    _STORES,
    _STORE_COLUMNS,
    _STORE_EXTENTS,
    _STORE_EVICTIONS,
    _EXTRACTIONS,
    _SHARDS,
    _CACHES,
    "ALTER TABLE extractions ADD CONSTRAINT extractions_cache "
    "FOREIGN KEY (cache_id) REFERENCES activation_caches ON DELETE SET NULL",
    "CREATE INDEX idx_extractions_cache ON extractions (cache_id)",
    _DEVICES,
    _OUTBOX,
    _INBOX,
    _IDEMPOTENCY_KEYS,
    _LOAD_REQUESTS,
    _VOID_TASKS,
    _REMOVALS,
)


def upgrade() -> None:
    for statement in (*_TABLES, *_INDEXES):
        op.execute(statement)


def downgrade() -> None:
    op.execute("ALTER TABLE extractions DROP CONSTRAINT extractions_cache")
    for table in (
        "removals",
        "void_tasks",
        "load_requests",
        "idempotency_keys",
        "inbox",
        "outbox",
        "devices",
        "activation_caches",
        "extraction_shards",
        "extractions",
        "store_evictions",
        "store_extents",
        "store_columns",
        "stores",
        "datasets",
        "models",
    ):
        op.execute(f"DROP TABLE {table}")
