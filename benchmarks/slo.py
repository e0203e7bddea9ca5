"""Objectives in figures: budgets, burn-downs, accuracy, backfill, alerts, beside slo-generator on the same Prometheus.

Run with ``python -m benchmarks.slo [--quick]``; the last line is one JSON object. A Prometheus holds 31 days of the
counters of nine objectives whose truth is known (``benchmarks.slo_fixture``), scraped between the full minutes as in
real life; the ledger is filled and read by the product's own functions. ``docs/benchmarks.md`` says what each is.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Engine, text

from analytics.core.clock import Interval, floor_time, utc_now
from analytics.core.settings import Settings, StoreSettings
from analytics.slo import catalogue, ledger
from analytics.slo.backtest import Incident, backtest
from analytics.slo.burndown import burndown
from analytics.slo.ingest import CLOSED_AFTER, ingest
from analytics.slo.math import ErrorBudget, error_budget
from analytics.slo.model import BUCKET, AlertPolicy, Objective, PromEvents
from analytics.slo.report import slo_report
from analytics.slo.sources.compile import compiled
from analytics.sources.prometheus import PromClient
from analytics.store.engine import make_engine, session_scope
from analytics.store.migrate import migrate
from benchmarks import aims, slo_fixture, slo_rules
from benchmarks.arms import PEERS, Arm, arm, peers_python
from benchmarks.slo_fixture import LOW_TRAFFIC, Fixture
from dashboard.processes.servers import EmbeddedPostgres, free_port, running

PERIOD = timedelta(days=30)
SCRAPED_AFTER = timedelta(seconds=23.5)
"""How long after the full minute the counters were scraped."""

AT_ONCE = 9
"""How often budgets are read from the ledger for each time that slo-generator computes them."""

_REQUIREMENTS = PEERS / "slo_generator.txt"
_PROM_TIMEOUT = timedelta(minutes=2)
_EMPTY = text("TRUNCATE slo_bucket_5m, slo_bucket_1h, slo_reading")


@dataclass(slots=True)
class Place:
    """Where everything of one benchmark is."""

    engine: Engine
    prom: PromClient
    url: str
    made: Fixture
    objectives: list[Objective]

    @property
    def until(self) -> datetime:
        """Return the end of the counters."""
        return self.made.interval.until

    @property
    def month(self) -> Interval:
        """Return the thirty days that are judged."""
        return Interval(self.until - PERIOD, self.until)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and three objectives against Prometheus")
    given = parser.parse_args()
    began = time.monotonic()
    rounds = 3 if given.quick else 5
    result: dict[str, Any] = {}
    with place_of(SCRAPED_AFTER) as place:
        result |= {"series": len(place.made), "scraped_after_s": SCRAPED_AFTER.total_seconds()}
        result |= timed("backfill", lambda: backfill(place, rounds))
        result |= timed("accuracy", lambda: accuracy(place))
        result |= timed("budgets", lambda: budgets(place, rounds))
        result |= timed("burndown", lambda: burndowns(place, rounds))
        result |= timed("backtest", lambda: backtests(place, rounds))
        result |= timed("noise", lambda: noise(place))
        result |= timed("ingest", lambda: ingest_and_evaluate(place, 2 * rounds + 1))
    with place_of(timedelta(0)) as place:
        ingest(place.engine, place.prom, now=place.until + CLOSED_AFTER)
        count = 3 if given.quick else None
        result |= timed("agreement", lambda: agreement(place, place.objectives[:count]))
    result |= {"quick": given.quick, "cpus": os.cpu_count(), "load_1m": round(os.getloadavg()[0], 2)}
    result["missed"] = aims.missed(result, aims.SLO)
    result["seconds"] = round(time.monotonic() - began)
    print(aims.table(result, aims.SLO), file=sys.stderr)
    print(json.dumps(result))


def timed(part: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Measure one part and say on standard error what it gave and how long it took."""
    began = time.monotonic()
    found = work()
    print(f"{part}: {time.monotonic() - began:.1f} s {json.dumps(found)}", file=sys.stderr)
    return found


