"""Runs of agents over ninety days: the overview of a project, a ranking and a series, from cells and without them.

``--rows`` says how many runs there are; the sparse case of a million is always measured, because times are compared
with it. All arms answer the same question over the same time:

- *fetch rows*: every row of the project is brought to Python and counted there, as programs without cells do;
- *raw*: PostgreSQL aggregates the rows of the product's table, with the indexes that has;
- *covering index*: PostgreSQL aggregates from an index that holds all that is asked, on a narrow copy made for it;
- *cells*: the product's own functions.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, utc_now
from analytics.core.ids import new_id
from analytics.core.settings import Settings, StoreSettings
from analytics.rollup.read import HOUR, Want, series, total, totals
from analytics.rollup.upkeep import keep_up
from analytics.store.engine import make_engine, session_scope
from analytics.store.migrate import migrate
from analytics.store.partitions import ensure_partitions
from benchmarks import aims
from dashboard.processes.servers import EmbeddedPostgres, free_port, running

SPARSE = 1_000_000
DAYS = 90
SHOWN = timedelta(days=30)
QUANTILES = (0.5, 0.95, 0.99)
ROUNDS = 5
PROJECT = "00000000-0000-4000-8000-000000000000"
"""The project that is asked about: one run in fifty is of it."""

_FILL = text("""
    INSERT INTO agent_run (id, started_at, finished_at, agent_id, project_id, task_kind, status, confidence,
        input_tokens, output_tokens, cost_usd, error)
    SELECT uuidv7(at - now()), at, CASE WHEN status <> 'running' THEN at + took_s * interval '1 s' END,
        'agent' || lpad(floor(50 * a ^ 1.5)::text, 2, '0'),
        ('00000000-0000-4000-8000-' || lpad(CASE WHEN b < 0.02 THEN 0 ELSE 1 + floor(200 * c ^ 2) END::text, 12, '0'))
            ::uuid,
        (ARRAY['classify', 'extract', 'review', 'summarise', 'translate', 'file'])[1 + floor(6 * d)::int], status,
        CASE WHEN status = 'completed' THEN 0.6 + 0.4 * e END, 200 + floor(4000 * c)::int, 20 + floor(900 * e)::int,
        CASE WHEN a < 0.9 THEN round((0.0005 + 0.02 * c * d)::numeric, 6) END,
        CASE WHEN status = 'failed' THEN 'The model did not answer.' END
    FROM (
        SELECT at, random() AS a, random() AS b, random() AS c, random() AS d, random() AS e,
            exp(random_normal(0.8, 1.1)) AS took_s,
            CASE WHEN at > now() - interval '2 min' THEN 'running' WHEN f < 0.96 THEN 'completed' ELSE 'failed' END
                AS status
        FROM (SELECT CAST(:since AS timestamptz) + n * CAST(:step AS interval) AS at, random() AS f
              FROM generate_series(0, :count - 1) n) drawn
    ) made ORDER BY at
""")
_COPY = text("""
    CREATE TABLE covered AS
    SELECT started_at, project_id, status, finished_at, input_tokens, output_tokens, cost_usd, confidence FROM agent_run
""")
_COVER = text("""
    CREATE INDEX covering ON covered (project_id, started_at)
    INCLUDE (status, finished_at, input_tokens, output_tokens, cost_usd, confidence)
""")
_ROWS = """
    SELECT started_at, finished_at, status, input_tokens, output_tokens, cost_usd, confidence FROM agent_run
    WHERE project_id = %(project)s AND started_at >= %(since)s AND started_at < %(until)s
"""
_SUMS = """
    count(*), count(*) FILTER (WHERE status = 'completed'), count(*) FILTER (WHERE status = 'failed'),
    sum(input_tokens), sum(output_tokens), sum(cost_usd), count(cost_usd), avg(confidence),
    percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - started_at)::float8)
