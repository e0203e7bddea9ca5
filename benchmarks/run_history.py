"""A million runs in six months: how fast lists of runs are with every filter, and how fast a month is dropped.

``measure`` is called by ``benchmarks.workflow``; ``python -m benchmarks.run_history`` measures alone and prints each
filter. The database has the product's own schema, indexes and partitions; the product's own functions read it.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from pydantic import SecretStr
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, utc_now
from analytics.core.ids import new_id
from analytics.core.settings import Settings, StoreSettings
from analytics.store.engine import make_engine, session_scope
from analytics.store.migrate import migrate
from analytics.store.partitions import ensure_partitions, months_between, next_month
from analytics.store.queries import runs
from analytics.store.queries.run_filter import RunFilter
from analytics.store.retention import drop_old_months
from dashboard.processes.servers import EmbeddedPostgres, free_port, running

RUNS = 1_000_000
MONTHS = 6
LAST = uuid.UUID(int=2**128 - 1)

_INDEXES = text("""
    SELECT c.relname, replace(pg_get_indexdef(c.oid), ' ON ONLY ', ' ON ') AS definition
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = 'run'::regclass AND NOT i.indisprimary
""")
_WORKFLOWS = text("""
    WITH made AS (
        INSERT INTO workflow (id, name, current_version)
        SELECT uuidv7(), CASE WHEN n = 0 THEN 'retired-migration' ELSE 'team' || n % 9 || '-flow-' || n END, 1
        FROM generate_series(0, 59) n RETURNING id, name)
    INSERT INTO workflow_version (workflow_id, version, spec, spec_hash) SELECT id, 1, '{"nodes": []}', name FROM made
""")
_RUNS = text("""
    INSERT INTO run (id, created_at, queued_at, workflow_id, version, status, priority, requested_by, trigger, tags,
        schedule_id, input, output, error, attempt, started_at, finished_at, nodes_total, node_counts)
    SELECT uuidv7(d.at - now()), d.at, d.at, f.ids[1 + d.flow], 1, d.status, 0,
        CASE WHEN d.started_by = 'schedule' THEN NULL WHEN d.chance < 0.00003 THEN 'rare@example.com'
            ELSE 'user' || floor(80 * d.c ^ 2)::int || '@example.com' END,
        d.started_by,
        CASE WHEN d.chance < 0.00002 THEN '{rare}'::text[] WHEN d.d > 0.3 THEN '{}'::text[]
            ELSE ARRAY['tag' || floor(25 * d.e ^ 2)::int, 'team' || d.flow % 9] END,
        CASE WHEN d.started_by = 'schedule'
            THEN ('00000000-0000-4000-8000-0000000000' || 10 + floor(40 * d.e)::int)::uuid END,
        jsonb_build_object('document', md5(d.n::text), 'customer', floor(1000 * d.e)),
        CASE WHEN d.status = 'completed' THEN jsonb_build_object('pages', floor(9 * d.e), 'hash', md5(d.at::text)) END,
        CASE WHEN d.status = 'failed' THEN jsonb_build_object('node_id', 'fetch', 'message', 'No answer.', 'code',
            CASE WHEN d.chance < 0.0005 THEN 'dead_letter' ELSE 'dependency' END) END,
        1, d.at + d.e * interval '1 s', d.at + d.e * interval '1 s' + d.took_s * interval '1 s', 10,
        CASE WHEN d.status = 'completed' THEN '{"completed": 10}'::jsonb ELSE '{"completed": 4, "failed": 1}' END
    FROM (
        SELECT n, :since + (n + random()) * CAST(:step AS interval) AS at, random() AS chance, random() AS c,
            random() AS d, random() AS e, exp(random_normal(1.4, 1.3)) AS took_s,
            CASE WHEN :is_first AND random() < 0.0003 THEN 0 ELSE 1 + floor(59 * random() ^ 3)::int END AS flow,
            CASE WHEN s < 0.92 THEN 'completed' WHEN s < 0.975 THEN 'failed' ELSE 'cancelled' END AS status,
            CASE WHEN t < 0.5 THEN 'schedule' WHEN t < 0.8 THEN 'api' WHEN t < 0.93 THEN 'page'
                WHEN t < 0.9995 THEN 'webhook' ELSE 'alert' END AS started_by
        FROM (SELECT n, random() AS s, random() AS t FROM generate_series(0, :count - 1) n) drawn
    ) d, (SELECT array_agg(id ORDER BY name) AS ids FROM workflow) f
