-- The first schema: identity, projects, workflows, agents, measurements.

CREATE EXTENSION IF NOT EXISTS citext;

CREATE TABLE agent (
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    icon TEXT DEFAULT 'smart_toy' NOT NULL,
    team TEXT,
    config JSONB DEFAULT '{}'::jsonb NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    origin TEXT DEFAULT 'live' NOT NULL,
    CONSTRAINT pk_agent PRIMARY KEY (id)
);

CREATE TABLE agent_run (
    id UUID NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    agent_id TEXT NOT NULL,
    project_id UUID,
    parent_id UUID,
    task_kind TEXT NOT NULL,
    status TEXT NOT NULL,
    confidence DOUBLE PRECISION,
    input_tokens INTEGER DEFAULT 0 NOT NULL,
    output_tokens INTEGER DEFAULT 0 NOT NULL,
    cost_usd NUMERIC(14, 6),
    error TEXT,
    origin TEXT DEFAULT 'live' NOT NULL,
    CONSTRAINT pk_agent_run PRIMARY KEY (id, started_at),
    CONSTRAINT ck_agent_run_status CHECK (status IN ('running', 'completed', 'failed', 'cancelled'))
)
 PARTITION BY RANGE (started_at);

CREATE INDEX ix_agent_run_agent_id_started_at ON agent_run (agent_id, started_at DESC);

CREATE INDEX ix_agent_run_started_at ON agent_run USING brin (started_at);

CREATE TABLE annotation (
    id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    until TIMESTAMP WITH TIME ZONE,
    kind TEXT NOT NULL,
    title TEXT NOT NULL,
    service TEXT,
    origin TEXT DEFAULT 'live' NOT NULL,
    CONSTRAINT pk_annotation PRIMARY KEY (id),
    CONSTRAINT ck_annotation_kind CHECK (kind IN ('deploy', 'incident', 'note'))
);

CREATE INDEX ix_annotation_at ON annotation (at DESC);

CREATE TABLE app_user (
    id UUID NOT NULL,
    email CITEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    must_change_password BOOLEAN DEFAULT false NOT NULL,
    disabled_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_app_user PRIMARY KEY (id),
    CONSTRAINT ck_app_user_role CHECK (role IN ('viewer', 'analyst', 'operator', 'admin')),
    CONSTRAINT uq_app_user_email UNIQUE (email)
);

CREATE TABLE audit_log (
    id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    object_type TEXT,
    object_id TEXT,
    outcome TEXT NOT NULL,
    detail JSONB DEFAULT '{}'::jsonb NOT NULL,
    correlation_id TEXT,
    address INET,
    CONSTRAINT pk_audit_log PRIMARY KEY (id, at)
)
 PARTITION BY RANGE (at);

CREATE INDEX ix_audit_log_actor_at ON audit_log (actor, at DESC);

CREATE INDEX ix_audit_log_at ON audit_log (at DESC);

CREATE TABLE blob (
    sha256 BYTEA NOT NULL,
    size_bytes INTEGER NOT NULL,
    content BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_blob PRIMARY KEY (sha256)
);

CREATE TABLE event (
    id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    subject TEXT,
    project_id UUID,
    props JSONB DEFAULT '{}'::jsonb NOT NULL,
    origin TEXT DEFAULT 'live' NOT NULL,
    CONSTRAINT pk_event PRIMARY KEY (id, at)
)
 PARTITION BY RANGE (at);

CREATE INDEX ix_event_at ON event USING brin (at);

CREATE INDEX ix_event_kind_at ON event (kind, at DESC);

CREATE INDEX ix_event_subject_at ON event (subject, at DESC);

CREATE TABLE handoff (
    id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    source_agent_id TEXT NOT NULL,
    target_agent_id TEXT NOT NULL,
    run_id UUID,
    ok BOOLEAN DEFAULT true NOT NULL,
    origin TEXT DEFAULT 'live' NOT NULL,
    CONSTRAINT pk_handoff PRIMARY KEY (id, at)
)
 PARTITION BY RANGE (at);

CREATE INDEX ix_handoff_at ON handoff USING brin (at);

CREATE TABLE job_cursor (
    name TEXT NOT NULL,
    position TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_job_cursor PRIMARY KEY (name)
);

