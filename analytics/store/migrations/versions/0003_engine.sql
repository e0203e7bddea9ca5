-- The durable engine: waits, signals, schedules, triggers, cache, logs, attempts, artifacts, statistics.

ALTER TABLE run DROP CONSTRAINT ck_run_status;
ALTER TABLE run
    ADD CONSTRAINT ck_run_status CHECK (status IN ('queued', 'running', 'waiting', 'paused', 'needs_attention', 'completed', 'failed', 'cancelled')),
    ADD COLUMN tags TEXT[] DEFAULT '{}' NOT NULL,
    ADD COLUMN concurrency_key TEXT,
    ADD COLUMN idempotency_key TEXT,
    ADD COLUMN parent_node TEXT,
    ADD COLUMN source_run_id UUID,
    ADD COLUMN schedule_id UUID,
    ADD COLUMN scheduled_for TIMESTAMP WITH TIME ZONE,
    ADD COLUMN use_cache BOOLEAN DEFAULT true NOT NULL,
    ADD COLUMN nodes_total INTEGER,
    ADD COLUMN node_counts JSONB,
    ADD COLUMN took_s DOUBLE PRECISION GENERATED ALWAYS AS (EXTRACT(epoch FROM finished_at - started_at)::double precision) STORED;

CREATE INDEX ix_run_tags ON run USING gin (tags) WHERE tags <> '{}';
CREATE INDEX ix_run_parent_run_id ON run (parent_run_id) WHERE parent_run_id IS NOT NULL;
CREATE INDEX ix_run_source_run_id ON run (source_run_id) WHERE source_run_id IS NOT NULL;
DROP INDEX ix_run_workflow_id_created_at;
DROP INDEX ix_run_status_created_at;
DROP INDEX ix_run_created_at_id;
CREATE INDEX ix_run_created_at_id ON run (created_at DESC, id DESC) INCLUDE (took_s);
CREATE INDEX ix_run_workflow_id_created_at ON run (workflow_id, created_at DESC, id DESC) INCLUDE (status, took_s);
CREATE INDEX ix_run_status_created_at ON run (status, created_at DESC, id DESC);
CREATE INDEX ix_run_schedule_id_created_at ON run (schedule_id, created_at DESC, id DESC) INCLUDE (status) WHERE schedule_id IS NOT NULL;
CREATE INDEX ix_run_requested_by_created_at ON run (requested_by, created_at DESC, id DESC) INCLUDE (status) WHERE requested_by IS NOT NULL;
CREATE INDEX ix_run_trigger_created_at ON run (trigger, created_at DESC, id DESC) INCLUDE (status);
CREATE INDEX ix_run_took_s ON run (took_s);
CREATE INDEX ix_run_dead_letter ON run (created_at DESC, id DESC) WHERE error ->> 'code' = 'dead_letter';

CREATE TABLE run_key (
    workflow_id UUID NOT NULL,
    key TEXT NOT NULL,
    run_id UUID NOT NULL,
    run_created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    input_hash BYTEA,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_run_key PRIMARY KEY (workflow_id, key)
);
CREATE INDEX ix_run_key_created_at ON run_key (created_at);
INSERT INTO run_key (workflow_id, key, run_id, run_created_at, created_at)
    SELECT workflow_id, idempotency_key, run_id, run_created_at, queued_at FROM run_active WHERE idempotency_key IS NOT NULL;

ALTER TABLE run_active DROP CONSTRAINT ck_run_active_status;
DROP INDEX ix_run_active_claim;
DROP INDEX uq_run_active_idempotency;
ALTER TABLE run_active
    DROP COLUMN idempotency_key,
    ADD CONSTRAINT ck_run_active_status CHECK (status IN ('queued', 'running', 'waiting', 'paused', 'needs_attention')),
    ADD COLUMN rank TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    ADD COLUMN concurrency_key TEXT,
    ADD COLUMN concurrency_limit INTEGER,
    ADD COLUMN wake_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN pause_requested BOOLEAN DEFAULT false NOT NULL,
    ADD COLUMN parent_run_id UUID;
UPDATE run_active SET rank = queued_at;

CREATE INDEX ix_run_active_claim ON run_active (rank, run_id) WHERE status = 'queued';
CREATE INDEX ix_run_active_wake ON run_active (wake_at) WHERE status = 'waiting' AND wake_at IS NOT NULL;
CREATE INDEX ix_run_active_concurrency ON run_active (concurrency_key) WHERE status = 'running' AND concurrency_key IS NOT NULL;
CREATE INDEX ix_run_active_parent_run_id ON run_active (parent_run_id) WHERE parent_run_id IS NOT NULL;

