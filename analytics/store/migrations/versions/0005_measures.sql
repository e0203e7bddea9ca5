-- Cells of the rollup: what was counted of one cut of one kind of fact, for one key, in one hour or day.
CREATE TABLE rollup_hour (
    cut text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    bucket_start timestamptz NOT NULL,
    newest timestamptz NOT NULL,
    n integer NOT NULL,
    ok integer,
    failed integer,
    demo integer NOT NULL DEFAULT 0,
    duration_n integer,
    duration_s double precision,
    input_tokens bigint,
    output_tokens bigint,
    cost_usd numeric(18, 6),
    priced integer,
    value_n integer,
    value_sum double precision,
    value_min double precision,
    value_max double precision,
    sketch bytea,
    people bytea,
    CONSTRAINT pk_rollup_hour PRIMARY KEY (cut, key, bucket_start)
) PARTITION BY RANGE (bucket_start);
-- Cells of an hour lie side by side: they are written, and written again, together.
CREATE INDEX ix_rollup_hour_bucket_start ON rollup_hour USING brin (bucket_start) WITH (pages_per_range = 8);

CREATE TABLE rollup_day (LIKE rollup_hour INCLUDING DEFAULTS, CONSTRAINT pk_rollup_day PRIMARY KEY (cut, key, bucket_start))
    PARTITION BY RANGE (bucket_start);

-- Hours whose rows changed since they were summed. Rows are only added and taken away, never changed, so that
-- transactions that write facts of the same hour do not wait for each other.
CREATE TABLE rollup_dirty (
    source text NOT NULL,
    hour timestamptz NOT NULL
);

