"""Key figures over time and by dimension, the rows behind them, and metrics by name, on facts that are known."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine, insert
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, utc_now
from analytics.core.errors import InputError, NotFoundError
from analytics.core.ids import new_id
from analytics.kpi import (
    Bounds,
    KpiState,
    kpi_rows,
    kpi_series,
    many_series,
    metric_course,
    read_by,
    read_kpis,
    set_thresholds,
    summary,
)
from analytics.rollup.upkeep import keep_up
from analytics.sources.prometheus import PromClient
from analytics.sources.system import Measurement, record
from analytics.store.partitions import ensure_partitions
from analytics.store.tables import AgentRun, Project, WorkItem

pytestmark = pytest.mark.integration
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def now() -> datetime:
    """A round moment of today, so that its partitions exist."""
    return utc_now().replace(minute=0, second=0, microsecond=0)


def add_agent_runs(session: Session, at: datetime, agent: str, *, ok: int, failed: int = 0) -> None:
    for place in range(ok + failed):
        session.execute(
            insert(AgentRun).values(
                id=new_id(),
                started_at=at + place * timedelta(seconds=1),
                finished_at=at + timedelta(minutes=1),
                agent_id=agent,
                task_kind="read" if place % 2 else "write",
                status="completed" if place < ok else "failed",
                confidence=0.8,
                cost_usd=Decimal("0.5"),
            )
        )


def test_a_figure_is_split_by_agent_with_its_own_state(session: Session, now: datetime) -> None:
    add_agent_runs(session, now - 30 * MINUTE, "planner", ok=10)
    add_agent_runs(session, now - 30 * MINUTE, "writer", ok=3, failed=1)
    set_thresholds(session, "agent_success", Bounds(0.9, 0.8, 0.7), actor="ada@example.org")
    found = read_by(session, None, "agent_success", "agent", Interval(now - HOUR, now))
    assert [(item.key, item.value, item.samples, item.state) for item in found] == [
        ("planner", 1.0, 10, KpiState.ON_TARGET),
        ("writer", 0.75, 4, KpiState.WARNING),
    ]
    most = read_by(session, None, "agent_success", "agent", Interval(now - HOUR, now), most=1)
    assert [item.key for item in most] == ["planner"]
    pairs = read_by(session, None, "agent_runs", "agent_task", Interval(now - HOUR, now))
    assert {(item.key, item.value) for item in pairs} == {
        ("planner\x1fwrite", 5),
        ("planner\x1fread", 5),
        ("writer\x1fwrite", 2),
        ("writer\x1fread", 2),
    }


def test_a_figure_that_is_one_key_is_split_below_it(session: Session, now: datetime) -> None:
    project = new_id()
    session.execute(insert(Project).values(id=project, name="P"))
    for kind, status, of in (
        ("assessment", "completed", project),
        ("assessment", "failed", project),
        ("assessment", "completed", None),
        ("report", "failed", project),
    ):
        session.execute(
            insert(WorkItem).values(kind=kind, title="t", status=status, finished_at=now - MINUTE, project_id=of)
        )
    found = read_by(session, None, "assessment_completion", "project", Interval(now - HOUR, now))
    assert [(item.key, item.value, item.samples) for item in found] == [(str(project), 0.5, 2), ("", 1.0, 1)]


def test_what_cannot_be_split_says_by_what_it_can(session: Session, now: datetime) -> None:
    with pytest.raises(NotFoundError, match="by agent, project, task_kind"):
        read_by(session, None, "agent_runs", "colour", Interval(now - HOUR, now))
    with pytest.raises(InputError):
        read_by(session, None, "agent_runs", "agent", Interval(now - HOUR, now), most=0)


def test_a_course_has_a_point_a_step_and_none_where_nothing_was_seen(session: Session, now: datetime) -> None:
    add_agent_runs(session, now - 50 * MINUTE, "planner", ok=1, failed=1)
    add_agent_runs(session, now - 10 * MINUTE, "writer", ok=3)
    hour = Interval(now - HOUR, now)
    course = kpi_series(session, None, "agent_success", hour, step=20 * MINUTE)
    assert [(point.start, point.value, point.samples) for point in course.points] == [
        (now - HOUR, 0.5, 2),
        (now - 40 * MINUTE, None, 0),
        (now - 20 * MINUTE, 1.0, 3),
    ]
    assert (course.step, course.interval, course.key) == (20 * MINUTE, hour, "")
    of_writer = kpi_series(session, None, "agent_success", hour, step=20 * MINUTE, dim="agent", key="writer")
    assert [point.value for point in of_writer.points] == [None, None, 1.0]
    assert of_writer.key == "writer"
    amounts = kpi_series(session, None, "agent_runs", hour, step=20 * MINUTE)
    assert [point.value for point in amounts.points] == [2, 0, 3]
    many = many_series(session, None, ["agent_runs", "leads"], hour, step=20 * MINUTE)
    assert many["agent_runs"] == amounts
    assert [point.value for point in many["leads"].points] == [None, None, None]


def test_a_course_that_cannot_be_drawn_is_refused(session: Session, now: datetime) -> None:
    for interval, step in (
        (Interval(now, now), HOUR),
        (Interval(now - HOUR, now), timedelta(seconds=30)),
        (Interval(now - DAY, now), MINUTE),
        (Interval(now - DAY, now), 90 * MINUTE),
        (Interval(now - 400 * DAY, now), HOUR),
    ):
        with pytest.raises(InputError):
            kpi_series(session, None, "runs", interval, step=step)
    with pytest.raises(NotFoundError):
        kpi_series(session, None, "runs", Interval(now - HOUR, now), step=HOUR, dim="colour", key="red")


def test_days_of_cells_say_the_same_as_the_rows_and_what_they_cover(engine: Engine, session: Session) -> None:
    now = utc_now()
    with engine.begin() as connection:
        ensure_partitions(connection, since=now - 20 * DAY)
    for days in (9, 3, 2):
        add_agent_runs(session, now - days * DAY, "planner", ok=days, failed=1)
    session.commit()
    keep_up(engine, now=now)
    week = Interval(now - 5 * DAY, now)
    (reading,) = read_kpis(session, None, week, ids=["agent_runs"])
    assert (reading.value, reading.samples, reading.previous) == (7, 7, 10)
    assert reading.interval.since == (now - 5 * DAY).replace(hour=0, minute=0, second=0, microsecond=0)
    assert sum(value or 0 for _, value in reading.series) == 7
    assert {start.hour for start, _ in reading.series} == {0}
    (by_agent,) = read_by(session, None, "agent_success", "agent", week)
    assert (by_agent.key, by_agent.value, by_agent.interval) == ("planner", 5 / 7, reading.interval)
    course = kpi_series(session, None, "agent_runs", week, step=6 * HOUR)
    assert sum(point.samples for point in course.points) == 7
    assert len(course.points) in {20, 21}


def test_the_rows_behind_a_figure_come_page_by_page(session: Session, now: datetime) -> None:
    add_agent_runs(session, now - 30 * MINUTE, "planner", ok=3)
    add_agent_runs(session, now - 20 * MINUTE, "writer", ok=1)
    hour = Interval(now - HOUR, now)
    first = kpi_rows(session, "agent_success", hour, limit=3)
    rest = kpi_rows(session, "agent_success", hour, limit=3, after=(first[-1]["at"], first[-1]["id"]))
    assert [row["agent_id"] for row in [*first, *rest]] == ["writer", "planner", "planner", "planner"]
    assert [row["agent_id"] for row in kpi_rows(session, "agent_success", hour, dim="agent", key="writer")] == [
        "writer"
    ]
    with pytest.raises(NotFoundError, match="keeps no rows"):
        kpi_rows(session, "http_p95", hour)


def test_metrics_are_summed_up_by_name(session: Session, now: datetime) -> None:
    """Twenty samples of 0.05 to 1.00; their mean is 0.525."""
    for place in range(1, 21):
        at = now - place * MINUTE
        record(session, [Measurement("system_cpu_ratio", place / 20, "ratio")], at)
    record(session, [Measurement("orders", -3, "count"), Measurement("orders", -1, "count")], now - MINUTE)
    found = summary(session, None, Interval(now - HOUR, now))
    orders, cpu = found.metrics
    assert (cpu.name, cpu.unit, cpu.count, cpu.minimum, cpu.maximum) == ("system_cpu_ratio", "ratio", 20, 0.05, 1.0)
    assert cpu.average == pytest.approx(0.525)
    assert cpu.p95 == pytest.approx(0.95, rel=0.045)
    assert cpu.p99 == pytest.approx(1.0, rel=0.045)
    assert cpu.latest_at == now - MINUTE
    assert (orders.count, orders.average, orders.minimum, orders.maximum) == (2, -2, -3, -1)
    assert found.sample_count == 22
    assert found.averages == {"cpu": pytest.approx(0.525), "memory": None, "disk": None}
    assert found.peaks == {"cpu": 1.0, "memory": None, "disk": None}
    assert found.response_times == []
    course = metric_course(session, "system_cpu_ratio", Interval(now - 30 * MINUTE, now), step=10 * MINUTE)
    told = [(point.count, point.minimum, point.maximum) for point in course.points]
    assert told == [(0, None, None), (10, 0.55, 1.0), (10, 0.05, 0.5)]
    assert [point.average for point in course.points[1:]] == pytest.approx([0.775, 0.275])
    (nothing,) = metric_course(session, "never", Interval(now - HOUR, now), step=HOUR).points
    assert (nothing.count, nothing.average) == (0, None)


def test_an_empty_time_has_no_metrics_and_says_so(session: Session, now: datetime) -> None:
    found = summary(session, None, Interval(now - HOUR, now))
    assert (found.sample_count, list(found.metrics)) == (0, [])
    assert set(found.averages.values()) == {None}
    with pytest.raises(InputError):
        summary(session, None, Interval(now, now))


@pytest.mark.prometheus
def test_counters_are_split_by_label_and_have_courses(
    session: Session, prom: PromClient, known_start: datetime
) -> None:
    """The known counters: 120 requests a minute; in the second hour 60 more, each an error."""
    hour = Interval(known_start + HOUR, known_start + 2 * HOUR)
    (api,) = read_by(session, prom, "http_errors", "group", hour)
    assert api.key == "api"
    assert api.value == pytest.approx(60 / 7_260, rel=0.02)
    assert api.samples == pytest.approx(7_260, rel=0.02)
    (slow,) = read_by(session, prom, "http_p95", "group", hour)
    assert slow.key == "api"
    assert slow.value == pytest.approx(0.5, rel=0.01)
    assert read_by(session, None, "http_p95", "group", hour) == []
    course = kpi_series(session, prom, "http_errors", hour, step=30 * MINUTE)
    assert [point.value for point in course.points] == [pytest.approx(60 / 3_660, rel=0.05), 0.0]
    assert [point.samples for point in course.points] == pytest.approx([3_660, 3_600], rel=0.02)
    (times,) = summary(session, prom, hour).response_times
    assert times.group == "api"
    assert [times.requests, times.average_s, times.p95_s] == pytest.approx([3_600, 0.2, 0.5], rel=0.02)