""")
_OPEN = text("""
    UPDATE run SET status = (ARRAY['queued', 'running', 'waiting', 'paused'])[1 + floor(4 * random())::int],
        finished_at = NULL, output = NULL, error = NULL, node_counts = NULL
    WHERE id IN (SELECT id FROM run ORDER BY created_at DESC, id DESC LIMIT 400)
""")
_NODES = text("""
    INSERT INTO node_run (run_id, run_created_at, node_id, kind, status, started_at, finished_at, output)
    SELECT r.id, r.created_at, 'node' || n, 'transform', 'completed', r.started_at, r.finished_at,
        jsonb_build_object('hash', md5(r.id::text || n))
    FROM (SELECT * FROM run WHERE created_at >= :since AND created_at < :until LIMIT :runs) r, generate_series(1, 10) n
""")


def measure(server: EmbeddedPostgres, *, quick: bool) -> dict[str, Any]:
    """Return figures of lists and of dropping a month, as :func:`list_figures` and :func:`drop_times_s` name them."""
    with _history(server) as engine:
        return {**list_figures(list_times_ms(engine, 8 if quick else 30)), **drop_times_s(engine)}


def list_figures(by_filter: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the slowest filter's percentile of each kind of list.

    ``list_p95_ms_1m_rows`` is for a list from its first or any other place, with each filter alone or beside a status
    or a workflow; ``list_p95_ms_seven_filters`` has seven at once; ``page_p95_ms`` also counts up to the bound.
    ``..._cpu_ms`` is processor time of the server's process, which other work on the machine lengthens less.
    """
    kinds: dict[str, list[str]] = {"list_p95{}_ms_1m_rows": [], "list_p95{}_ms_seven_filters": [], "page_p95{}_ms": []}
    for name in by_filter:
        if name.endswith("with count"):
            kinds["page_p95{}_ms"].append(name)
        else:
            is_all = name.startswith("everything")
            kinds["list_p95{}_ms_seven_filters" if is_all else "list_p95{}_ms_1m_rows"].append(name)
    figures: dict[str, Any] = {}
    for kind, names in kinds.items():
        figures[kind.format("")] = max(by_filter[name]["p95"] for name in names)
        figures[kind.format("_cpu")] = max(by_filter[name]["p95_cpu"] for name in names)
    return figures