CREATE TABLE lead (
    id UUID NOT NULL,
    email TEXT,
    owner TEXT,
    source TEXT NOT NULL,
    status TEXT DEFAULT 'new' NOT NULL,
    p_score DOUBLE PRECISION,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    converted_at TIMESTAMP WITH TIME ZONE,
    origin TEXT DEFAULT 'live' NOT NULL,
    CONSTRAINT pk_lead PRIMARY KEY (id),
    CONSTRAINT ck_lead_p_score CHECK (p_score BETWEEN 0 AND 1),
    CONSTRAINT ck_lead_status CHECK (status IN ('new', 'contacted', 'qualified', 'won', 'lost'))
);

CREATE INDEX ix_lead_created_at_p_score ON lead (created_at DESC, p_score DESC);

CREATE INDEX ix_lead_email ON lead (email) WHERE email IS NOT NULL;

CREATE INDEX ix_lead_owner_status ON lead (owner, status);

CREATE TABLE llm_call (
    id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    agent_run_id UUID,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    ok BOOLEAN NOT NULL,
    duration_ms DOUBLE PRECISION NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cost_usd NUMERIC(14, 6),
    origin TEXT DEFAULT 'live' NOT NULL,
    CONSTRAINT pk_llm_call PRIMARY KEY (id, at)
)
 PARTITION BY RANGE (at);

CREATE INDEX ix_llm_call_at ON llm_call USING brin (at);

CREATE TABLE login_failure (
    id BIGINT GENERATED BY DEFAULT AS IDENTITY,
    key TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_login_failure PRIMARY KEY (id)
);

CREATE INDEX ix_login_failure_at ON login_failure (at);

CREATE INDEX ix_login_failure_key_at ON login_failure (key, at);

CREATE TABLE metric_sample (
    id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    name TEXT NOT NULL,
    value FLOAT(53) NOT NULL,
    unit TEXT NOT NULL,
    tags JSONB DEFAULT '{}'::jsonb NOT NULL,
    origin TEXT DEFAULT 'live' NOT NULL,
    CONSTRAINT pk_metric_sample PRIMARY KEY (id, at)
)
 PARTITION BY RANGE (at);

CREATE INDEX ix_metric_sample_name_at ON metric_sample (name, at DESC);

CREATE TABLE node_run (
    run_id UUID NOT NULL,
    run_created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    node_id TEXT NOT NULL,
    map_index INTEGER DEFAULT -1 NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    attempt SMALLINT DEFAULT 1 NOT NULL,
    executor TEXT,
    started_at TIMESTAMP WITH TIME ZONE,
    finished_at TIMESTAMP WITH TIME ZONE,
    output JSONB,
    error JSONB,
    CONSTRAINT pk_node_run PRIMARY KEY (run_id, run_created_at, node_id, map_index),
    CONSTRAINT ck_node_run_status CHECK (status IN ('pending', 'running', 'completed', 'failed', 'skipped', 'cancelled'))
)
 PARTITION BY RANGE (run_created_at);

CREATE INDEX ix_node_run_created_at ON node_run USING brin (run_created_at);

CREATE TABLE project (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    config JSONB DEFAULT '{}'::jsonb NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    origin TEXT DEFAULT 'live' NOT NULL,
    CONSTRAINT pk_project PRIMARY KEY (id),
    CONSTRAINT uq_project_name UNIQUE (name)
);

CREATE TABLE run (
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    workflow_id UUID NOT NULL,
    version INTEGER NOT NULL,
    status TEXT DEFAULT 'queued' NOT NULL,
    priority INTEGER DEFAULT 0 NOT NULL,
    requested_by TEXT,
    trigger TEXT DEFAULT 'page' NOT NULL,
    correlation_id TEXT,
    parent_run_id UUID,
    input JSONB DEFAULT '{}'::jsonb NOT NULL,
    output JSONB,
    error JSONB,
    attempt INTEGER DEFAULT 0 NOT NULL,
    queued_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE,
    finished_at TIMESTAMP WITH TIME ZONE,
    origin TEXT DEFAULT 'live' NOT NULL,
    CONSTRAINT pk_run PRIMARY KEY (id, created_at),
    CONSTRAINT ck_run_status CHECK (status IN ('queued', 'running', 'waiting', 'completed', 'failed', 'cancelled'))
)
 PARTITION BY RANGE (created_at);

