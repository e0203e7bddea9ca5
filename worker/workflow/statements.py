# ruff: noqa: S608 - put together of constants only
"""The statements of a checkpoint, as the driver takes them; :mod:`worker.workflow.checkpoints` sends them.

The first of a transaction locks the rows of ``run_active``. Each of the others writes only for the runs that are
ours by then: whoever lost a run finds that nothing of it was kept.
"""

from typing import LiteralString

LOCK: LiteralString = (
    "SELECT run_id, epoch, owner, status FROM run_active WHERE run_id = ANY(%(ids)s::uuid[]) ORDER BY run_id FOR UPDATE"
)
LOCK_WITH_PARENTS: LiteralString = (
    "SELECT run_id, epoch, owner, status FROM run_active WHERE run_id = ANY(%(ids)s::uuid[])"
    " OR run_id IN (SELECT parent_run_id FROM run_active WHERE run_id = ANY(%(ids)s::uuid[])"
    " AND parent_run_id IS NOT NULL) ORDER BY run_id FOR UPDATE"
)
"""Parents too, in one order, so that two workers that end children of each other's runs do not wait in a circle."""

_OURS: LiteralString = (
    " JOIN run_active a ON a.run_id = x.run_id AND a.epoch = x.epoch AND a.owner = %(owner)s AND a.status = 'running'"
)

