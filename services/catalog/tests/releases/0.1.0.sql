SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.activation_caches (
    id character varying(128) NOT NULL,
    model_id character varying(128) NOT NULL,
    dataset_id character varying(128),
    extraction_id character varying(128),
    store_key text NOT NULL,
    dtype text NOT NULL,
    tokenization json NOT NULL,
    rows_considered bigint NOT NULL,
    sample_count bigint NOT NULL,
    token_count bigint NOT NULL,
    hook_points text[] NOT NULL,
    width bigint,
    file_size_bytes bigint NOT NULL,
    extraction_time_seconds double precision,
    created_at timestamp with time zone NOT NULL,
    last_accessed_at timestamp with time zone NOT NULL
);
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.datasets (
    id character varying(128) NOT NULL,
    pool character varying(32) NOT NULL,
    name character varying(500) NOT NULL,
    source text NOT NULL,
    identifier character varying(1000) NOT NULL,
    split text NOT NULL,
    subset text,
    revision text,
    format text,
    status text NOT NULL,
    task_id text NOT NULL,
    fingerprint text,
    sample_count bigint,
    file_size_bytes bigint,
    columns json NOT NULL,
    text_column text,
    preview json NOT NULL,
    error json,
    heard_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT datasets_format_check CHECK ((format = ANY (ARRAY['jsonl'::text, 'text'::text, 'csv'::text, 'parquet'::text]))),
    CONSTRAINT datasets_source_check CHECK ((source = ANY (ARRAY['upload'::text, 'local'::text, 'huggingface'::text]))),
    CONSTRAINT datasets_status_check CHECK ((status = ANY (ARRAY['ingesting'::text, 'ready'::text, 'failed'::text])))
);
CREATE TABLE public.devices (
    id character varying(128) NOT NULL,
    pool character varying(32) NOT NULL,
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
    started_at timestamp with time zone NOT NULL,
    reported_at timestamp with time zone NOT NULL,
    last_seen_at timestamp with time zone NOT NULL,
    memory_free_bytes bigint,
    unavailable_formats json DEFAULT '{}'::json NOT NULL
);
CREATE TABLE public.extraction_shards (
    extraction_id character varying(128) NOT NULL,
    index integer NOT NULL,
    sample_start bigint NOT NULL,
    samples bigint NOT NULL,
    tokens bigint NOT NULL,
    hook_points text[] NOT NULL,
    status text NOT NULL,
    samples_done bigint NOT NULL,
    device_id text,
    seconds double precision,
    work bigint DEFAULT 0 NOT NULL,
    CONSTRAINT extraction_shards_status_check CHECK ((status = ANY (ARRAY['planned'::text, 'ordered'::text, 'captured'::text])))
);
CREATE TABLE public.extractions (
    id character varying(128) NOT NULL,
    pool character varying(32) NOT NULL,
    model_id character varying(128) NOT NULL,
    dataset_id character varying(128) NOT NULL,
    actor text NOT NULL,
    status text NOT NULL,
    phase text NOT NULL,
    task_id text,
    hook_points text[] NOT NULL,
    dtype text NOT NULL,
    tokenization json NOT NULL,
    rows_considered bigint NOT NULL,
    batch_size integer,
    artifact json,
    dataset json,
    store_key text,
    progress double precision NOT NULL,
    told_progress double precision NOT NULL,
    told_at timestamp with time zone,
    samples_processed bigint NOT NULL,
    samples_captured bigint NOT NULL,
    total_samples bigint,
    total_tokens bigint,
    skipped json NOT NULL,
    shards_total integer NOT NULL,
    shards_completed integer NOT NULL,
    shards_computed integer NOT NULL,
    cached boolean NOT NULL,
    cache_id character varying(128),
    storage_path text,
    file_size_bytes bigint,
    width bigint,
    extraction_time_seconds double precision,
    error json,
    started_at timestamp with time zone,
    completed_at timestamp with time zone,
    heard_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    paced_at timestamp with time zone,
    plan_from json,
    plan_ordered boolean DEFAULT false NOT NULL,
    work_total bigint DEFAULT 0 NOT NULL,
    work_captured bigint DEFAULT 0 NOT NULL,
    work_processed bigint DEFAULT 0 NOT NULL,
    paced_work bigint DEFAULT 0 NOT NULL,
    reserved_bytes bigint DEFAULT 0 NOT NULL,
    traceparent text,
    CONSTRAINT extractions_dtype_check CHECK ((dtype = ANY (ARRAY['float32'::text, 'float16'::text, 'bfloat16'::text, 'int8'::text]))),
    CONSTRAINT extractions_phase_check CHECK ((phase = ANY (ARRAY['waiting'::text, 'planning'::text, 'capturing'::text, 'committing'::text, 'done'::text]))),
    CONSTRAINT extractions_phase_of_status CHECK (
CASE status
    WHEN 'queued'::text THEN (phase = ANY (ARRAY['waiting'::text, 'planning'::text]))
    WHEN 'extracting'::text THEN (phase = ANY (ARRAY['capturing'::text, 'committing'::text]))
    ELSE (phase = 'done'::text)
END),
    CONSTRAINT extractions_progress_check CHECK (((progress >= (0)::double precision) AND (progress <= (100)::double precision))),
    CONSTRAINT extractions_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'extracting'::text, 'completed'::text, 'failed'::text, 'cancelled'::text])))
);
CREATE TABLE public.idempotency_keys (
    actor text NOT NULL,
    key text NOT NULL,
    request text NOT NULL,
    answer json NOT NULL,
    created_at timestamp with time zone NOT NULL
);
CREATE TABLE public.inbox (
    message_id text NOT NULL,
    subject text NOT NULL,
    handled_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);