"""
_OVERVIEW = f"""
    SELECT {_SUMS} FROM {{table}}
    WHERE project_id = %(project)s AND started_at >= %(since)s AND started_at < %(until)s
"""  # noqa: S608 - constants
_EXACT = f"SELECT {_SUMS} FROM agent_run WHERE started_at >= %(since)s AND started_at < %(until)s"  # noqa: S608
_RANKING = f"""
    SELECT agent_id, {_SUMS} FROM agent_run
    WHERE started_at >= %(since)s AND started_at < %(until)s GROUP BY agent_id ORDER BY 2 DESC
"""  # noqa: S608
_SERIES = f"""
    SELECT date_bin('1 hour', started_at, 'epoch'), {_SUMS} FROM agent_run
    WHERE started_at >= %(since)s AND started_at < %(until)s GROUP BY 1
"""  # noqa: S608
_SIZES = text("""
    SELECT CASE WHEN relname LIKE 'agent_run_y%' THEN 'raw' ELSE 'cells' END AS kind,
        sum(pg_relation_size(oid)) AS heap, sum(pg_total_relation_size(oid)) AS whole
    FROM pg_class WHERE relkind = 'r' AND relname ~ '^(agent_run|rollup_hour|rollup_day)_y[0-9]{4}m[0-9]{2}$'
    GROUP BY kind