NODES: LiteralString = (
    "INSERT INTO node_run AS n (run_id, run_created_at, node_id, map_index, kind, status, attempt, executor, ready_at,"
    " started_at, finished_at, output, output_ref, error, cache_hit, cache_key, log_lines, changed_at)"
    " SELECT x.run_id, x.run_created_at, x.node_id, x.map_index, x.kind, x.status, x.attempt, x.executor, x.ready_at,"
    " x.started_at, x.finished_at, x.output::jsonb, x.output_ref, x.error::jsonb, x.cache_hit, x.cache_key,"
    " x.log_lines, clock_timestamp()"
    " FROM unnest(%(run_id)s::uuid[], %(run_created_at)s::timestamptz[], %(epoch)s::int4[], %(node_id)s::text[],"
    " %(map_index)s::int4[], %(kind)s::text[], %(status)s::text[], %(attempt)s::int2[], %(executor)s::text[],"
    " %(ready_at)s::timestamptz[], %(started_at)s::timestamptz[], %(finished_at)s::timestamptz[], %(output)s::text[],"
    " %(output_ref)s::uuid[], %(error)s::text[], %(cache_hit)s::bool[], %(cache_key)s::bytea[], %(log_lines)s::int4[])"
    " AS x(run_id, run_created_at, epoch, node_id, map_index, kind, status, attempt, executor, ready_at, started_at,"
    " finished_at, output, output_ref, error, cache_hit, cache_key, log_lines)" + _OURS + " ON CONFLICT"
    " (run_id, run_created_at, node_id, map_index) DO UPDATE SET status = EXCLUDED.status,"
    " attempt = EXCLUDED.attempt, executor = EXCLUDED.executor, ready_at = coalesce(EXCLUDED.ready_at, n.ready_at),"
    " started_at = EXCLUDED.started_at, finished_at = EXCLUDED.finished_at, output = EXCLUDED.output,"
    " output_ref = EXCLUDED.output_ref, error = EXCLUDED.error, cache_hit = EXCLUDED.cache_hit,"
    " cache_key = EXCLUDED.cache_key, log_lines = EXCLUDED.log_lines, changed_at = EXCLUDED.changed_at"
    " WHERE n.status <> 'completed'"
)
ATTEMPTS: LiteralString = (
    "INSERT INTO node_attempt (run_id, run_created_at, node_id, map_index, attempt, executor, started_at, finished_at,"
    " error) SELECT x.run_id, x.run_created_at, x.node_id, x.map_index, x.attempt, x.executor, x.started_at,"
    " x.finished_at, x.error::jsonb FROM unnest(%(run_id)s::uuid[], %(run_created_at)s::timestamptz[],"
    " %(epoch)s::int4[], %(node_id)s::text[], %(map_index)s::int4[], %(attempt)s::int2[], %(executor)s::text[],"
    " %(started_at)s::timestamptz[], %(finished_at)s::timestamptz[], %(error)s::text[]) AS x(run_id, run_created_at,"
    " epoch, node_id, map_index, attempt, executor, started_at, finished_at, error)" + _OURS + " ON CONFLICT DO NOTHING"
)
ARTIFACTS: LiteralString = (
    "INSERT INTO artifact (id, run_created_at, run_id, node_id, map_index, name, media_type, size_bytes, sha256,"
    " content) SELECT x.id, x.run_created_at, x.run_id, x.node_id, x.map_index, x.name, x.media_type, x.size_bytes,"
    " x.sha256, x.content FROM unnest(%(id)s::uuid[], %(run_created_at)s::timestamptz[], %(run_id)s::uuid[],"
    " %(epoch)s::int4[], %(node_id)s::text[], %(map_index)s::int4[], %(name)s::text[], %(media_type)s::text[],"
    " %(size_bytes)s::int8[], %(sha256)b::bytea[], %(content)b::bytea[]) AS x(id, run_created_at, run_id, epoch,"
    " node_id, map_index, name, media_type, size_bytes, sha256, content)" + _OURS + " ON CONFLICT DO NOTHING"
)
WAITS: LiteralString = (
    "INSERT INTO node_wait (run_id, run_created_at, node_id, map_index, kind, name, title, message, form, role, until)"
    " SELECT x.run_id, x.run_created_at, x.node_id, x.map_index, x.kind, x.name, x.title, x.message, x.form::jsonb,"
    " x.role, coalesce(x.until, now() + x.for_s * interval '1 second')"
    " FROM unnest(%(run_id)s::uuid[], %(run_created_at)s::timestamptz[], %(epoch)s::int4[], %(node_id)s::text[],"
    " %(map_index)s::int4[], %(kind)s::text[], %(name)s::text[], %(title)s::text[], %(message)s::text[],"
    " %(form)s::text[], %(role)s::text[], %(for_s)s::float8[], %(until)s::timestamptz[]) AS x(run_id, run_created_at,"
    " epoch, node_id, map_index, kind, name, title, message, form, role, for_s, until)" + _OURS + " ON CONFLICT"
    " (run_id, node_id, map_index) DO UPDATE SET kind = EXCLUDED.kind, name = EXCLUDED.name, title = EXCLUDED.title,"
    " message = EXCLUDED.message, form = EXCLUDED.form, role = EXCLUDED.role, until = EXCLUDED.until,"
    " created_at = now(), child_run_id = NULL, resolved_at = NULL, resolved_by = NULL, outcome = NULL, data = NULL"
)
TAKE_SIGNAL: LiteralString = (
    "WITH taken AS (DELETE FROM run_signal WHERE id = (SELECT id FROM run_signal WHERE run_id = %(run_id)s"
    " AND name = %(name)s ORDER BY at, id LIMIT 1) RETURNING data, sent_by)"
    " UPDATE node_wait w SET resolved_at = now(), outcome = 'received', data = taken.data, resolved_by = taken.sent_by"
    " FROM taken WHERE w.run_id = %(run_id)s AND w.node_id = %(node_id)s AND w.map_index = %(map_index)s"
    " AND w.resolved_at IS NULL"
    " AND EXISTS (SELECT 1 FROM run_active a WHERE a.run_id = %(run_id)s AND a.epoch = %(epoch)s"
    " AND a.owner = %(owner)s AND a.status = 'running')"
)
WAIT_ENDS: LiteralString = (
    "UPDATE node_wait w SET resolved_at = now(), outcome = x.outcome FROM unnest(%(run_id)s::uuid[],"
    " %(epoch)s::int4[], %(node_id)s::text[], %(map_index)s::int4[], %(outcome)s::text[]) AS x(run_id, epoch, node_id,"
    " map_index, outcome)" + _OURS + " WHERE w.run_id = x.run_id AND w.node_id = x.node_id"
    " AND w.map_index = x.map_index AND w.resolved_at IS NULL"
)
EVENTS: LiteralString = (
    "INSERT INTO run_event (id, run_id, run_created_at, kind, node_id, map_index, data)"
    " SELECT x.id, x.run_id, x.run_created_at, x.kind, x.node_id, x.map_index, x.data::jsonb FROM unnest("
    "%(id)s::uuid[], %(run_id)s::uuid[], %(run_created_at)s::timestamptz[], %(epoch)s::int4[], %(kind)s::text[],"
    " %(node_id)s::text[], %(map_index)s::int4[], %(data)s::text[]) AS x(id, run_id, run_created_at, epoch, kind,"
    " node_id, map_index, data)" + _OURS
)
CLOSE_WAITS: LiteralString = (
    "UPDATE node_wait w SET resolved_at = now(), outcome = 'cancelled' FROM unnest(%(run_id)s::uuid[],"
    " %(epoch)s::int4[]) AS x(run_id, epoch)" + _OURS + " WHERE w.run_id = x.run_id AND w.resolved_at IS NULL"
)
"""Sent with the ends of runs that may have open waits."""
TELL_PARENTS: LiteralString = (
    "WITH resolved AS (UPDATE node_wait w SET resolved_at = now(), outcome = 'ended',"
    " data = jsonb_build_object('run_id', x.run_id, 'status', x.status)"
    " FROM unnest(%(run_id)s::uuid[], %(epoch)s::int4[], %(status)s::text[]) AS x(run_id, epoch, status)"
    + _OURS
    + " WHERE w.child_run_id = x.run_id AND w.resolved_at IS NULL RETURNING w.run_id),"
    " woken AS (UPDATE run_active p SET status = 'queued', token_at = NULL, wake_at = NULL FROM resolved"
    " WHERE p.run_id = resolved.run_id AND p.status IN ('waiting', 'needs_attention')"
    " RETURNING p.run_id, p.run_created_at),"
    " told AS (UPDATE run r SET status = 'queued' FROM woken WHERE r.id = woken.run_id"
    " AND r.created_at = woken.run_created_at)"
    " SELECT pg_notify(%(control)s, 'look:' || run_id), pg_notify(%(control)s, 'claim:')"
    " FROM (SELECT DISTINCT run_id FROM resolved) AS parents"
)
"""Sent before the ends of runs that others wait for."""
ENDS: LiteralString = (
    "WITH ended AS (SELECT x.* FROM unnest(%(run_id)s::uuid[], %(run_created_at)s::timestamptz[], %(epoch)s::int4[],"
    " %(status)s::text[], %(output)s::text[], %(error)s::text[], %(counts)s::text[]) AS x(run_id, run_created_at,"
    " epoch, status, output, error, counts)" + _OURS + "),"
    " gone AS (DELETE FROM run_active a USING ended e WHERE a.run_id = e.run_id),"
    " told AS (INSERT INTO run_ended (run_id, run_created_at) SELECT run_id, run_created_at FROM ended"
    " ON CONFLICT DO NOTHING)"
    " UPDATE run r SET status = e.status, output = e.output::jsonb, error = e.error::jsonb,"
    " node_counts = e.counts::jsonb, finished_at = clock_timestamp()"
    " FROM ended e WHERE r.id = e.run_id AND r.created_at = e.run_created_at"
)
PARKS: LiteralString = (
    "WITH parked AS (UPDATE run_active p SET status = CASE WHEN p.cancel_requested THEN 'queued'"
    " WHEN p.pause_requested THEN 'paused' WHEN x.status = 'paused' THEN 'queued'"
    " WHEN EXISTS (SELECT 1 FROM node_wait w JOIN node_run n ON n.run_id = w.run_id"
    " AND n.run_created_at = w.run_created_at AND n.node_id = w.node_id AND n.map_index = w.map_index"
    " WHERE w.run_id = p.run_id AND w.resolved_at IS NOT NULL AND n.status IN ('waiting', 'needs_attention'))"
    " THEN 'queued' ELSE x.status END, owner = NULL, lease_until = NULL, token_at = NULL, pause_requested = false,"
    " wake_at = least((SELECT min(w.until) FROM node_wait w WHERE w.run_id = p.run_id AND w.resolved_at IS NULL),"
    " now() + x.timeout_in_s * interval '1 second')"
    " FROM unnest(%(run_id)s::uuid[], %(epoch)s::int4[], %(status)s::text[], %(timeout_in_s)s::float8[])"
    " AS x(run_id, epoch, status, timeout_in_s)" + _OURS + " WHERE p.run_id = x.run_id"
    " RETURNING p.run_id, p.run_created_at, p.status)"
    " UPDATE run r SET status = parked.status, attempt = r.attempt - 1 FROM parked"
    " WHERE r.id = parked.run_id AND r.created_at = parked.run_created_at RETURNING r.id, r.status"
)
"""A run that gives up its slot by itself has not outlived a worker, so the claim does not count."""
NOTIFY: LiteralString = "SELECT pg_notify(%(channel)s, %(payload)s)"