@contextmanager
def place_of(scraped_after: timedelta) -> Iterator[Place]:
    """Serve the counters and an empty PostgreSQL with the nine objectives for the block."""
    made = slo_fixture.make(until=floor_time(utc_now(), BUCKET), days=31)
    with ExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="helmsight-slo-", ignore_cleanup_errors=True)
        root = Path(stack.enter_context(temporary))
        root.chmod(0o755)
        (root / "prometheus").mkdir()
        url = stack.enter_context(slo_fixture.served(made, root / "prometheus", scrape_offset=scraped_after))
        server = EmbeddedPostgres(root=root / "postgres", port=free_port())
        stack.enter_context(running(server, log=root / "postgres.log"))
        settings = Settings(home=root, store=StoreSettings(dsn=SecretStr(str(server.dsn))))
        engine = make_engine(settings, role="benchmark")
        stack.callback(engine.dispose)
        migrate(engine)
        prom = stack.enter_context(PromClient(url, _PROM_TIMEOUT))
        found = slo_fixture.measured_objectives()
        with session_scope(engine) as session:
            for item in found:
                catalogue.save(session, item, actor="benchmark")
        yield Place(engine, prom, url, made, found)


# ---- Filling the ledger ----


def backfill(place: Place, rounds: int) -> dict[str, Any]:
    """Fill an empty ledger with thirty days of nine objectives, as the first reading after an installation does."""
    took = []
    for _ in range(rounds):
        with session_scope(place.engine) as session:
            session.execute(_EMPTY)
        began = time.perf_counter()
        report = ingest(place.engine, place.prom, now=place.until + CLOSED_AFTER)
        took.append(time.perf_counter() - began)
        if report.failed:
            raise RuntimeError(str(report.failed))
    with session_scope(place.engine) as session:
        rows = session.scalar(text("SELECT count(*) FROM slo_bucket_5m"))
    return {"backfill_s": round(statistics.median(took), 2), "backfill_rows": rows}


def ingest_and_evaluate(place: Place, rounds: int) -> dict[str, Any]:
    """Take the last buckets out and read them in again, one after the other, each with a report after it."""
    start = place.until - rounds * BUCKET
    with session_scope(place.engine) as session:
        for statement in (
            "DELETE FROM slo_bucket_5m WHERE bucket_start >= :start",
            "UPDATE slo_reading SET read_until = :start",
        ):
            session.execute(text(statement), {"start": start})
    took = []
    for step in range(1, rounds + 1):
        now = start + step * BUCKET + CLOSED_AFTER
        began = time.perf_counter()
        ingest(place.engine, place.prom, now=now)
        with session_scope(place.engine) as session:
            slo_report(session, now=now)
        took.append(1000 * (time.perf_counter() - began))
    return {"ingest_and_evaluate_ms": round(statistics.median(took), 1)}


# ---- Reading it ----


def accuracy(place: Place) -> dict[str, Any]:
    """Return how far each budget is from what really happened, in points of the budget."""
    errors = {name: 100 * (spent - _truth(place, name)) for name, spent in _spent(_budgets(place)).items()}
    worst = max(errors, key=lambda name: abs(errors[name]))
    return {"max_error_points": round(abs(errors[worst]), 4), "max_error_of": worst}


def budgets(place: Place, rounds: int) -> dict[str, Any]:
    """Time nine budgets from the ledger beside slo-generator, in turn, and say how far that one is from the truth."""
    ours, theirs, reports = [], [], []
    peer_errors: list[float] = []
    python = peers_python(_REQUIREMENTS)
    with (
        tempfile.TemporaryDirectory(prefix="helmsight-slo-arm-") as name,
        arm("slo-generator", "slo_generator_arm.py", python=python, environment={}, log=Path(name) / "log") as peer,
    ):
        for _ in range(rounds):
            several = []
            for _ in range(AT_ONCE):
                began = time.perf_counter()
                _budgets(place)
                several.append(1000 * (time.perf_counter() - began))
            ours.append(statistics.median(several))
            answer = _ask(peer, place)
            theirs.append(1000 * answer["took_s"])
            began = time.perf_counter()
            with session_scope(place.engine) as session:
                slo_report(session, now=place.until)
            reports.append(1000 * (time.perf_counter() - began))
            peer_errors = [
                100 * ((1 - share) / item.budget_ratio - _truth(place, item.id))
                for item in place.objectives
                if (share := answer["slis"][item.id]) is not None
            ]
    return {
        "budgets_ms": round(statistics.median(ours), 2),
        "slo_generator_ms": round(statistics.median(theirs)),
        "vs_slo_generator": round(statistics.median(theirs) / statistics.median(ours)),
        "slo_generator_max_error_points": round(max(map(abs, peer_errors)), 2),
        "report_ms": round(statistics.median(reports), 1),
    }


