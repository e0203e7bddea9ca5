"""Readings of key figures on rows and counters that are known."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, event, insert
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, utc_now
from analytics.core.errors import NotFoundError
from analytics.core.ids import new_id
from analytics.kpi import KpiReading, KpiState, read_kpis, registry
from analytics.sources.prometheus import PromClient
from analytics.sources.system import Measurement, record
from analytics.store.tables import AgentRun, Event, Lead, LlmCall, Project, Run, WorkItem
from dashboard.processes.servers import free_port

pytestmark = pytest.mark.integration
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


@pytest.fixture
def now() -> datetime:
    """A round moment of today, so that its partitions exist."""
    return utc_now().replace(minute=0, second=0, microsecond=0)


def readings(
    session: Session, interval: Interval, prom: PromClient | None = None, **choice: Any
) -> dict[str, KpiReading]:
    return {reading.kpi.id: reading for reading in read_kpis(session, prom, interval, **choice)}


def add_runs(session: Session, at: datetime, *, status: str, took_s: float | None, many: int = 1) -> None:
    for _ in range(many):
        ended = None if took_s is None else at + took_s * SECOND
        session.execute(
            insert(Run).values(
                id=new_id(),
                created_at=at,
                workflow_id=new_id(),
                version=1,
                status=status,
                started_at=None if took_s is None else at,
                finished_at=ended,
            )
        )


def test_nothing_seen_is_no_data_and_never_zero(session: Session, now: datetime) -> None:
    found = readings(session, Interval(now - HOUR, now))
    assert len(found) == len(registry())
    for reading in found.values():
        wanted = KpiState.NO_DATA if reading.kpi.source == "PostgreSQL" else KpiState.NO_SOURCE
        assert reading.state is wanted, reading.kpi.id
        assert (reading.value, reading.samples, reading.previous, reading.measured_at) == (None, 0, None, None)
        assert all(value is None for _, value in reading.series)


def test_runs_are_counted_by_hand(session: Session, now: datetime) -> None:
    """Nine completed in 1 to 9 s, one failed, one queued; the hour before, one failed."""
    for seconds in range(1, 10):
        add_runs(session, now - 30 * timedelta(minutes=1), status="completed", took_s=seconds)
    add_runs(session, now - 10 * timedelta(minutes=1), status="failed", took_s=100)
    add_runs(session, now - 10 * timedelta(minutes=1), status="queued", took_s=None)
    add_runs(session, now - HOUR - SECOND, status="failed", took_s=1)
    add_runs(session, now, status="failed", took_s=1)  # the interval is half-open
    found = readings(session, Interval(now - HOUR, now))
    assert (found["runs"].value, found["runs"].previous, found["runs"].samples) == (11, 1, 11)
    assert (found["run_success"].value, found["run_success"].samples) == (0.9, 10)
    assert found["run_success"].previous == 0
    assert found["run_success"].state is KpiState.WARNING
    assert found["run_p95"].value == pytest.approx(9, rel=0.045)  # the ninth of 1..9, to a bucket of the sketch
    assert found["run_p95"].samples == 9
    assert found["run_p95"].previous is None
    series = dict(found["runs"].series)
    assert len(series) == 30
    assert series[now - 30 * timedelta(minutes=1)] == 9
    assert sum(value or 0 for value in series.values()) == 11
    ratios = [value for _, value in found["run_success"].series if value is not None]
    assert ratios == [1.0, 0.0]
    assert not found["runs"].includes_demo


def test_agents_and_models_are_counted_by_hand(session: Session, now: datetime) -> None:
    at = now - timedelta(minutes=5)
    for status, cost in (
        ("completed", Decimal("0.25")),
        ("completed", None),
        ("failed", Decimal("0.5")),
        ("running", None),
    ):
        session.execute(
            insert(AgentRun).values(
                id=new_id(), started_at=at, agent_id="a", task_kind="k", status=status, cost_usd=cost, origin="demo"
            )
        )
    for ok in (True, True, True, False):
        session.execute(
            insert(LlmCall).values(
                id=new_id(), at=at, provider="p", model="m", ok=ok, duration_ms=1, input_tokens=10, output_tokens=5
            )
        )
    found = readings(session, Interval(now - HOUR, now))
    assert found["agent_runs"].value == 4
    assert found["agent_success"].value == pytest.approx(2 / 3)
    assert (found["agent_cost"].value, found["agent_cost"].samples) == (0.75, 2)
    assert found["agent_cost"].includes_demo
    assert (found["llm_success"].value, found["llm_success"].state) == (0.75, KpiState.CRITICAL)
    assert (found["llm_errors"].value, found["llm_errors"].samples) == (1, 4)
    assert found["llm_tokens"].value == 60
    assert not found["llm_tokens"].includes_demo


def test_business_is_counted_by_hand_and_by_project(session: Session, now: datetime) -> None:
    at = now - timedelta(minutes=5)
    project = new_id()
    session.execute(insert(Project).values(id=project, name="P"))
    for number in range(4):
        session.execute(insert(Lead).values(source="web", created_at=at, converted_at=at if number == 0 else None))
    for subject in ("ann", "ann", "bob", None):
        session.execute(insert(Event).values(id=new_id(), at=at, kind="view", source="web", subject=subject))
    for status in ("completed", "failed"):
        session.execute(
            insert(WorkItem).values(kind="assessment", title="t", status=status, finished_at=at, project_id=project)
        )
    session.execute(insert(WorkItem).values(kind="assessment", title="t", status="completed", finished_at=at))
    found = readings(session, Interval(now - HOUR, now))
    assert (found["leads"].value, found["lead_conversion"].value) == (4, 0.25)
    assert (found["events"].value, found["active_people"].value) == (4, 2)
    assert found["assessment_completion"].value == pytest.approx(2 / 3)
    session.execute(insert(Event).values(id=new_id(), at=at - 2 * HOUR, kind="view", source="web", subject=None))
    nobody = readings(session, Interval(now - 3 * HOUR, now - 2 * HOUR), ids=["active_people"])["active_people"]
    assert (nobody.value, nobody.state, {value for _, value in nobody.series}) == (None, KpiState.NO_DATA, {None})
    own = readings(session, Interval(now - HOUR, now), project_id=project)
    assert own["assessment_completion"].value == 0.5
    assert own["events"].state is KpiState.NO_DATA
    assert own["leads"].state is KpiState.NO_SOURCE


def test_the_host_is_averaged_and_as_old_as_its_sample(session: Session, now: datetime) -> None:
    for minutes, value in ((40, 0.2), (20, 0.4)):
        record(session, [Measurement("system_cpu_ratio", value, "ratio")], now - timedelta(minutes=minutes))
    reading = readings(session, Interval(now - HOUR, now))["system_cpu"]
    assert reading.value == pytest.approx(0.3)
    assert reading.measured_at == now - timedelta(minutes=20)
    assert reading.state is KpiState.ON_TARGET


def test_rows_are_read_once_however_many_figures_they_feed(session: Session, engine: Engine, now: datetime) -> None:
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    readings(session, Interval(now - HOUR, now), ids=["runs", "run_success", "run_p95", "runs"])
    assert len(statements) == 2


def test_a_figure_that_does_not_exist_is_said_so(session: Session, now: datetime) -> None:
    with pytest.raises(NotFoundError):
        read_kpis(session, None, Interval(now - HOUR, now), ids=["nothing"])


@pytest.mark.prometheus
def test_counters_of_prometheus_are_counted(session: Session, prom: PromClient, known_start: datetime) -> None:
    """The known counters: 120 requests a minute; in the second hour 60 more, each an error."""
    interval = Interval(known_start + HOUR, known_start + 2 * HOUR)
    found = readings(session, interval, prom)
    requests = found["http_requests"]
    assert requests.value == pytest.approx(7_260, rel=0.01)
    assert requests.previous == pytest.approx(7_200, rel=0.02)
    assert requests.state is KpiState.MEASURED
    assert len(requests.series) == 30
    errors = found["http_errors"]
    assert errors.value == pytest.approx(60 / 7_260, rel=0.02)
    assert errors.previous == 0
    assert errors.state is KpiState.WARNING
    assert found["http_p95"].value == pytest.approx(0.5, rel=0.01)
    assert found["http_p95"].samples == pytest.approx(3_600, rel=0.01)
    assert found["cache_hits"].state is KpiState.NO_DATA
    assert found["availability"].value == pytest.approx(1 - 60 / 7_260, rel=0.001)
    assert found["http_bytes"].state is KpiState.NO_DATA


@pytest.mark.prometheus
def test_what_two_processes_say_of_one_queue_counts_once(
    session: Session, prom: PromClient, known_start: datetime
) -> None:
    interval = Interval(known_start + HOUR, known_start + 2 * HOUR)
    depth = readings(session, interval, prom, ids=["queue_depth"])["queue_depth"]
    assert (depth.value, depth.previous) == (6, 6)
    assert 180 <= depth.samples <= 270  # servers before 3.0 count a sample on the edge of two steps in both
    assert {value for _, value in depth.series} == {6}


@pytest.mark.prometheus
def test_a_gap_in_the_counters_is_a_gap_in_the_trend(session: Session, prom: PromClient, known_start: datetime) -> None:
    interval = Interval(known_start + 2 * HOUR, known_start + 3 * HOUR)
    series = readings(session, interval, prom, ids=["http_requests"])["http_requests"].series
    assert None in [value for _, value in series]
    assert series[-1][1] is not None


def test_a_prometheus_that_is_away_takes_only_its_own_figures(session: Session, now: datetime) -> None:
    add_runs(session, now - timedelta(minutes=1), status="completed", took_s=1)
    with PromClient(f"http://127.0.0.1:{free_port()}") as away:
        found = readings(session, Interval(now - HOUR, now), away)
    assert found["http_p95"].state is KpiState.NO_SOURCE
    assert found["runs"].value == 1


def test_a_long_range_is_read_without_its_partitions_missing(session: Session) -> None:
    until = datetime(2026, 1, 1, tzinfo=UTC)
    assert all(
        reading.value is None for reading in readings(session, Interval(until - 300 * 24 * HOUR, until)).values()
    )