ALTER TABLE node_run DROP CONSTRAINT ck_node_run_status;
ALTER TABLE node_run
    ADD CONSTRAINT ck_node_run_status CHECK (status IN ('pending', 'running', 'waiting', 'needs_attention', 'completed', 'failed', 'skipped', 'cancelled')),
    ADD COLUMN ready_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN cpu_ms DOUBLE PRECISION,
    ADD COLUMN cache_hit BOOLEAN DEFAULT false NOT NULL,
    ADD COLUMN cache_key BYTEA,
    ADD COLUMN output_ref UUID,
    ADD COLUMN log_lines INTEGER DEFAULT 0 NOT NULL,
    ADD COLUMN changed_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL;

CREATE TABLE run_ended (
    run_id UUID NOT NULL,
    run_created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_run_ended PRIMARY KEY (run_id)
);

CREATE TABLE workflow_day (
    workflow_id UUID NOT NULL,
    day DATE NOT NULL,
    origin TEXT DEFAULT 'live' NOT NULL,
    completed INTEGER DEFAULT 0 NOT NULL,
    failed INTEGER DEFAULT 0 NOT NULL,
    cancelled INTEGER DEFAULT 0 NOT NULL,
    started INTEGER DEFAULT 0 NOT NULL,
    duration_s DOUBLE PRECISION DEFAULT 0 NOT NULL,
    wait_s DOUBLE PRECISION DEFAULT 0 NOT NULL,
    last_run_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_workflow_day PRIMARY KEY (workflow_id, day, origin)
);

CREATE TABLE node_attempt (
    run_id UUID NOT NULL,
    run_created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    node_id TEXT NOT NULL,
    map_index INTEGER DEFAULT -1 NOT NULL,
    attempt SMALLINT NOT NULL,
    executor TEXT,
    started_at TIMESTAMP WITH TIME ZONE,
    finished_at TIMESTAMP WITH TIME ZONE,
    error JSONB,
    CONSTRAINT pk_node_attempt PRIMARY KEY (run_id, run_created_at, node_id, map_index, attempt)
)
 PARTITION BY RANGE (run_created_at);

CREATE TABLE node_log (
    run_id UUID NOT NULL,
    run_created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    node_id TEXT NOT NULL,
    map_index INTEGER DEFAULT -1 NOT NULL,
    attempt SMALLINT NOT NULL,
    seq INTEGER NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    level TEXT NOT NULL,
    message TEXT NOT NULL,
    CONSTRAINT pk_node_log PRIMARY KEY (run_id, run_created_at, node_id, map_index, attempt, seq),
    CONSTRAINT ck_node_log_level CHECK (level IN ('debug', 'info', 'warning', 'error'))
)
 PARTITION BY RANGE (run_created_at);

CREATE TABLE run_event (
    id UUID NOT NULL,
    run_id UUID NOT NULL,
    run_created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    kind TEXT NOT NULL,
    node_id TEXT,
    map_index INTEGER,
    actor TEXT,
    data JSONB DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT pk_run_event PRIMARY KEY (run_id, run_created_at, id)
)
 PARTITION BY RANGE (run_created_at);

CREATE TABLE artifact (
    id UUID NOT NULL,
    run_created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    run_id UUID NOT NULL,
    node_id TEXT NOT NULL,
    map_index INTEGER DEFAULT -1 NOT NULL,
    name TEXT NOT NULL,
    media_type TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    sha256 BYTEA NOT NULL,
    content BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_artifact PRIMARY KEY (id, run_created_at)
)
 PARTITION BY RANGE (run_created_at);
CREATE INDEX ix_artifact_run_id ON artifact (run_id, node_id);

CREATE TABLE node_wait (
    run_id UUID NOT NULL,
    run_created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    node_id TEXT NOT NULL,
    map_index INTEGER DEFAULT -1 NOT NULL,
    kind TEXT NOT NULL,
    name TEXT,
    title TEXT,
    message TEXT,
    form JSONB,
    role TEXT,
    child_run_id UUID,
    until TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    resolved_at TIMESTAMP WITH TIME ZONE,
    resolved_by TEXT,
    outcome TEXT,
    data JSONB,
    CONSTRAINT pk_node_wait PRIMARY KEY (run_id, node_id, map_index),
    CONSTRAINT ck_node_wait_kind CHECK (kind IN ('time', 'signal', 'approval', 'run', 'attention'))
);
CREATE INDEX ix_node_wait_open ON node_wait (kind, created_at DESC) WHERE resolved_at IS NULL;
CREATE INDEX ix_node_wait_run_created_at ON node_wait (run_created_at);
CREATE INDEX ix_node_wait_child_run_id ON node_wait (child_run_id) WHERE child_run_id IS NOT NULL;

CREATE TABLE run_signal (
    id UUID NOT NULL,
    run_id UUID NOT NULL,
    name TEXT NOT NULL,
    data JSONB,
    sent_by TEXT,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_run_signal PRIMARY KEY (id)
);
CREATE INDEX ix_run_signal_run_id_name ON run_signal (run_id, name, at);