def burndowns(place: Place, rounds: int) -> dict[str, Any]:
    """Time the burn-down of nine objectives over thirty days by the hour, from the query to the points."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        with session_scope(place.engine) as session:
            found = ledger.histories(session, place.objectives, place.month, step=ledger.HOUR)
            points = [burndown(found[item.id], points=1000) for item in place.objectives]
        took.append(1000 * (time.perf_counter() - began))
        if min(len(item.remaining) for item in points) < 720:
            raise RuntimeError("a burn-down has fewer points than hours")
    return {"burndown_ms_9": round(statistics.median(took), 1)}


def backtests(place: Place, rounds: int) -> dict[str, Any]:
    """Time the back-test of nine objectives over thirty days, from the query to the alarms."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        with session_scope(place.engine) as session:
            found = ledger.histories(session, place.objectives, place.month)
        results = [backtest(found[item.id], incidents=_incidents(place, item.id)) for item in place.objectives]
        took.append(1000 * (time.perf_counter() - began))
        if not any(item.pages for item in results):
            raise RuntimeError("no page in a month with incidents")
    return {"backtest_ms_9": round(statistics.median(took), 1)}


def noise(place: Place) -> dict[str, Any]:
    """Count pages that no incident explains, with and without the guard, and incidents that only one of them tells."""
    with session_scope(place.engine) as session:
        found = ledger.histories(session, place.objectives, place.month)
    false_pages = {"guarded": 0, "unguarded": 0}
    low_traffic = dict(false_pages)
    told = dict(false_pages)
    lost = 0
    for item in place.objectives:
        incidents = _incidents(place, item.id)
        detected = {}
        for name, min_bad in (("guarded", AlertPolicy().min_bad), ("unguarded", 0)):
            result = backtest(found[item.id], AlertPolicy(min_bad=min_bad), incidents=incidents)
            false = sum(page.incident is None for page in result.pages)
            false_pages[name] += false
            if item.id == LOW_TRAFFIC:
                low_traffic[name] = false
            detected[name] = [
                index
                for index, one in enumerate(result.detections)
                if one.paged_after is not None or one.ticketed_after is not None
            ]
            told[name] += len(detected[name])
        lost += len(set(detected["unguarded"]) - set(detected["guarded"]))
    return {
        "false_pages_low_traffic": low_traffic["guarded"],
        "false_pages_low_traffic_unguarded": low_traffic["unguarded"],
        "false_pages": false_pages["guarded"],
        "false_pages_unguarded": false_pages["unguarded"],
        "incidents": len(place.made.incidents),
        "incidents_told": told["guarded"],
        "lost_detections": lost,
    }


def agreement(place: Place, objectives: Sequence[Objective]) -> dict[str, Any]:
    """Compare the minutes in which alerts fire with those in which Prometheus fires our exported rules."""
    with session_scope(place.engine) as session:
        found = ledger.histories(session, objectives, place.month)
    return slo_rules.compare(place.prom, [found[item.id] for item in objectives])


def _budgets(place: Place) -> dict[str, ErrorBudget | None]:
    with session_scope(place.engine) as session:
        found = ledger.histories(session, place.objectives, place.month, step=ledger.DAY)
    answer = {}
    for item in place.objectives:
        good, total, _ = found[item.id].totals()
        answer[item.id] = error_budget(good, total, budget_ratio=item.budget_ratio, period=PERIOD)
    return answer


def _spent(found: dict[str, ErrorBudget | None]) -> dict[str, float]:
    """Return the shares that are spent; a budget without events is an error here."""
    return {name: 1 - budget.remaining_ratio for name, budget in found.items() if budget is not None}


def _truth(place: Place, slo_id: str) -> float:
    """Return the share of the budget that was really spent, by the moments at which counters were read."""
    item = next(item for item in place.objectives if item.id == slo_id)
    good, total = place.made.within(slo_id, _as_read(place.month))
    return (total - good) / (item.budget_ratio * total)


def _as_read(interval: Interval) -> Interval:
    """Return *interval* a minute before: what happened in a minute is in the scrape after its end."""
    return Interval(interval.since - slo_fixture.MINUTE, interval.until - slo_fixture.MINUTE)


def _incidents(place: Place, slo_id: str) -> list[Incident]:
    return [Incident(item.interval, slo_id) for item in place.made.incidents if item.slo_id == slo_id]


def _ask(peer: Arm, place: Place) -> dict[str, Any]:
    asked = []
    for item in place.objectives:
        events: PromEvents = compiled(item.indicator)
        good = events.good or (events.bad or "").replace('="5xx"', '!="5xx"')
        asked.append(
            {
                "id": item.id,
                "target": float(item.target),
                "total": events.total.replace("{window}", "window"),
                "good": good.replace("{window}", "window"),
            }
        )
    return peer.ask(url=place.url, objectives=asked)


if __name__ == "__main__":
    main()