CREATE TABLE public.load_requests (
    id bigint NOT NULL,
    actor text NOT NULL,
    requested_at timestamp with time zone NOT NULL
);
ALTER TABLE public.load_requests ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.load_requests_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.model_turns (
    model_id character varying(128) NOT NULL,
    pool character varying(32) NOT NULL,
    holds boolean NOT NULL,
    since timestamp with time zone NOT NULL
);
CREATE TABLE public.models (
    id character varying(128) NOT NULL,
    pool character varying(32) NOT NULL,
    name character varying(500) NOT NULL,
    source text NOT NULL,
    model_identifier character varying(1000) NOT NULL,
    revision text,
    quantization text NOT NULL,
    status text NOT NULL,
    phase text NOT NULL,
    stage text,
    progress double precision NOT NULL,
    told_progress double precision NOT NULL,
    told_at timestamp with time zone,
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
    load_requested_at timestamp with time zone,
    load_started_at timestamp with time zone,
    loaded_at timestamp with time zone,
    last_used_at timestamp with time zone,
    heard_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    quantization_options json DEFAULT '{"int4_type": "nf4", "double_quant": true}'::json NOT NULL,
    artifact_options json,
    pinned boolean DEFAULT false NOT NULL,
    keep_alive_seconds double precision,
    offload boolean DEFAULT false NOT NULL,
    fidelity json,
    force boolean DEFAULT false NOT NULL,
    figures json,
    measured_bytes bigint,
    progressed_at timestamp with time zone,
    hook_points json,
    overflows_float16 boolean DEFAULT false NOT NULL,
    traceparent text,
    CONSTRAINT models_keep_alive_seconds_check CHECK ((keep_alive_seconds >= (0)::double precision)),
    CONSTRAINT models_phase_check CHECK ((phase = ANY (ARRAY['idle'::text, 'waiting'::text, 'preparing'::text, 'placing'::text, 'releasing'::text]))),
    CONSTRAINT models_phase_of_status CHECK (
CASE status
    WHEN 'loading'::text THEN (phase = ANY (ARRAY['waiting'::text, 'preparing'::text, 'placing'::text]))
    WHEN 'ready'::text THEN (phase = ANY (ARRAY['idle'::text, 'placing'::text, 'releasing'::text]))
    ELSE (phase = 'idle'::text)
END),
    CONSTRAINT models_progress_check CHECK (((progress >= (0)::double precision) AND (progress <= (100)::double precision))),
    CONSTRAINT models_quantization_check CHECK ((quantization = ANY (ARRAY['none'::text, 'fp16'::text, 'bf16'::text, 'int8'::text, 'int4'::text]))),
    CONSTRAINT models_source_check CHECK ((source = ANY (ARRAY['huggingface'::text, 'local'::text, 'custom'::text]))),
    CONSTRAINT models_stage_check CHECK ((stage = ANY (ARRAY['resolving'::text, 'downloading'::text, 'verifying'::text, 'quantizing'::text, 'placing'::text]))),
    CONSTRAINT models_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'loading'::text, 'ready'::text, 'failed'::text, 'unloaded'::text])))
);
CREATE TABLE public.outbox (
    seq bigint NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    subject text NOT NULL,
    pool character varying(32) NOT NULL,
    entity_id text NOT NULL,
    payload text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    parked_because text,
    traceparent text
);
ALTER TABLE public.outbox ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.outbox_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.removals (
    kind text NOT NULL,
    fingerprint text NOT NULL,
    pool character varying(32) NOT NULL,
    CONSTRAINT removals_kind_check CHECK ((kind = ANY (ARRAY['model'::text, 'dataset'::text])))
);
CREATE TABLE public.store_columns (
    store_key text NOT NULL,
    hook_point text NOT NULL,
    rows_considered bigint NOT NULL,
    bytes bigint NOT NULL,
    width bigint NOT NULL,
    summary json NOT NULL
);
CREATE TABLE public.store_evictions (
    task_id text NOT NULL,
    store_key text NOT NULL,
    pool character varying(32) NOT NULL,
    hook_points text[],
    created_at timestamp with time zone NOT NULL,
    ordered_at timestamp with time zone,
    times_ordered integer NOT NULL,
    bytes bigint DEFAULT 0 NOT NULL
);
CREATE TABLE public.store_extents (
    store_key text NOT NULL,
    rows_considered bigint NOT NULL,
    samples bigint NOT NULL,
    tokens bigint NOT NULL,
    skipped json NOT NULL
);
CREATE TABLE public.stores (
    store_key text NOT NULL,
    pool character varying(32) NOT NULL,
    storage_path text NOT NULL,
    token_bytes bigint NOT NULL
);
CREATE TABLE public.void_tasks (
    task_id text NOT NULL,
    pool character varying(32) NOT NULL,
    voided_at timestamp with time zone NOT NULL
);
INSERT INTO public.activation_caches VALUES ('act_54172b325ca2446d', 'm_loaded_a935813a1a63e99b', 'ds_texts_ad10d6ec7de2ae2c', 'ext_loaded_0ab83a8a8be890d3', '959936d86f4548fec5daacb1d44f2894', 'float32', '{"column":"text","add_special_tokens":true,"max_length":128,"truncate":false,"stride":null}', 100, 99, 990, '{layers.0.resid_post,layers.11.resid_post}', 64, 510840, 0.235678, '2026-11-26 14:02:31.117073+00', '2026-11-26 14:02:31.117073+00');
INSERT INTO public.alembic_version VALUES ('0009');
INSERT INTO public.datasets VALUES ('ds_texts_ad10d6ec7de2ae2c', 'default', 'texts', 'upload', 'texts.jsonl', 'train', NULL, NULL, 'jsonl', 'ready', 'task_7940828aa72ba6b0', '74657874732e6a736f6e6c6e6f6e6500', 100, 1000, '{"text":"text","ids":"tokens","label":"other"}', 'text', '[{"text":"a\u0000b","label":null}]', NULL, '2026-11-26 14:02:30.766674+00', '2026-11-26 14:02:30.725014+00', '2026-11-26 14:02:30.766674+00');
INSERT INTO public.datasets VALUES ('ds_other_972cf78f54f2bd7b', 'default', 'other', 'upload', 'other.jsonl', 'train', NULL, NULL, 'jsonl', 'ready', 'task_c06ffb930cc31c16', '6f746865722e6a736f6e6c6e6f6e6500', 100, 1000, '{"text":"text","ids":"tokens","label":"other"}', 'text', '[{"text":"a\u0000b","label":null}]', NULL, '2026-11-26 14:02:30.833877+00', '2026-11-26 14:02:30.797072+00', '2026-11-26 14:02:30.833877+00');
INSERT INTO public.devices VALUES ('dev_one', 'default', 'cpu', 'dev_one', true, 20002000, 20000000, 0, 0, '[]', 0, 0, '2026-01-01 00:00:00+00', '2026-11-26 14:02:30.165891+00', '2026-11-26 14:02:30.180951+00', NULL, '{}');
INSERT INTO public.extraction_shards VALUES ('ext_loaded_0ab83a8a8be890d3', 0, 0, 33, 330, '{layers.0.resid_post,layers.11.resid_post}', 'captured', 33, 'dev_one', 0.5, 3960);
INSERT INTO public.extraction_shards VALUES ('ext_loaded_0ab83a8a8be890d3', 1, 33, 33, 330, '{layers.0.resid_post,layers.11.resid_post}', 'captured', 33, 'dev_one', 0.5, 3960);
INSERT INTO public.extraction_shards VALUES ('ext_loaded_0ab83a8a8be890d3', 2, 66, 33, 330, '{layers.0.resid_post,layers.11.resid_post}', 'captured', 33, 'dev_one', 0.5, 3960);
INSERT INTO public.extraction_shards VALUES ('ext_loaded_c88daa16d56e3688', 0, 0, 100, 1000, '{layers.2.resid_post}', 'captured', 100, 'dev_one', 0.5, 3000);
INSERT INTO public.extraction_shards VALUES ('ext_loaded_6536f945fc943623', 1, 33, 33, 330, '{layers.1.resid_post}', 'ordered', 0, NULL, NULL, 660);
INSERT INTO public.extraction_shards VALUES ('ext_loaded_6536f945fc943623', 2, 66, 33, 330, '{layers.1.resid_post}', 'ordered', 0, NULL, NULL, 660);
INSERT INTO public.extraction_shards VALUES ('ext_loaded_6536f945fc943623', 0, 0, 33, 330, '{layers.1.resid_post}', 'captured', 33, 'dev_one', 0.5, 660);
INSERT INTO public.extractions VALUES ('ext_loaded_0ab83a8a8be890d3', 'default', 'm_loaded_a935813a1a63e99b', 'ds_texts_ad10d6ec7de2ae2c', 'system', 'completed', 'done', 'task_3b118056ae775e3f', '{layers.0.resid_post,layers.11.resid_post}', 'float32', '{"column":"text","add_special_tokens":true,"max_length":128,"truncate":false,"stride":null}', 100, NULL, '{"fingerprint":"6f776e65722f6c6f61646564696e7434","quantization":"int4","dtype":"float32","bytes":4000000}', '{"dataset_id":"ds_texts_ad10d6ec7de2ae2c","fingerprint":"74657874732e6a736f6e6c6e6f6e6500","sample_count":100}', '959936d86f4548fec5daacb1d44f2894', 100, 99, '2026-11-26 14:02:31.055349+00', 99, 99, 99, 990, '{"empty":1,"too_long":0}', 3, 3, 3, false, 'act_54172b325ca2446d', '/activations/959936d86f4548fec5daacb1d44f2894', 510840, 64, 0.235678, NULL, '2026-11-26 14:02:30.902013+00', '2026-11-26 14:02:31.109231+00', '2026-11-26 14:02:31.057515+00', '2026-11-26 14:02:30.873553+00', '2026-11-26 14:02:31.109231+00', '2026-11-26 14:02:31.005607+00', NULL, false, 11880, 11880, 11880, 3960, 514800, '00-8dc54dbb4975362fc6d721d46b84f1bb-172cda40807a0a3c-03');
INSERT INTO public.extractions VALUES ('ext_loaded_c88daa16d56e3688', 'default', 'm_loaded_a935813a1a63e99b', 'ds_other_972cf78f54f2bd7b', 'system', 'completed', 'done', 'task_22afe44789243249', '{layers.2.resid_post}', 'float16', '{"column":"text","add_special_tokens":true,"max_length":128,"truncate":false,"stride":null}', 100, NULL, '{"fingerprint":"6f776e65722f6c6f61646564696e7434","quantization":"int4","dtype":"float32","bytes":4000000}', '{"dataset_id":"ds_other_972cf78f54f2bd7b","fingerprint":"6f746865722e6a736f6e6c6e6f6e6500","sample_count":100}', '2222d3e4a390144b81a6d948e676c7fe', 100, 99, '2026-11-26 14:02:31.274828+00', 100, 100, 100, 1000, '{"empty":0,"too_long":0}', 1, 1, 1, false, NULL, '/activations/2222d3e4a390144b81a6d948e676c7fe', 260000, 64, 0.160714, NULL, '2026-11-26 14:02:31.18666+00', '2026-11-26 14:02:31.326311+00', '2026-11-26 14:02:31.282567+00', '2026-11-26 14:02:31.165597+00', '2026-11-26 14:02:31.326311+00', '2026-11-26 14:02:31.274828+00', NULL, false, 3000, 3000, 3000, 3000, 132000, '00-bf75e4be9508db98c80e7facf91a571e-91218eb49e28367e-03');
INSERT INTO public.extractions VALUES ('ext_loaded_6536f945fc943623', 'default', 'm_loaded_a935813a1a63e99b', 'ds_other_972cf78f54f2bd7b', 'system', 'extracting', 'capturing', 'task_6777f9e8504281a7', '{layers.1.resid_post}', 'float32', '{"column":"text","add_special_tokens":true,"max_length":128,"truncate":false,"stride":null}', 100, NULL, '{"fingerprint":"6f776e65722f6c6f61646564696e7434","quantization":"int4","dtype":"float32","bytes":4000000}', '{"dataset_id":"ds_other_972cf78f54f2bd7b","fingerprint":"6f746865722e6a736f6e6c6e6f6e6500","sample_count":100}', '059cc21511fa5c0f64818160a33f2fb1', 33.333333333333336, 33.333333333333336, '2026-11-26 14:02:31.583005+00', 33, 33, 99, 990, '{"empty":1,"too_long":0}', 3, 1, 3, false, NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-26 14:02:31.485816+00', NULL, '2026-11-26 14:02:31.583005+00', '2026-11-26 14:02:31.455795+00', '2026-11-26 14:02:31.583005+00', '2026-11-26 14:02:31.583005+00', NULL, false, 1980, 660, 660, 660, 257400, '00-768e2f63102b738d72e0da297b6fe84e-0d24d3d42d5370b4-03');
INSERT INTO public.idempotency_keys VALUES ('alice', 'of-a-client', '4b9a862d718e931e4559df27edf24e0e5951c3b0ad3ef147b3c2392b4165ae27', '{"id":"m_cancelled_bcd275c766af631d","name":"cancelled","model_type":"gpt2","architecture":"GPT2LMHeadModel","source":"huggingface","model_identifier":"owner/cancelled","revision":null,"quantization":"none","quantization_options":{"int4_type":"nf4","double_quant":true},"pinned":false,"keep_alive_seconds":null,"offload":false,"status":"pending","stage":null,"progress":0.0,"parameter_count":1000000,"hidden_size":64,"num_layers":12,"vocab_size":512,"context_length":128,"memory_usage_bytes":null,"disk_bytes":null,"load_time_seconds":null,"dtype":"float32","fingerprint":null,"task_id":null,"error":null,"created_at":"2026-11-26T14:02:30.607186Z","loaded_at":null,"last_used_at":null,"updated_at":"2026-11-26T14:02:30.607186Z","config":{"n_embd":64},"fidelity":null}', '2026-11-26 14:02:30.606516+00');
INSERT INTO public.inbox VALUES ('msg_522e6c042b2cc87c', 'model.load.requested', '2026-11-26 14:02:31.642414+00');
INSERT INTO public.load_requests OVERRIDING SYSTEM VALUE VALUES (1, 'alice', '2026-11-26 14:02:30.279368+00');
INSERT INTO public.load_requests OVERRIDING SYSTEM VALUE VALUES (2, 'alice', '2026-11-26 14:02:30.387785+00');
INSERT INTO public.load_requests OVERRIDING SYSTEM VALUE VALUES (3, 'alice', '2026-11-26 14:02:30.642008+00');
INSERT INTO public.model_turns VALUES ('m_loaded_a935813a1a63e99b', 'default', true, '2026-11-26 14:02:31.992425+00');
INSERT INTO public.models VALUES ('m_left_813dd43a688f6e37', 'default', 'left', 'huggingface', 'owner/left', NULL, 'none', 'unloaded', 'idle', NULL, 0, 85, '2026-11-26 14:02:30.430278+00', 'task_6f0f1b97b57f70cb', NULL, NULL, 'gpt2', 'GPT2LMHeadModel', '{"n_embd":64}', 1000000, 64, 12, 512, 128, 'float32', 4000000, '6f776e65722f6c6566746e6f6e650000', 4000000, 'none', 'float32', NULL, 0.1, NULL, '2026-11-26 14:02:30.387785+00', '2026-11-26 14:02:30.402301+00', '2026-11-26 14:02:30.465745+00', '2026-11-26 14:02:30.465745+00', '2026-11-26 14:02:30.499069+00', '2026-11-26 14:02:30.370302+00', '2026-11-26 14:02:30.535035+00', '{"int4_type":"nf4","double_quant":true}', '{"int4_type":"nf4","double_quant":true}', false, NULL, false, NULL, false, NULL, 5000000, NULL, '{"kinds":[{"kind":"embed","width":64,"heads":null},{"kind":"q","width":64,"heads":4},{"kind":"k","width":16,"heads":1},{"kind":"resid_post","width":64,"heads":null}],"refused":{"resid_mid":"attention and MLP both read the block''s input"}}', false, '00-21fedcb55f1d8cab35528a4f366c3585-d549af6f75b1a7b8-03');
INSERT INTO public.models VALUES ('m_pending_9a87efe9455b80f3', 'default', 'pending', 'huggingface', 'owner/pending', NULL, 'none', 'pending', 'idle', NULL, 0, 0, NULL, NULL, NULL, NULL, 'gpt2', 'GPT2LMHeadModel', '{"n_embd":64}', 1000000, 64, 12, 512, 128, 'float32', 4000000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-26 14:02:30.572762+00', '2026-11-26 14:02:30.572762+00', '{"int4_type":"nf4","double_quant":true}', NULL, false, NULL, false, NULL, false, NULL, NULL, NULL, NULL, false, NULL);
INSERT INTO public.models VALUES ('m_cancelled_bcd275c766af631d', 'default', 'cancelled', 'huggingface', 'owner/cancelled', NULL, 'none', 'pending', 'idle', NULL, 0, 0, '2026-11-26 14:02:30.642008+00', 'task_a68740271dba7b08', NULL, NULL, 'gpt2', 'GPT2LMHeadModel', '{"n_embd":64}', 1000000, 64, 12, 512, 128, 'float32', 4000000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-26 14:02:30.642008+00', '2026-11-26 14:02:30.663515+00', NULL, NULL, '2026-11-26 14:02:30.663515+00', '2026-11-26 14:02:30.607186+00', '2026-11-26 14:02:30.689606+00', '{"int4_type":"nf4","double_quant":true}', NULL, false, NULL, false, NULL, false, NULL, NULL, NULL, NULL, false, '00-e28cd41ff70be931db72cf8eb7c7fa10-5196a7cd4d34774c-03');
INSERT INTO public.models VALUES ('m_loaded_a935813a1a63e99b', 'default', 'loaded', 'huggingface', 'owner/loaded', NULL, 'int4', 'ready', 'idle', NULL, 100, 85, '2026-11-26 14:02:30.314466+00', 'task_1f39aac81ac55433', 'task_1f39aac81ac55433', 'dev_one', 'gpt2', 'GPT2LMHeadModel', '{"n_embd":64}', 1000000, 64, 12, 512, 128, 'float32', 4000000, '6f776e65722f6c6f61646564696e7434', 4000000, 'int4', 'float32', 5000000, 0.1, NULL, '2026-11-26 14:02:30.279368+00', '2026-11-26 14:02:30.290595+00', '2026-11-26 14:02:30.346455+00', '2026-11-26 14:02:31.485816+00', '2026-11-26 14:02:30.346455+00', '2026-11-26 14:02:30.258002+00', '2026-11-26 14:02:30.346455+00', '{"int4_type":"nf4","double_quant":true}', '{"int4_type":"nf4","double_quant":true}', true, NULL, false, NULL, false, NULL, 5000000, NULL, '{"kinds":[{"kind":"embed","width":64,"heads":null},{"kind":"q","width":64,"heads":4},{"kind":"k","width":16,"heads":1},{"kind":"resid_post","width":64,"heads":null}],"refused":{"resid_mid":"attention and MLP both read the block''s input"}}', false, '00-760503aec069050044c1c14ccf71f255-ec0bea0cd347640f-03');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (64, '3dbdb19a-b792-42c4-803b-52bd87692673', 'model.registered', 'default', 'm_gone', '{}', '2026-11-26 14:02:31.993482+00', 'the bus does not take it', NULL);
INSERT INTO public.removals VALUES ('dataset', 'dddddddddddddddddddddddddddddddd', 'default');
INSERT INTO public.store_columns VALUES ('959936d86f4548fec5daacb1d44f2894', 'layers.0.resid_post', 100, 253440, 64, '{"hook_point":"layers.0.resid_post","tokens":990,"width":64,"bytes":253440,"mean_norm":null,"median_norm":null,"max_abs":null,"non_finite":0,"overflow":0,"quantization_error":null}');
INSERT INTO public.store_columns VALUES ('959936d86f4548fec5daacb1d44f2894', 'layers.11.resid_post', 100, 253440, 64, '{"hook_point":"layers.11.resid_post","tokens":990,"width":64,"bytes":253440,"mean_norm":null,"median_norm":null,"max_abs":null,"non_finite":0,"overflow":0,"quantization_error":null}');
INSERT INTO public.store_evictions VALUES ('task_3a600e901dbec8b5', '2222d3e4a390144b81a6d948e676c7fe', 'default', NULL, '2026-11-26 14:02:31.38866+00', '2026-11-26 14:02:31.422914+00', 1, 260000);
INSERT INTO public.store_extents VALUES ('959936d86f4548fec5daacb1d44f2894', 100, 99, 990, '{"empty":1,"too_long":0}');
INSERT INTO public.stores VALUES ('959936d86f4548fec5daacb1d44f2894', 'default', '/activations/959936d86f4548fec5daacb1d44f2894', 3960);
INSERT INTO public.void_tasks VALUES ('task_eb7faa059f7dcaf7', 'default', '2026-11-26 14:02:30.693522+00');
SELECT pg_catalog.setval('public.load_requests_id_seq', 3, true);
SELECT pg_catalog.setval('public.outbox_seq_seq', 64, true);
ALTER TABLE ONLY public.activation_caches
    ADD CONSTRAINT activation_caches_one_view UNIQUE (model_id, store_key, rows_considered, hook_points);
ALTER TABLE ONLY public.activation_caches
    ADD CONSTRAINT activation_caches_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.datasets
    ADD CONSTRAINT datasets_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.devices
    ADD CONSTRAINT devices_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.extraction_shards
    ADD CONSTRAINT extraction_shards_pkey PRIMARY KEY (extraction_id, index);
ALTER TABLE ONLY public.extractions
    ADD CONSTRAINT extractions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (actor, key);
ALTER TABLE ONLY public.inbox
    ADD CONSTRAINT inbox_pkey PRIMARY KEY (message_id);
ALTER TABLE ONLY public.load_requests
    ADD CONSTRAINT load_requests_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.model_turns
    ADD CONSTRAINT model_turns_pkey PRIMARY KEY (model_id);
ALTER TABLE ONLY public.models
    ADD CONSTRAINT models_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_id_key UNIQUE (id);
ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY public.removals
    ADD CONSTRAINT removals_pkey PRIMARY KEY (kind, fingerprint, pool);
ALTER TABLE ONLY public.store_columns
    ADD CONSTRAINT store_columns_pkey PRIMARY KEY (store_key, hook_point);
ALTER TABLE ONLY public.store_evictions
    ADD CONSTRAINT store_evictions_pkey PRIMARY KEY (task_id);
ALTER TABLE ONLY public.store_extents
    ADD CONSTRAINT store_extents_pkey PRIMARY KEY (store_key, rows_considered);
ALTER TABLE ONLY public.stores
    ADD CONSTRAINT stores_pkey PRIMARY KEY (store_key);
ALTER TABLE ONLY public.void_tasks
    ADD CONSTRAINT void_tasks_pkey PRIMARY KEY (task_id);
CREATE INDEX extraction_shards_ordered ON public.extraction_shards USING btree (extraction_id, index) WHERE (status = 'ordered'::text);
CREATE INDEX extraction_shards_planned ON public.extraction_shards USING btree (extraction_id, index) WHERE (status = 'planned'::text);
CREATE UNIQUE INDEX extractions_one_running_per_store ON public.extractions USING btree (store_key) WHERE (phase = ANY (ARRAY['planning'::text, 'capturing'::text, 'committing'::text]));
CREATE INDEX idx_activation_caches_created_at ON public.activation_caches USING btree (created_at DESC, id);
CREATE INDEX idx_activation_caches_dataset ON public.activation_caches USING btree (dataset_id);
CREATE INDEX idx_activation_caches_extraction ON public.activation_caches USING btree (extraction_id);
CREATE INDEX idx_activation_caches_model ON public.activation_caches USING btree (model_id);
CREATE INDEX idx_activation_caches_store ON public.activation_caches USING btree (store_key);
CREATE INDEX idx_datasets_created_at ON public.datasets USING btree (created_at DESC, id);
CREATE INDEX idx_datasets_fingerprint ON public.datasets USING btree (fingerprint);
CREATE INDEX idx_datasets_ingesting ON public.datasets USING btree (heard_at) WHERE (status = 'ingesting'::text);
CREATE INDEX idx_extractions_active ON public.extractions USING btree (created_at, id) WHERE (phase <> 'done'::text);
CREATE INDEX idx_extractions_cache ON public.extractions USING btree (cache_id);
CREATE INDEX idx_extractions_created_at ON public.extractions USING btree (created_at DESC, id);
CREATE INDEX idx_extractions_dataset ON public.extractions USING btree (dataset_id, created_at DESC);
CREATE INDEX idx_extractions_model ON public.extractions USING btree (model_id, created_at DESC);
CREATE INDEX idx_extractions_store ON public.extractions USING btree (store_key);
CREATE INDEX idx_inbox_handled_at ON public.inbox USING btree (handled_at);
CREATE INDEX idx_load_requests_actor ON public.load_requests USING btree (actor, requested_at);
CREATE INDEX idx_models_busy ON public.models USING btree (pool, phase) WHERE (phase <> 'idle'::text);
CREATE INDEX idx_models_created_at ON public.models USING btree (created_at DESC, id);
CREATE INDEX idx_models_fingerprint ON public.models USING btree (fingerprint);
CREATE INDEX idx_models_last_used_at ON public.models USING btree (last_used_at DESC);
CREATE INDEX idx_models_model_type ON public.models USING btree (model_type);
CREATE INDEX idx_models_pinned ON public.models USING btree (pool) WHERE pinned;
CREATE INDEX idx_models_ready ON public.models USING btree (status, model_type) WHERE (status = 'ready'::text);
CREATE INDEX idx_models_source ON public.models USING btree (source);
CREATE INDEX idx_models_status ON public.models USING btree (status);
CREATE INDEX idx_outbox_due ON public.outbox USING btree (seq) WHERE (parked_because IS NULL);
CREATE INDEX idx_store_evictions_store ON public.store_evictions USING btree (store_key);
CREATE INDEX idx_void_tasks_pool ON public.void_tasks USING btree (pool, voided_at);
ALTER TABLE ONLY public.activation_caches
    ADD CONSTRAINT activation_caches_dataset_id_fkey FOREIGN KEY (dataset_id) REFERENCES public.datasets(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.activation_caches
    ADD CONSTRAINT activation_caches_extraction_id_fkey FOREIGN KEY (extraction_id) REFERENCES public.extractions(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.activation_caches
    ADD CONSTRAINT activation_caches_model_id_fkey FOREIGN KEY (model_id) REFERENCES public.models(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.activation_caches
    ADD CONSTRAINT activation_caches_store_key_fkey FOREIGN KEY (store_key) REFERENCES public.stores(store_key);
ALTER TABLE ONLY public.extraction_shards
    ADD CONSTRAINT extraction_shards_extraction_id_fkey FOREIGN KEY (extraction_id) REFERENCES public.extractions(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.extractions
    ADD CONSTRAINT extractions_cache FOREIGN KEY (cache_id) REFERENCES public.activation_caches(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.extractions
    ADD CONSTRAINT extractions_model_id_fkey FOREIGN KEY (model_id) REFERENCES public.models(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.model_turns
    ADD CONSTRAINT model_turns_model_id_fkey FOREIGN KEY (model_id) REFERENCES public.models(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.store_columns
    ADD CONSTRAINT store_columns_store_key_fkey FOREIGN KEY (store_key) REFERENCES public.stores(store_key) ON DELETE CASCADE;
ALTER TABLE ONLY public.store_extents
    ADD CONSTRAINT store_extents_store_key_fkey FOREIGN KEY (store_key) REFERENCES public.stores(store_key) ON DELETE CASCADE;