-- Everybody who writes facts marks their hours, whatever program it is: statement by statement, not row by row. What is
-- there already is marked now, and so summed first of all. A run is updated at every step; only its beginning and its end
-- (run_ended) change what is summed.
DO $do$
DECLARE marked record;
BEGIN
    FOR marked IN
        SELECT *, format('INSERT INTO rollup_dirty SELECT DISTINCT %1$L, date_bin(''1 hour'', %2$I, ''epoch'')', source, moment)
            AS marks
        FROM (VALUES ('agent_run', 'agent_run', 'started_at', true), ('llm_call', 'llm_call', 'at', true),
            ('event', 'event', 'at', true), ('metric_sample', 'metric_sample', 'at', true),
            ('lead', 'lead', 'created_at', true), ('work_item', 'work_item', 'created_at', true),
            ('work_done', 'work_item', 'finished_at', true), ('run', 'run', 'created_at', false),
            ('run', 'run_ended', 'run_created_at', false)) AS facts (source, fact, moment, is_updated)
    LOOP
        EXECUTE format('CREATE FUNCTION mark_%1$s_of_%2$s() RETURNS trigger LANGUAGE plpgsql AS $mark$
            BEGIN
                %3$s FROM changed WHERE %4$I IS NOT NULL;
                RETURN NULL;
            END $mark$', marked.source, marked.fact, marked.marks, marked.moment);
        EXECUTE format('CREATE TRIGGER mark_%1$s_insert AFTER INSERT ON %2$I REFERENCING NEW TABLE AS changed
            FOR EACH STATEMENT EXECUTE FUNCTION mark_%1$s_of_%2$s()', marked.source, marked.fact);
        IF marked.is_updated THEN
            EXECUTE format('CREATE TRIGGER mark_%1$s_update_from AFTER UPDATE ON %2$I REFERENCING OLD TABLE AS changed
                FOR EACH STATEMENT EXECUTE FUNCTION mark_%1$s_of_%2$s()', marked.source, marked.fact);
            EXECUTE format('CREATE TRIGGER mark_%1$s_update_to AFTER UPDATE ON %2$I REFERENCING NEW TABLE AS changed
                FOR EACH STATEMENT EXECUTE FUNCTION mark_%1$s_of_%2$s()', marked.source, marked.fact);
        END IF;
        IF marked.fact <> 'run_ended' THEN
            EXECUTE format('CREATE TRIGGER mark_%1$s_delete AFTER DELETE ON %2$I REFERENCING OLD TABLE AS changed
                FOR EACH STATEMENT EXECUTE FUNCTION mark_%1$s_of_%2$s()', marked.source, marked.fact);
            EXECUTE format('%s FROM %I WHERE %I IS NOT NULL', marked.marks, marked.fact, marked.moment);
        END IF;
    END LOOP;
END $do$;

-- Facts of journeys: what a step took and cost, and when we were told.
ALTER TABLE event ADD COLUMN service text;
ALTER TABLE event ADD COLUMN duration_ms double precision CONSTRAINT ck_event_duration_ms CHECK (duration_ms >= 0);
ALTER TABLE event ADD COLUMN cost_usd numeric(14, 6);
ALTER TABLE event ADD COLUMN received_at timestamptz NOT NULL DEFAULT now();

ALTER TABLE lead ADD COLUMN external_id text;
ALTER TABLE lead ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();
CREATE UNIQUE INDEX uq_lead_source_external_id ON lead (source, external_id) WHERE external_id IS NOT NULL;

ALTER TABLE metric_sample ADD COLUMN warning double precision;
ALTER TABLE metric_sample ADD COLUMN critical double precision;
CREATE INDEX ix_metric_sample_at ON metric_sample USING brin (at);

CREATE TABLE context (
    id text NOT NULL CONSTRAINT pk_context PRIMARY KEY,
    parent_id text,
    kind text NOT NULL,
    name text NOT NULL,
    agent_id text,
    project_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    archived_at timestamptz,
    last_read_at timestamptz,
    last_write_at timestamptz,
    props jsonb NOT NULL DEFAULT '{}'::jsonb,
    origin text NOT NULL DEFAULT 'live'
);
CREATE INDEX ix_context_parent_id ON context (parent_id);
CREATE INDEX ix_context_created_at ON context (created_at DESC);

CREATE TABLE kpi_threshold (
    kpi_id text NOT NULL CONSTRAINT pk_kpi_threshold PRIMARY KEY,
    revision integer NOT NULL,
    target double precision,
    good double precision,
    warning double precision,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL
);
CREATE TABLE kpi_threshold_revision (
    kpi_id text NOT NULL,
    revision integer NOT NULL,
    target double precision,
    good double precision,
    warning double precision,
    note text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    CONSTRAINT pk_kpi_threshold_revision PRIMARY KEY (kpi_id, revision)
);

CREATE TABLE insight (
    id uuid NOT NULL CONSTRAINT pk_insight PRIMARY KEY,
    kind text NOT NULL CONSTRAINT ck_insight_kind
        CHECK (kind IN ('anomaly', 'regression', 'forecast', 'correlation', 'capacity', 'threshold')),
    fingerprint text NOT NULL,
    kpi_id text NOT NULL,
    dim text NOT NULL DEFAULT '',
    key text NOT NULL DEFAULT '',
    title text NOT NULL,
    confidence double precision NOT NULL CONSTRAINT ck_insight_confidence CHECK (confidence BETWEEN 0 AND 1),
    is_good boolean,
    since timestamptz NOT NULL,
    until timestamptz,
    found_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    evidence jsonb NOT NULL DEFAULT '{}'::jsonb,
    origin text NOT NULL DEFAULT 'live',
    CONSTRAINT uq_insight_fingerprint UNIQUE (fingerprint)
);
CREATE INDEX ix_insight_seen_at ON insight (seen_at DESC, id DESC);
CREATE TABLE insight_feedback (
    insight_id uuid NOT NULL CONSTRAINT fk_insight_feedback_insight_id_insight REFERENCES insight (id) ON DELETE CASCADE,
    actor text NOT NULL,
    is_useful boolean NOT NULL,
    note text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_insight_feedback PRIMARY KEY (insight_id, actor)
);

CREATE TABLE funnel (
    id uuid NOT NULL CONSTRAINT pk_funnel PRIMARY KEY,
    name text NOT NULL CONSTRAINT uq_funnel_name UNIQUE,
    steps jsonb NOT NULL,
    window_s double precision NOT NULL CONSTRAINT ck_funnel_window_s CHECK (window_s > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL,
    origin text NOT NULL DEFAULT 'live'
);