""")


@dataclass(frozen=True)
class Filled:
    """A database with runs and their cells."""

    engine: Engine
    rows: int
    until: datetime

    @property
    def shown(self) -> Interval:
        """Return the last thirty days, as cells cover them."""
        return Interval(self._midnight - SHOWN, self.until)

    @property
    def whole(self) -> Interval:
        """Return all the time there are runs of."""
        return Interval(self._midnight - timedelta(days=DAYS), self.until)

    @property
    def _midnight(self) -> datetime:
        return self.until.replace(hour=0, minute=0, second=0, microsecond=0)


_BACKENDS = text(
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
)

Arm = Callable[[], object]


def measure(rows: int) -> dict[str, Any]:
    """Return the figures with *rows* runs."""
    with tempfile.TemporaryDirectory(prefix="helmsight-rollup-", ignore_cleanup_errors=True) as name:
        root = Path(name)
        root.chmod(0o755)
        server = EmbeddedPostgres(root=root / "postgres", port=free_port())
        with running(server, log=root / "postgres.log"), _filled(server, SPARSE) as sparse:
            if rows == SPARSE:
                return {**_figures(sparse), "size_ratio": {"sparse": _size_ratio(sparse)}}
            with _filled(server, rows) as dense:
                both = _medians({"few": _overview(sparse, sparse.shown), "many": _overview(dense, dense.shown)}, 40)
                return {
                    **_figures(dense),
                    "overview_ms_at_1m": both["few"],
                    "overview_growth": round(both["many"] / both["few"], 2),
                    "size_ratio": {"dense": _size_ratio(dense), "sparse": _size_ratio(sparse)},
                }


def _figures(filled: Filled) -> dict[str, Any]:
    with _connected(filled) as connection:
        times = _all_times(filled, connection)
        exact = _errors(filled, connection)
    overview, ranking, course = times["overview cells"], times["ranking cells"], times["series cells"]
    return {
        "rows": filled.rows,
        "overview_ms": overview,
        "overview_all_ms": times["overview of all cells"],
        "fetch_rows_ms": times["fetch rows"],
        "fetch_rows_30d_ms": times["fetch rows of 30 d"],
        "covering_index_ms": times["overview covering index"],
        "overview_raw_ms": times["overview raw"],
        "overview_vs_fetch_rows": round(times["fetch rows"] / times["overview of all cells"], 1),
        "overview_vs_fetch_rows_30d": round(times["fetch rows of 30 d"] / overview, 1),
        "overview_vs_covering_index": round(times["overview covering index"] / overview, 1),
        "overview_vs_raw": round(times["overview raw"] / overview, 1),
        "ranking_ms": ranking,
        "ranking_raw_ms": times["ranking raw"],
        "ranking_vs_raw": round(times["ranking raw"] / ranking, 1),
        "series_ms": course,
        "series_raw_ms": times["series raw"],
        "series_vs_raw": round(times["series raw"] / course, 1),
        **exact,
        **_upkeep(filled),
        **_memory(filled),
    }


def _all_times(filled: Filled, connection: psycopg.Connection[Any]) -> dict[str, float]:
    """Return the median time of each arm in milliseconds, slow arms and quick ones in turn."""
    shown = _span(filled.shown)

    def ask(statement: str, **values: Any) -> Arm:
        return lambda: connection.execute(statement, values).fetchall()

    arms: dict[str, Arm] = {
        "fetch rows": lambda: _count_in_python(connection, _span(filled.whole)),
        "fetch rows of 30 d": lambda: _count_in_python(connection, shown),
        "overview raw": ask(_OVERVIEW.format(table="agent_run"), **shown),
        "overview covering index": ask(_OVERVIEW.format(table="covered"), **shown),
        "overview cells": _overview(filled, filled.shown),
        "overview of all cells": _overview(filled, filled.whole),
        "ranking raw": ask(_RANKING, **shown),
        "ranking cells": _in_session(filled, lambda session: _ranked(session, filled.shown)),
        "series raw": ask(_SERIES, **shown),
        "series cells": _in_session(
            filled,
            lambda session: [
                (start, cell and cell.sketch.quantiles(QUANTILES))
                for start, cell in series(session, Want("agent_run"), filled.shown, step=HOUR)
            ],
        ),
    }
    return _medians(arms, 20)


def _medians(arms: Mapping[str, Arm], repeats: int) -> dict[str, float]:
    """Return the median of five rounds in milliseconds; an arm quicker than 50 ms is repeated within a round."""
    taken: dict[str, list[float]] = {name: [] for name in arms}
    for name, arm in arms.items():
        arm()
        taken[name].append(_once_ms(arm, 1))
    many = {name: repeats if times.pop() < 50 else 1 for name, times in taken.items()}
    for _ in range(ROUNDS):
        for name, arm in arms.items():
            taken[name].append(_once_ms(arm, many[name]))
    return {name: round(statistics.median(times), 3) for name, times in taken.items()}


def _once_ms(arm: Arm, repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        arm()
    return (time.perf_counter() - began) * 1000 / repeats


def _in_session(filled: Filled, read: Callable[[Session], object]) -> Arm:
    def ask() -> object:
        with session_scope(filled.engine) as session:
            return read(session)

    return ask


def _overview(filled: Filled, interval: Interval) -> Arm:
    def read(session: Session) -> object:
        cell = total(session, Want("agent_run.project", PROJECT), interval)
        assert cell is not None
        assert cell.n
        return cell.n, cell.ok, cell.failed, cell.cost_usd, cell.sketch.quantiles(QUANTILES)

    return _in_session(filled, read)


def _ranked(session: Session, interval: Interval) -> object:
    found = totals(session, "agent_run.agent", interval)
    assert len(found) == 50
    return sorted(
        ((cell.n, key, cell.success_ratio, cell.sketch.quantiles(QUANTILES)) for key, cell in found.items()),
        reverse=True,
    )


def _count_in_python(connection: psycopg.Connection[Any], span: Mapping[str, Any]) -> object:
    rows = connection.execute(_ROWS, {"project": PROJECT, **span}).fetchall()
    took = sorted((row[1] - row[0]).total_seconds() for row in rows if row[1] is not None)
    confidences = [row[6] for row in rows if row[6] is not None]
    return (
        len(rows),
        sum(row[2] == "completed" for row in rows),
        sum(row[2] == "failed" for row in rows),
        sum(row[3] for row in rows),
        sum(row[4] for row in rows),
        sum(row[5] for row in rows if row[5] is not None),
        sum(confidences) / len(confidences),
        [took[int(share * (len(took) - 1))] for share in QUANTILES],
    )


def _errors(filled: Filled, connection: psycopg.Connection[Any]) -> dict[str, float]:
    """Return the largest relative error of a percentile, and of a count or sum, over all, a project and each agent."""
    shown = _span(filled.shown)
    truths = {("agent_run", ""): connection.execute(_EXACT, shown).fetchall()[0]}
    truths["agent_run.project", PROJECT] = connection.execute(
        _OVERVIEW.format(table="agent_run"), {"project": PROJECT, **shown}
    ).fetchall()[0]
    for agent, *sums in connection.execute(_RANKING, shown).fetchall():
        truths["agent_run.agent", agent] = sums
    off, off_sums = 0.0, 0.0
    with session_scope(filled.engine) as session:
        for (cut, key), (n, ok, failed, read, written, cost, priced, _, quantiles) in truths.items():
            cell = total(session, Want(cut, key), filled.shown)
            assert cell is not None
            pairs = [(cell.n, n), (cell.ok, ok), (cell.failed, failed), (cell.input_tokens, read)]
            pairs += [(cell.output_tokens, written), (cell.cost_usd, cost), (cell.priced, priced)]
            off_sums = max(off_sums, *(abs(float(ours or 0) / float(true) - 1) for ours, true in pairs if true))
            for share, true in zip(QUANTILES, quantiles, strict=True):
                ours = cell.quantile(share)
                assert ours is not None
                off = max(off, abs(ours / true - 1))
    return {"percentile_error": round(off, 4), "sum_error": round(off_sums, 9)}


def _upkeep(filled: Filled) -> dict[str, float]:
    """Return what summing the last two hours takes, and a pass a minute after a minute's new runs.

    The time of processors, ours and the server's, is told beside the time that passed: it says more where others work
    on the same machine.
    """
    hours = [filled.until.replace(minute=0, second=0, microsecond=0) - timedelta(hours=back) for back in (1, 0)]
    taken, passes, worked_ms = [], [], 0.0
    for _ in range(ROUNDS):
        with filled.engine.begin() as connection:
            for hour in hours:
                connection.execute(
                    text("INSERT INTO rollup_dirty (source, hour) VALUES ('agent_run', :hour)"), {"hour": hour}
                )
        worked_ms -= _processors_ms(filled.engine)
        taken.append(_once_ms(lambda: keep_up(filled.engine, now=filled.until), 1))
        worked_ms += _processors_ms(filled.engine)
        insert_runs(filled.engine, filled.until - timedelta(seconds=60), max(1, filled.rows // (DAYS * 1440)), 60.0)
        passes.append(_once_ms(lambda: keep_up(filled.engine, now=filled.until), 1))
    with filled.engine.connect() as connection:
        events = connection.scalar(
            text("SELECT count(*) FROM agent_run WHERE started_at >= :since"), {"since": hours[0]}
        )
    ms = statistics.median(taken)
    return {
        "upkeep_ms_2h": round(ms, 2),
        "upkeep_events_2h": events,
        "upkeep_us_per_event": round(ms * 1000 / events, 2),
        "upkeep_cpu_us_per_event": round(worked_ms * 1000 / ROUNDS / events, 2),
        "upkeep_pass_ms": round(statistics.median(passes), 2),
    }


def _processors_ms(engine: Engine) -> float:
    """Return the time that this process and the server's processes behind its connections have worked so far."""
    with engine.connect() as connection:
        pids = connection.scalars(_BACKENDS).all()
    times = [psutil.Process(pid).cpu_times() for pid in (os.getpid(), *pids)]
    return 1000 * sum(used.user + used.system for used in times)


