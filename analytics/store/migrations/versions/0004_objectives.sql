CREATE TABLE slo_definition (
    slo_id text NOT NULL CONSTRAINT pk_slo_definition PRIMARY KEY,
    revision integer NOT NULL,
    document jsonb NOT NULL DEFAULT '{}'::jsonb,
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL,
    origin text NOT NULL DEFAULT 'live'
);

CREATE TABLE slo_revision (
    slo_id text NOT NULL CONSTRAINT fk_slo_revision_slo_id_slo_definition
        REFERENCES slo_definition (slo_id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    revision integer NOT NULL,
    document jsonb,
    note text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    CONSTRAINT pk_slo_revision PRIMARY KEY (slo_id, revision)
);

CREATE TABLE slo_reading (
    slo_id text NOT NULL CONSTRAINT pk_slo_reading PRIMARY KEY,
    read_until timestamptz,
    read_at timestamptz,
    failed_at timestamptz,
    error text,
    warnings jsonb NOT NULL DEFAULT '[]'::jsonb,
    fingerprint text NOT NULL DEFAULT ''
);

-- Where each objective has been read to so far, so that an upgrade does not read thirty days anew.
INSERT INTO slo_reading (slo_id, read_until)
SELECT slo_id, max(bucket_start) + interval '5 minutes' FROM slo_bucket_5m WHERE origin = 'live' GROUP BY slo_id;
DELETE FROM job_cursor WHERE name IN ('slo.prometheus', 'slo.postgres');

ALTER TABLE slo_bucket_5m ADD COLUMN group_key text NOT NULL DEFAULT '';
ALTER TABLE slo_bucket_5m DROP CONSTRAINT pk_slo_bucket_5m;
ALTER TABLE slo_bucket_5m ADD CONSTRAINT pk_slo_bucket_5m PRIMARY KEY (slo_id, group_key, bucket_start);
ALTER TABLE slo_bucket_1h ADD COLUMN group_key text NOT NULL DEFAULT '';
ALTER TABLE slo_bucket_1h DROP CONSTRAINT pk_slo_bucket_1h;
ALTER TABLE slo_bucket_1h ADD CONSTRAINT pk_slo_bucket_1h PRIMARY KEY (slo_id, group_key, bucket_start);

-- Days are summed from their hours by the database itself, whoever writes hours, so that the two cannot differ.
CREATE TABLE slo_bucket_1d (
    slo_id text NOT NULL,
    group_key text NOT NULL DEFAULT '',
    bucket_start timestamptz NOT NULL,
    good double precision NOT NULL,
    total double precision NOT NULL,
    measured_s double precision NOT NULL,
    demo_total double precision NOT NULL DEFAULT 0,
    CONSTRAINT pk_slo_bucket_1d PRIMARY KEY (slo_id, group_key, bucket_start)
);

CREATE FUNCTION sum_slo_days() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- One writer of an objective at a time: each sums what the one before has committed.
    PERFORM pg_advisory_xact_lock(hashtextextended('helmsight.slo.days.' || slo_id, 0))
    FROM (SELECT DISTINCT slo_id FROM changed ORDER BY slo_id) AS writers;
    INSERT INTO slo_bucket_1d AS kept (slo_id, group_key, bucket_start, good, total, measured_s, demo_total)
    SELECT d.slo_id, d.group_key, d.day, h.good, h.total, h.measured_s, h.demo_total
    FROM (SELECT DISTINCT slo_id, group_key, date_bin('1 day', bucket_start, timestamptz 'epoch') AS day
          FROM changed) AS d
    CROSS JOIN LATERAL (
        SELECT sum(good) AS good, sum(total) AS total, sum(measured_s) AS measured_s, sum(demo_total) AS demo_total
        FROM slo_bucket_1h
        WHERE slo_id = d.slo_id AND group_key = d.group_key
          AND bucket_start >= d.day AND bucket_start < d.day + interval '24 hours') AS h
    WHERE h.total IS NOT NULL
    ON CONFLICT (slo_id, group_key, bucket_start) DO UPDATE
    SET good = excluded.good, total = excluded.total, measured_s = excluded.measured_s,
        demo_total = excluded.demo_total;
    IF TG_OP = 'DELETE' THEN
        DELETE FROM slo_bucket_1d AS d
        USING (SELECT DISTINCT slo_id, group_key, date_bin('1 day', bucket_start, timestamptz 'epoch') AS day
               FROM changed) AS c
        WHERE d.slo_id = c.slo_id AND d.group_key = c.group_key AND d.bucket_start = c.day
          AND NOT EXISTS (SELECT FROM slo_bucket_1h AS h
                          WHERE h.slo_id = d.slo_id AND h.group_key = d.group_key AND h.bucket_start >= d.bucket_start
                            AND h.bucket_start < d.bucket_start + interval '24 hours');
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER sum_days_of_added AFTER INSERT ON slo_bucket_1h
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION sum_slo_days();
CREATE TRIGGER sum_days_of_changed AFTER UPDATE ON slo_bucket_1h
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION sum_slo_days();
CREATE TRIGGER sum_days_of_gone AFTER DELETE ON slo_bucket_1h
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION sum_slo_days();

INSERT INTO slo_bucket_1d (slo_id, bucket_start, good, total, measured_s, demo_total)
SELECT slo_id, date_bin('1 day', bucket_start, timestamptz 'epoch'), sum(good), sum(total), sum(measured_s),
       sum(demo_total)
FROM slo_bucket_1h GROUP BY 1, 2;

CREATE TABLE slo_correction (
    id uuid NOT NULL CONSTRAINT pk_slo_correction PRIMARY KEY,
    slo_id text,
    service text,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    rrule text,
    zone text NOT NULL DEFAULT 'UTC',
    reason text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    withdrawn_at timestamptz,
    withdrawn_by text,
    origin text NOT NULL DEFAULT 'live',
    CONSTRAINT ck_slo_correction_ends CHECK (starts_at < ends_at),
    CONSTRAINT ck_slo_correction_scope CHECK (slo_id IS NULL OR service IS NULL)
);
CREATE INDEX ix_slo_correction_starts_at ON slo_correction (starts_at);

CREATE TABLE slo_alert (
    id uuid NOT NULL CONSTRAINT pk_slo_alert PRIMARY KEY,
    slo_id text NOT NULL,
    group_key text NOT NULL DEFAULT '',
    kind text NOT NULL,
    severity text NOT NULL,
    tier smallint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    frozen_at timestamptz,
    is_inhibited boolean NOT NULL DEFAULT false,
    detail jsonb NOT NULL DEFAULT '{}'::jsonb,
    origin text NOT NULL DEFAULT 'live',
    CONSTRAINT ck_slo_alert_kind CHECK (kind IN ('burn', 'exhausted', 'violated', 'no_data')),
    CONSTRAINT ck_slo_alert_severity CHECK (severity IN ('page', 'ticket'))
);
CREATE UNIQUE INDEX uq_slo_alert_open ON slo_alert (slo_id, group_key, kind, tier) WHERE ended_at IS NULL;
CREATE INDEX ix_slo_alert_slo_id_started_at ON slo_alert (slo_id, started_at DESC);
CREATE INDEX ix_slo_alert_started_at ON slo_alert (started_at DESC);

ALTER TABLE annotation ADD COLUMN created_by text;
DELETE FROM job_cursor WHERE starts_with(name, 'alert:');
