"""Adding the demo history, and taking it out again without touching anything else."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import redis
from sqlalchemy import Connection, Engine, delete, func, select, text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, floor_time, require_aware, utc_now
from analytics.demo import live
from analytics.demo.alerts import demo_alerts
from analytics.demo.buckets import demo_buckets
from analytics.demo.chance import Chance
from analytics.demo.company import incidents, releases
from analytics.demo.history import company_history
from analytics.demo.objectives import OF_SLOS, add_objectives
from analytics.demo.rows import COLUMNS, History
from analytics.demo.runs import OF_RUNS, add_runs, stored_definition
from analytics.live.cache import invalidate
from analytics.rollup.upkeep import keep_up
from analytics.slo import catalogue, ledger
from analytics.slo.model import BUCKET
from analytics.store.engine import session_scope
from analytics.store.partitions import ensure_partitions
from analytics.store.tables import (
    DEMO,
    Agent,
    Base,
    Run,
    SloAlert,
    SloBucket1h,
    SloBucket5m,
    SloDefinition,
    SloReading,
    SloRevision,
)

LENGTH = timedelta(days=30)
_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('helmsight.demo'))")
_TAGS = ("agents", "contexts", "journeys", "kpis", "leads", "projects", "sessions", "slos", "tasks")
"""Of what is kept in caches and rests on rows of the demo."""


@dataclass(frozen=True, slots=True)
class SeedReport:
    """What was added; nothing where the history was there already."""

    rows: Mapping[str, int] = field(default_factory=dict)
    """Rows by table."""

    def __str__(self) -> str:
        """Return it as a line for a person."""
        if not self.rows:
            return "already there, nothing added"
        return f"{sum(self.rows.values()):,} rows in {len(self.rows)} tables"


@dataclass(frozen=True, slots=True)
class RemoveReport:
    """What was removed, and what stays although the demo brought it."""

    rows: Mapping[str, int] = field(default_factory=dict)
    """Rows by table."""
    kept_projects: int = 0
    """Projects that stay because somebody has added work of their own to them."""
    kept_objectives: int = 0
    """Objectives that stay because somebody's own composite is made of them."""

    def __str__(self) -> str:
        """Return it as a line for a person."""
        kept = f"; {self.kept_projects} projects stay, they hold work of yours" if self.kept_projects else ""
        if self.kept_objectives:
            kept += f"; {self.kept_objectives} objectives stay, a composite of yours is made of them"
        return f"{sum(self.rows.values()):,} rows in {len(self.rows)} tables{kept}"


def is_seeded(session: Session) -> bool:
    """Return whether the demo history is there."""
    return session.scalar(select(Agent.id).where(Agent.origin == DEMO).limit(1)) is not None


def seed(engine: Engine, client: redis.Redis | None, *, seed: int = 7, now: datetime) -> SeedReport:
    """Add the thirty days before *now* of an invented company, every row with the origin ``demo``.

    The same *seed* and *now* make the same rows. Safe to run twice, also at once: what is there is left. Runs of the
    demo workflow come with it, or with a later call when no worker has stored the workflow yet.

    Raises:
        DependencyError: If PostgreSQL or Redis is away.
    """
    until = require_aware(now)
    with session_scope(engine) as session:
        session.execute(_LOCK)
        ensure_partitions(session.connection(), since=until - LENGTH - timedelta(days=1))
        added: dict[str, int] = {}
        if not is_seeded(session):
            added |= _add_company(session, seed, until)
        added |= _add_runs(session, seed, until)
    if added:
        keep_up(engine, now=until, late_every=timedelta(0))
    if client is not None:
        invalidate(client, *_TAGS)
        live.keep_alive(client)
    return SeedReport(added)


def remove(engine: Engine, client: redis.Redis | None) -> RemoveReport:
    """Remove every row with the origin ``demo`` and what hangs on it, and nothing else. Safe to run twice.

    A demo project that holds tasks or work items of somebody's own stays under a name that says so, and is theirs. So
    is a demo objective that somebody changed, or that a composite of theirs is made of.

    Raises:
        DependencyError: If PostgreSQL or Redis is away.
    """
    with session_scope(engine) as session:
        session.execute(_LOCK)
        kept: Any = session.execute(_KEEP_PROJECTS)
        kept_slos: Any = session.execute(_KEEP_OBJECTIVES)
        span = _demo_span(session)
        removed = _remove_what_hangs_on_runs(session) | _remove_what_hangs_on_objectives(session)
        for table in reversed(Base.metadata.sorted_tables):
            if "origin" not in table.columns:
                continue
            gone: Any = session.execute(delete(table).where(table.c.origin == DEMO))
            if gone.rowcount:
                removed[table.name] = gone.rowcount
        for slo_id, since, until in span:
            ledger.roll_up(session, [slo_id], since=since, until=until)
            ledger.drop_empty_hours(session, [slo_id], since=since, until=until)
        session.execute(delete(SloBucket1h).where(SloBucket1h.demo_total > 0))  # their buckets were pruned before
    if removed:
        keep_up(engine, now=utc_now(), late_every=timedelta(0))
    if client is not None:
        invalidate(client, *_TAGS)
        live.forget(client)
    return RemoveReport(removed, kept.rowcount, kept_slos.rowcount)