def _memory(filled: Filled) -> dict[str, float]:
    """Return the largest memory of Python while an overview is read, from cells and from rows."""
    with _connected(filled) as connection:
        rows_mb = _peak_mb(lambda: _count_in_python(connection, _span(filled.whole)))
    cells_mb = _peak_mb(_overview(filled, filled.whole))
    return {
        "fetch_rows_mb": round(rows_mb, 2),
        "overview_mb": round(cells_mb, 3),
        "memory_vs_fetch_rows": round(cells_mb / rows_mb, 4),
    }


def _peak_mb(arm: Arm) -> float:
    arm()
    tracemalloc.start()
    arm()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 2**20


def _size_ratio(filled: Filled) -> float:
    """Return the size of cells with their indexes, as a share of the heap of the runs without theirs."""
    with filled.engine.connect() as connection:
        sizes = {row.kind: row for row in connection.execute(_SIZES)}
    print(f"{filled.rows:,} runs: {sizes['raw'].heap:,} bytes, cells {sizes['cells'].whole:,}", file=sys.stderr)
    return round(float(sizes["cells"].whole) / float(sizes["raw"].heap), 3)


@contextmanager
def _filled(server: EmbeddedPostgres, rows: int) -> Iterator[Filled]:
    """A database of its own with *rows* runs of ninety days, and their cells."""
    name = f"rollup_{new_id().hex}"
    with psycopg.connect(server.dsn_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    settings = Settings(store=StoreSettings(dsn=SecretStr(server.dsn_of(name)), statement_timeout=timedelta(hours=1)))
    engine = make_engine(settings, role="benchmark")
    try:
        migrate(engine)
        filled = Filled(engine, rows, utc_now())
        began = time.perf_counter()
        _fill(filled)
        print(f"{rows:,} runs written in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        began, worked_ms = time.perf_counter(), _processors_ms(engine)
        keep_up(engine, now=filled.until)
        worked_s = (_processors_ms(engine) - worked_ms) / 1000
        took_s = time.perf_counter() - began
        print(f"... and summed in {took_s:.0f} s, {worked_s:.0f} s of processors", file=sys.stderr)
        _cover(engine)
        yield filled
    finally:
        engine.dispose()
        with psycopg.connect(server.superuser_dsn, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _fill(filled: Filled) -> None:
    since = filled.whole.since
    with filled.engine.begin() as connection:
        ensure_partitions(connection, since=since)
    days = DAYS + 1
    for day in range(days):
        start = since + timedelta(days=day)
        length = min(timedelta(days=1), filled.until - start)
        count = round(filled.rows / (DAYS + 0.5) * (length / timedelta(days=1)))
        if count:
            insert_runs(filled.engine, start, count, length.total_seconds())


def insert_runs(engine: Engine, since: datetime, count: int, length_s: float) -> None:
    """Write *count* runs, evenly over the time from *since* on."""
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL synchronous_commit = off"))
        values = {"since": since, "count": count, "step": timedelta(seconds=length_s / count)}
        connection.execute(_FILL, values)


def _cover(engine: Engine) -> None:
    def run(connection: Connection, statement: str) -> None:
        connection.execute(text(statement))

    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(_COPY)
        connection.execute(_COVER)
        run(connection, "VACUUM ANALYZE")


@contextmanager
def _connected(filled: Filled) -> Iterator[psycopg.Connection[Any]]:
    with filled.engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        yield driver
        connection.rollback()


def _span(interval: Interval) -> dict[str, Any]:
    return {"project": PROJECT, "since": interval.since, "until": interval.until}


def main() -> None:
    """Measure and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=SPARSE, help=f"runs of agents; at least {SPARSE:,}")
    given = parser.parse_args()
    figures = {
        **measure(max(SPARSE, given.rows)),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "load_1m": round(os.getloadavg()[0], 2),
    }
    wanted = aims.rollup(given.rows)
    print(aims.table(figures, wanted), file=sys.stderr)
    print(json.dumps({**figures, "missed": aims.missed(figures, wanted)}))


if __name__ == "__main__":
    main()