CREATE UNLOGGED TABLE node_cache (
    key BYTEA NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    holder TEXT,
    held_until TIMESTAMP WITH TIME ZONE,
    awaited BOOLEAN DEFAULT false NOT NULL,
    output JSONB,
    run_id UUID,
    node_id TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_node_cache PRIMARY KEY (key),
    CONSTRAINT ck_node_cache_status CHECK (status IN ('computing', 'ready'))
);
CREATE INDEX ix_node_cache_expires_at ON node_cache (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE schedule (
    id UUID NOT NULL,
    workflow_id UUID NOT NULL,
    name TEXT NOT NULL,
    version INTEGER,
    params JSONB DEFAULT '{}'::jsonb NOT NULL,
    cron TEXT,
    every_s DOUBLE PRECISION,
    zone TEXT DEFAULT 'UTC' NOT NULL,
    catchup TEXT DEFAULT 'last' NOT NULL,
    jitter_s DOUBLE PRECISION DEFAULT 0 NOT NULL,
    priority INTEGER DEFAULT 0 NOT NULL,
    tags TEXT[] DEFAULT '{}' NOT NULL,
    overlap TEXT DEFAULT 'queue' NOT NULL,
    starts_at TIMESTAMP WITH TIME ZONE,
    ends_at TIMESTAMP WITH TIME ZONE,
    paused_at TIMESTAMP WITH TIME ZONE,
    next_at TIMESTAMP WITH TIME ZONE,
    last_at TIMESTAMP WITH TIME ZONE,
    last_run_id UUID,
    error TEXT,
    created_by TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    origin TEXT DEFAULT 'live' NOT NULL,
    CONSTRAINT pk_schedule PRIMARY KEY (id),
    CONSTRAINT ck_schedule_rhythm CHECK ((cron IS NULL) <> (every_s IS NULL)),
    CONSTRAINT ck_schedule_catchup CHECK (catchup IN ('none', 'last', 'all')),
    CONSTRAINT ck_schedule_overlap CHECK (overlap IN ('queue', 'skip')),
    CONSTRAINT fk_schedule_workflow_id FOREIGN KEY(workflow_id) REFERENCES workflow (id) ON DELETE CASCADE,
    CONSTRAINT uq_schedule_name UNIQUE (name)
);
CREATE INDEX ix_schedule_next_at ON schedule (next_at) WHERE paused_at IS NULL AND next_at IS NOT NULL;
CREATE INDEX ix_schedule_workflow_id ON schedule (workflow_id);

CREATE TABLE schedule_run (
    schedule_id UUID NOT NULL,
    scheduled_for TIMESTAMP WITH TIME ZONE NOT NULL,
    run_id UUID,
    skipped TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_schedule_run PRIMARY KEY (schedule_id, scheduled_for),
    CONSTRAINT fk_schedule_run_schedule_id FOREIGN KEY(schedule_id) REFERENCES schedule (id) ON DELETE CASCADE
);

CREATE TABLE run_trigger (
    id UUID NOT NULL,
    workflow_id UUID NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    event_kind TEXT,
    filter JSONB DEFAULT '{}'::jsonb NOT NULL,
    params JSONB DEFAULT '{}'::jsonb NOT NULL,
    priority INTEGER DEFAULT 0 NOT NULL,
    tags TEXT[] DEFAULT '{}' NOT NULL,
    secret_generation INTEGER DEFAULT 1 NOT NULL,
    paused_at TIMESTAMP WITH TIME ZONE,
    last_at TIMESTAMP WITH TIME ZONE,
    last_run_id UUID,
    error TEXT,
    created_by TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    origin TEXT DEFAULT 'live' NOT NULL,
    CONSTRAINT pk_run_trigger PRIMARY KEY (id),
    CONSTRAINT ck_run_trigger_kind CHECK (kind IN ('webhook', 'event', 'alert')),
    CONSTRAINT fk_run_trigger_workflow_id FOREIGN KEY(workflow_id) REFERENCES workflow (id) ON DELETE CASCADE,
    CONSTRAINT uq_run_trigger_name UNIQUE (name)
);
CREATE INDEX ix_run_trigger_event_kind ON run_trigger (event_kind) WHERE paused_at IS NULL;

CREATE TABLE saved_view (
    id UUID NOT NULL,
    owner TEXT NOT NULL,
    page TEXT NOT NULL,
    name TEXT NOT NULL,
    query JSONB DEFAULT '{}'::jsonb NOT NULL,
    shared BOOLEAN DEFAULT false NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_saved_view PRIMARY KEY (id),
    CONSTRAINT uq_saved_view_owner_page_name UNIQUE (owner, page, name)
);