def _add_company(session: Session, seed: int, until: datetime) -> dict[str, int]:
    chance = Chance(seed)
    wrong = incidents(until)
    history = company_history(chance, since=until - LENGTH, until=until, incidents=wrong, releases=releases(until))
    add_objectives(history, known=session.scalars(select(SloDefinition.slo_id)).all())
    connection = session.connection()
    columns = {**COLUMNS, **OF_SLOS}
    added = {table: _copy(connection, table, names, history.rows[table]) for table, names in columns.items()}
    end = floor_time(until, BUCKET)
    start = floor_time(end - LENGTH, BUCKET)
    buckets = demo_buckets(chance, history, since=start, until=end, incidents=wrong)
    added["slo_bucket_5m"] = _add_buckets(connection, buckets)
    ids = sorted({bucket.slo_id for bucket in buckets})
    ledger.roll_up(session, ids, since=start, until=end)
    counted = ledger.histories(session, catalogue.load(session, ids=ids), Interval(start, end))
    alerts = demo_alerts(chance, list(counted.values()))
    session.add_all(alerts)
    added["slo_alert"] = len(alerts)
    return added


def _add_runs(session: Session, seed: int, until: datetime) -> dict[str, int]:
    """Add runs of the demo workflow, unless they are there or the workflow is not."""
    has_runs = session.scalar(select(Run.id).where(Run.origin == DEMO, Run.created_at >= until - LENGTH).limit(1))
    definition = stored_definition(session)
    if has_runs is not None or definition is None:
        return {}
    history = History(Chance(seed + 1), until - LENGTH, until)
    add_runs(history, definition)
    connection = session.connection()
    added = {table: _copy(connection, table, names, history.rows[table]) for table, names in OF_RUNS.items()}
    counted: Any = session.execute(_COUNT_RUNS)
    return {table: rows for table, rows in {**added, "workflow_day": counted.rowcount}.items() if rows}


def _remove_what_hangs_on_runs(session: Session) -> dict[str, int]:
    removed = {}
    for table in ("node_run", "node_attempt", "node_log", "run_event", "artifact"):
        gone: Any = session.execute(
            text(
                f"DELETE FROM {table} t USING run"  # noqa: S608 - one of the names above
                " WHERE run.origin = 'demo' AND t.run_id = run.id AND t.run_created_at = run.created_at"
            )
        )
        if gone.rowcount:
            removed[table] = gone.rowcount
    return removed


def _remove_what_hangs_on_objectives(session: Session) -> dict[str, int]:
    """Remove revisions of demo objectives, and what was measured for them since."""
    ids = session.scalars(select(SloDefinition.slo_id).where(SloDefinition.origin == DEMO)).all()
    session.execute(delete(SloReading).where(SloReading.slo_id.in_(ids)))
    session.execute(delete(SloBucket1h).where(SloBucket1h.slo_id.in_(ids)))
    for table in (SloAlert, SloBucket5m):
        session.execute(delete(table).where(table.slo_id.in_(ids), table.origin != DEMO))
    gone: Any = session.execute(delete(SloRevision).where(SloRevision.slo_id.in_(ids)))
    return {"slo_revision": gone.rowcount} if gone.rowcount else {}


def _copy(connection: Connection, table: str, names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> int:
    """Write *rows* by COPY, the fastest way in; return how many."""
    driver: Any = connection.connection.driver_connection
    count = 0
    with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({', '.join(names)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
            count += 1
    return count


def _add_buckets(connection: Connection, buckets: Sequence[ledger.Bucket]) -> int:
    """Write *buckets* as demo history where no live bucket stands; return how many were written."""
    connection.execute(text("CREATE TEMP TABLE demo_bucket (LIKE slo_bucket_5m INCLUDING DEFAULTS) ON COMMIT DROP"))
    names = ("slo_id", "group_key", "bucket_start", "good", "total", "measured_s", "origin")
    rows = ((item.slo_id, item.group_key, item.start, item.good, item.total, item.measured_s, DEMO) for item in buckets)
    _copy(connection, "demo_bucket", names, rows)
    written = connection.execute(text("INSERT INTO slo_bucket_5m SELECT * FROM demo_bucket ON CONFLICT DO NOTHING"))
    return written.rowcount


def _demo_span(session: Session) -> list[tuple[str, datetime, datetime]]:
    """Return from when to when each objective has demo history."""
    rows = session.execute(
        select(SloBucket5m.slo_id, func.min(SloBucket5m.bucket_start), func.max(SloBucket5m.bucket_start))
        .where(SloBucket5m.origin == DEMO)
        .group_by(SloBucket5m.slo_id)
    )
    return [(row[0], row[1], row[2] + BUCKET) for row in rows]


_KEEP_PROJECTS = text("""
    UPDATE project
    SET origin = 'live', name = replace(name, ' (demo)', '') || ' (kept ' || right(CAST(id AS text), 6) || ')'
    WHERE origin = 'demo'
      AND (EXISTS (SELECT FROM task WHERE task.project_id = project.id AND task.origin <> 'demo')
           OR EXISTS (SELECT FROM work_item WHERE work_item.project_id = project.id AND work_item.origin <> 'demo'))
""")

_KEEP_OBJECTIVES = text("""
    UPDATE slo_definition kept SET origin = 'live'
    WHERE origin = 'demo'
      AND EXISTS (SELECT FROM slo_definition whole
                  WHERE whole.origin <> 'demo' AND whole.document #> '{indicator,composite,members}'
                        @> jsonb_build_array(jsonb_build_object('slo', kept.slo_id)))
""")

_COUNT_RUNS = text("""
    INSERT INTO workflow_day (workflow_id, day, origin, completed, failed, started, duration_s, wait_s, last_run_at)
    SELECT workflow_id, (created_at AT TIME ZONE 'UTC')::date AS day, origin,
        count(*) FILTER (WHERE status = 'completed'), count(*) FILTER (WHERE status = 'failed'), count(started_at),
        coalesce(sum(took_s) FILTER (WHERE status = 'completed'), 0),
        sum(extract(epoch FROM started_at - queued_at)), max(created_at)
    FROM run WHERE origin = 'demo' GROUP BY workflow_id, day, origin
    ON CONFLICT (workflow_id, day, origin) DO NOTHING
""")