@contextmanager
def _history(server: EmbeddedPostgres) -> Iterator[Engine]:
    """A database of its own with a million runs."""
    name = f"history_{new_id().hex}"
    with psycopg.connect(server.dsn_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    settings = Settings(
        store=StoreSettings(dsn=SecretStr(server.dsn_of(name)), statement_timeout=timedelta(minutes=10))
    )
    engine = make_engine(settings, role="benchmark")
    try:
        migrate(engine)
        fill(engine)
        yield engine
    finally:
        engine.dispose()
        with psycopg.connect(server.superuser_dsn, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def fill(engine: Engine) -> None:
    """Write the runs; indexes are made when all are there, the way a restored backup has them."""
    months = _months()
    with session_scope(engine) as session:
        ensure_partitions(session.connection(), since=months[0])
        session.execute(text("SELECT setseed(0.5)"))
        session.execute(_WORKFLOWS)
        indexes = session.execute(_INDEXES).all()
        for index in indexes:
            session.execute(text(f"DROP INDEX {index.relname}"))
        for place, month in enumerate(months):
            until = min(next_month(month), utc_now())
            count = RUNS // MONTHS + (RUNS % MONTHS if place == 0 else 0)
            step = (until - month) / count
            session.execute(_RUNS, {"since": month, "step": step, "count": count, "is_first": place == 0})
        session.execute(_OPEN)
        session.execute(_NODES, {"since": months[0], "until": months[1], "runs": 20_000})
    with session_scope(engine) as session:
        session.execute(text("SET LOCAL maintenance_work_mem = '256MB'"))
        for index in indexes:
            session.execute(text(index.definition))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM (ANALYZE) run"))
        connection.execute(text("ANALYZE workflow"))


def filters(session: Session) -> dict[str, list[RunFilter]]:
    """Return what is asked, by name; each with common and with rare values."""
    flows = session.execute(
        text(
            "SELECT w.id, w.name FROM workflow w ORDER BY (SELECT count(*) FROM run r WHERE r.workflow_id = w.id) DESC"
        )
    ).all()
    common, middle, rare = flows[0], flows[30], flows[-1]
    some_id = session.scalar(text("SELECT id FROM run ORDER BY created_at LIMIT 1 OFFSET 1234"))
    now = utc_now()
    day, month = timedelta(days=1), timedelta(days=30)
    schedule = uuid.UUID("00000000-0000-4000-8000-000000000020")
    return {
        "nothing": [RunFilter()],
        "status": [RunFilter(statuses=(status,)) for status in runs.STATUSES],
        "several statuses": [
            RunFilter(statuses=("failed", "cancelled")),
            RunFilter(statuses=("queued", "running", "waiting", "paused", "needs_attention")),
        ],
        "workflow": [RunFilter(workflow_id=flow.id) for flow in (common, middle, rare)],
        "workflow by name": [RunFilter(workflow=flow.name) for flow in (common, rare)],
        "workflow and status": [
            RunFilter(workflow_id=flow.id, statuses=statuses)
            for flow in (common, middle, rare)
            for statuses in (("failed",), ("failed", "cancelled"), ("running", "queued"))
        ],
        "requester": [RunFilter(requested_by=f"{who}@example.com") for who in ("user0", "user50", "rare", "nobody")],
        "requester and status": [
            RunFilter(requested_by=f"{who}@example.com", statuses=statuses)
            for who in ("user0", "user50")
            for statuses in (("failed",), ("running",))
        ],
        "trigger": [RunFilter(triggers=(name,)) for name in ("schedule", "webhook", "alert", "run")],
        "several triggers": [RunFilter(triggers=("alert", "webhook")), RunFilter(triggers=("alert", "run", "event"))],
        "trigger and status": [
            RunFilter(triggers=(name,), statuses=("failed",)) for name in ("schedule", "webhook", "alert", "run")
        ],
        "tags": [RunFilter(tags=tags) for tags in (("tag0",), ("tag20",), ("tag1", "team3"), ("rare",), ("none",))],
        "tags and status": [
            RunFilter(tags=(tag,), statuses=(status,)) for tag in ("tag0", "tag20") for status in ("failed", "running")
        ],
        "schedule": [RunFilter(schedule_id=schedule), RunFilter(schedule_id=rare.id)],
        "schedule and status": [RunFilter(schedule_id=schedule, statuses=("failed",))],
        "duration": [RunFilter(min_duration_s=seconds) for seconds in (1.0, 60.0, 600.0, 3_600.0, 1e6)],
        "duration and workflow": [
            RunFilter(min_duration_s=seconds, workflow_id=flow.id)
            for seconds in (60.0, 3_600.0)
            for flow in (common, rare)
        ],
        "search": [
            RunFilter(search=words)
            for words in ("team3", "flow-7", "retired", "user7", "rare", "nothing at all", str(some_id)[:13], "e")
        ],
        "search and status": [RunFilter(search=words, statuses=("failed",)) for words in ("team3", "user7", "rare")],
        "interval": [
            RunFilter(interval=Interval(now - day, now)),
            RunFilter(interval=Interval(now - 4 * month, now - 4 * month + day)),
        ],
        "interval and status": [
            RunFilter(statuses=("failed",), interval=Interval(now - 4 * month, now - 4 * month + day)),
            RunFilter(statuses=("running",), interval=Interval(now - 4 * month, now)),
        ],
        "everything": [
            RunFilter(
                statuses=("failed", "completed"),
                workflow_id=common.id,
                requested_by="user0@example.com",
                triggers=("api", "page"),
                tags=("tag0",),
                min_duration_s=5.0,
                interval=Interval(now - 5 * month, now),
            )
        ],
    }


@dataclass(frozen=True, slots=True)
class _Depth:
    """A place in a list at which a page is read."""

    name: str
    read: Callable[[Session, RunFilter], object]


def list_times_ms(engine: Engine, rounds: int) -> dict[str, dict[str, Any]]:
    """Return percentiles in milliseconds by filter and depth, over its values, as the product's functions take them."""
    chance = random.Random(7)
    begin, length = _months()[0], utc_now() - _months()[0]

    def deep(session: Session, wanted: RunFilter) -> object:
        return runs.list_runs(session, filter=wanted, before=(begin + length * chance.random(), LAST))

    depths = [
        _Depth("first page", lambda session, wanted: runs.list_runs(session, filter=wanted)),
        _Depth("at any depth", deep),
        _Depth("page 1 with count", lambda session, wanted: runs.page_runs(session, filter=wanted, page=1)),
        _Depth("page 40 with count", lambda session, wanted: runs.page_runs(session, filter=wanted, page=40)),
    ]
    with Session(engine) as session:
        wanted_by_name = filters(session)
        backend = Path(f"/proc/{session.scalar(text('SELECT pg_backend_pid()'))}/schedstat")
        found = {}
        for name, choices in wanted_by_name.items():
            for depth in depths:
                times = [
                    _timed(session, depth, choices[number % len(choices)], backend)
                    for number in range(rounds * len(choices))
                ]
                found[f"{name}, {depth.name}"] = _summary(times, choices, len(choices))
        return found


@dataclass(frozen=True, slots=True)
class _Taken:
    """What one page took, in milliseconds."""

    wall_ms: float
    cpu_ms: float
    """Processor time of the server's process, which other work on the machine does not lengthen."""


def _timed(session: Session, depth: _Depth, wanted: RunFilter, backend: Path) -> _Taken:
    before_ns = int(backend.read_text().split()[0])
    began = time.perf_counter()
    depth.read(session, wanted)
    took_ms = (time.perf_counter() - began) * 1000
    session.rollback()
    return _Taken(took_ms, (int(backend.read_text().split()[0]) - before_ns) / 1e6)


def _summary(taken: list[_Taken], choices: list[RunFilter], every: int) -> dict[str, Any]:
    times = [item.cpu_ms for item in taken]
    ordered = sorted(item.wall_ms for item in taken)
    worst = max(range(every), key=lambda place: sorted(times[place::every])[len(times[place::every]) // 2])
    return {
        "p50": round(ordered[len(ordered) // 2], 1),
        "p95": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))], 1),
        "p95_cpu": round(sorted(times)[min(len(times) - 1, int(len(times) * 0.95))], 1),
        "slowest": repr(choices[worst]) if len(choices) > 1 else "",
    }


def drop_times_s(engine: Engine) -> dict[str, float]:
    """Drop the oldest month while somebody writes runs; return how long that took, and the longest write beside it."""
    stop, waits = threading.Event(), []
    with Session(engine) as session:
        flow = session.scalar(text("SELECT id FROM workflow LIMIT 1"))

    def write() -> None:
        while not stop.is_set():
            began = time.perf_counter()
            with session_scope(engine) as session:
                session.execute(
                    text("INSERT INTO run (id, workflow_id, version) VALUES (:id, :flow, 1)"),
                    {"id": new_id(), "flow": flow},
                )
                session.execute(text("SELECT count(*) FROM run WHERE created_at > now() - interval '1 h'"))
            waits.append(time.perf_counter() - began)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        time.sleep(1.0)  # what a write takes without anything beside it
        before = max(waits)
        waits.clear()
        began = time.perf_counter()
        report = drop_old_months(engine, keep=utc_now() - _months()[1] - timedelta(minutes=1))
        took_s = time.perf_counter() - began
        time.sleep(0.3)
    finally:
        stop.set()
        writer.join()
    assert report.dropped, "no month was dropped"
    return {
        "drop_month_s": round(took_s, 3),
        "drop_month_tables": len(report.dropped),
        "drop_month_longest_write_s": round(max(waits), 3),
        "longest_write_before_s": round(before, 3),
    }


def _months() -> list[datetime]:
    """Return the first moments of this month and of the five before."""
    now = utc_now()
    return list(months_between(now - timedelta(days=30.4 * (MONTHS - 1)), now))[-MONTHS:]


def main() -> None:
    """Measure alone and print each filter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--dsn", help="a database that `fill` has filled already; lists only")
    given = parser.parse_args()
    rounds = 8 if given.quick else 30
    if given.dsn:
        engine = make_engine(Settings(store=StoreSettings(dsn=SecretStr(given.dsn))), role="benchmark")
        _print(list_times_ms(engine, rounds))
        return
    with tempfile.TemporaryDirectory(prefix="helmsight-history-", ignore_cleanup_errors=True) as name:
        root = Path(name)
        root.chmod(0o755)
        server = EmbeddedPostgres(root=root / "postgres", port=free_port())
        with running(server, log=root / "postgres.log"), _history(server) as engine:
            by_filter = list_times_ms(engine, rounds)
            _print(by_filter)
            result = {**list_figures(by_filter), **drop_times_s(engine)}
    print(json.dumps({**result, "cpus": os.cpu_count(), "load_1m": round(os.getloadavg()[0], 2)}))


def _print(by_filter: dict[str, dict[str, Any]]) -> None:
    for name, item in sorted(by_filter.items(), key=lambda pair: -pair[1]["p95_cpu"]):
        print(
            f"{item['p50']:8.1f} {item['p95']:8.1f} {item['p95_cpu']:8.1f} ms  {name}  {item['slowest']}",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