CREATE INDEX ix_run_created_at_id ON run (created_at DESC, id DESC);

CREATE INDEX ix_run_status_created_at ON run (status, created_at DESC);

CREATE INDEX ix_run_workflow_id_created_at ON run (workflow_id, created_at DESC);

CREATE TABLE run_active (
    run_id UUID NOT NULL,
    run_created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    workflow_id UUID NOT NULL,
    status TEXT DEFAULT 'queued' NOT NULL,
    priority INTEGER DEFAULT 0 NOT NULL,
    idempotency_key TEXT,
    owner TEXT,
    epoch INTEGER DEFAULT 0 NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    queued_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    token_at TIMESTAMP WITH TIME ZONE,
    cancel_requested BOOLEAN DEFAULT false NOT NULL,
    CONSTRAINT pk_run_active PRIMARY KEY (run_id),
    CONSTRAINT ck_run_active_status CHECK (status IN ('queued', 'running', 'waiting'))
);

CREATE INDEX ix_run_active_claim ON run_active (priority DESC, queued_at, run_id) WHERE status = 'queued';

CREATE INDEX ix_run_active_lease ON run_active (lease_until) WHERE status = 'running';

CREATE UNIQUE INDEX uq_run_active_idempotency ON run_active (workflow_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TABLE slo_bucket_1h (
    slo_id TEXT NOT NULL,
    bucket_start TIMESTAMP WITH TIME ZONE NOT NULL,
    good FLOAT(53) NOT NULL,
    total FLOAT(53) NOT NULL,
    measured_s FLOAT(53) NOT NULL,
    demo_total FLOAT(53) DEFAULT 0 NOT NULL,
    CONSTRAINT pk_slo_bucket_1h PRIMARY KEY (slo_id, bucket_start)
);

CREATE TABLE slo_bucket_5m (
    slo_id TEXT NOT NULL,
    bucket_start TIMESTAMP WITH TIME ZONE NOT NULL,
    good FLOAT(53) NOT NULL,
    total FLOAT(53) NOT NULL,
    measured_s FLOAT(53) NOT NULL,
    origin TEXT DEFAULT 'live' NOT NULL,
    CONSTRAINT pk_slo_bucket_5m PRIMARY KEY (slo_id, bucket_start),
    CONSTRAINT ck_slo_bucket_5m_good CHECK (good >= 0 AND good <= total)
);

CREATE TABLE worker_process (
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    slots INTEGER NOT NULL,
    slots_used INTEGER DEFAULT 0 NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    stopped_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_worker_process PRIMARY KEY (name)
);

CREATE TABLE workflow (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    description TEXT DEFAULT '' NOT NULL,
    owner TEXT,
    status TEXT DEFAULT 'active' NOT NULL,
    current_version INTEGER NOT NULL,
    tags TEXT[] DEFAULT '{}' NOT NULL,
    builtin BOOLEAN DEFAULT false NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    origin TEXT DEFAULT 'live' NOT NULL,
    CONSTRAINT pk_workflow PRIMARY KEY (id),
    CONSTRAINT ck_workflow_status CHECK (status IN ('active', 'archived')),
    CONSTRAINT uq_workflow_name UNIQUE (name)
);

CREATE INDEX ix_workflow_name_search ON workflow USING gin (to_tsvector('simple', name));

CREATE INDEX ix_workflow_owner_status ON workflow (owner, status) WHERE status = 'active';

CREATE TABLE api_token (
    id UUID NOT NULL,
    user_id UUID NOT NULL,
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    token_hash BYTEA NOT NULL,
    role TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    last_used_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_api_token PRIMARY KEY (id),
    CONSTRAINT ck_api_token_role CHECK (role IN ('viewer', 'analyst', 'operator', 'admin')),
    CONSTRAINT fk_api_token_user_id FOREIGN KEY(user_id) REFERENCES app_user (id) ON DELETE CASCADE,
    CONSTRAINT uq_api_token_token_hash UNIQUE (token_hash)
);

CREATE INDEX ix_api_token_user_id ON api_token (user_id);

CREATE TABLE document (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    media_type TEXT NOT NULL,
    sha256 BYTEA NOT NULL,
    run_id UUID,
    uploaded_by TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    origin TEXT DEFAULT 'live' NOT NULL,
    CONSTRAINT pk_document PRIMARY KEY (id),
    CONSTRAINT fk_document_sha256 FOREIGN KEY(sha256) REFERENCES blob (sha256)
);

CREATE INDEX ix_document_created_at ON document (created_at DESC);

CREATE TABLE task (
    id UUID NOT NULL,
    project_id UUID NOT NULL,
    title TEXT NOT NULL,
    status TEXT DEFAULT 'open' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    origin TEXT DEFAULT 'live' NOT NULL,
    CONSTRAINT pk_task PRIMARY KEY (id),
    CONSTRAINT ck_task_status CHECK (status IN ('open', 'active', 'completed', 'failed', 'cancelled')),
    CONSTRAINT fk_task_project_id FOREIGN KEY(project_id) REFERENCES project (id) ON DELETE CASCADE
);

CREATE INDEX ix_task_project_id_created_at ON task (project_id, created_at DESC);

CREATE INDEX ix_task_status ON task (status);

CREATE TABLE user_session (
    id UUID NOT NULL,
    token_hash BYTEA NOT NULL,
    user_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    revoked_at TIMESTAMP WITH TIME ZONE,
    address INET,
    user_agent TEXT,
    CONSTRAINT pk_user_session PRIMARY KEY (id),
    CONSTRAINT uq_user_session_token_hash UNIQUE (token_hash),
    CONSTRAINT fk_user_session_user_id FOREIGN KEY(user_id) REFERENCES app_user (id) ON DELETE CASCADE
);

CREATE INDEX ix_user_session_expires_at ON user_session (expires_at);

CREATE INDEX ix_user_session_user_id ON user_session (user_id);

CREATE TABLE work_item (
    id UUID NOT NULL,
    project_id UUID,
    kind TEXT NOT NULL,
    title TEXT NOT NULL,
    owner TEXT,
    status TEXT DEFAULT 'open' NOT NULL,
    completion_ratio DOUBLE PRECISION DEFAULT 0 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    origin TEXT DEFAULT 'live' NOT NULL,
    CONSTRAINT pk_work_item PRIMARY KEY (id),
    CONSTRAINT ck_work_item_kind CHECK (kind IN ('assessment', 'recommendation', 'report')),
    CONSTRAINT ck_work_item_status CHECK (status IN ('open', 'active', 'completed', 'failed')),
    CONSTRAINT ck_work_item_completion_ratio CHECK (completion_ratio BETWEEN 0 AND 1),
    CONSTRAINT fk_work_item_project_id FOREIGN KEY(project_id) REFERENCES project (id) ON DELETE SET NULL
);

CREATE INDEX ix_work_item_kind_created_at ON work_item (kind, created_at DESC);

CREATE INDEX ix_work_item_kind_finished_at ON work_item (kind, finished_at);

CREATE INDEX ix_work_item_owner_created_at ON work_item (owner, created_at DESC);

CREATE TABLE workflow_version (
    workflow_id UUID NOT NULL,
    version INTEGER NOT NULL,
    spec JSONB NOT NULL,
    params_schema JSONB DEFAULT '{}'::jsonb NOT NULL,
    spec_hash TEXT NOT NULL,
    created_by TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_workflow_version PRIMARY KEY (workflow_id, version),
    CONSTRAINT fk_workflow_version_workflow_id FOREIGN KEY(workflow_id) REFERENCES workflow (id) ON DELETE CASCADE
);

CREATE TABLE document_page (
    document_id UUID NOT NULL,
    page INTEGER NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    text TEXT NOT NULL,
    filtered_text TEXT NOT NULL,
    confidence DOUBLE PRECISION,
    words JSONB NOT NULL,
    engine TEXT NOT NULL,
    settings JSONB DEFAULT '{}'::jsonb NOT NULL,
    duration_s DOUBLE PRECISION NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_document_page PRIMARY KEY (document_id, page),
    CONSTRAINT fk_document_page_document_id FOREIGN KEY(document_id) REFERENCES document (id) ON DELETE CASCADE
);
