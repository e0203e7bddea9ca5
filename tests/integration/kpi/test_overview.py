"""The overview and the kept course of the score, on rows that are known."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, insert, select
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, utc_now
from analytics.core.ids import new_id
from analytics.kpi import read_kpis
from analytics.kpi.overview import SCORE_NAME, read_overview, record_score
from analytics.kpi.recommendations import worst_parts
from analytics.kpi.score import score_of
from analytics.sources.system import Measurement, record
from analytics.store.engine import session_scope
from analytics.store.tables import AgentRun, MetricSample, WorkItem

pytestmark = pytest.mark.integration
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def now() -> datetime:
    """A round moment of today, so that its partitions exist."""
    return utc_now().replace(second=0, microsecond=0)


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A score rests on whatever there is."""
    monkeypatch.setattr("analytics.kpi.score.LEAST_COVERAGE", 0.01)


def add_agent_runs(session: Session, at: datetime, agent: str, *, ok: int, failed: int) -> None:
    session.execute(
        insert(AgentRun),
        [
            {"id": new_id(), "agent_id": agent, "task_kind": "k", "status": status, "started_at": at}
            for status in ["completed"] * ok + ["failed"] * failed
        ],
    )


def kept(session: Session) -> list[tuple[datetime, float]]:
    rows = session.scalars(select(MetricSample).where(MetricSample.name == SCORE_NAME).order_by(MetricSample.at))
    return [(row.at, row.value) for row in rows]


@pytest.mark.usefixtures("lenient")
def test_the_score_of_the_hour_before_is_kept_as_a_sample(session: Session, now: datetime) -> None:
    """95 of 100 is good exactly, so 80 points; the failures of the hour before that do not count."""
    add_agent_runs(session, now - 20 * MINUTE, "a", ok=95, failed=5)
    add_agent_runs(session, now - 2 * HOUR, "a", ok=0, failed=50)
    score = record_score(session, None, now=now)
    assert score.value == pytest.approx(80)
    assert kept(session) == [(now, score.value)]
    sample = session.scalars(select(MetricSample)).one()
    assert (sample.unit, sample.tags) == ("points", {"coverage": f"{score.coverage:.1f}"})


def test_where_too_little_is_measured_no_sample_is_kept(session: Session, now: datetime) -> None:
    add_agent_runs(session, now - 20 * MINUTE, "a", ok=95, failed=5)
    score = record_score(session, None, now=now)
    assert score.value is None
    assert 0 < score.coverage < 0.5
    assert kept(session) == []


def test_the_overview_brings_figures_score_work_and_success_together(engine: Engine, now: datetime) -> None:
    interval = Interval(now - HOUR, now)
    with session_scope(engine) as session:
        add_agent_runs(session, now - 20 * MINUTE, "a", ok=95, failed=5)
        session.execute(insert(WorkItem).values(kind="report", title="t", status="open", created_at=now - MINUTE))
        for minutes, value in ((10, 90.0), (20, 86.0), (30, 85.0), (40, 60.0)):
            record(session, [Measurement(SCORE_NAME, value, "points")], now - minutes * MINUTE)
    found = read_overview(engine, None, interval)
    assert [(kind.kind, kind.total) for kind in found.work] == [
        ("assessment", 0),
        ("recommendation", 0),
        ("report", 1),
    ]
    points = {part.kpi.id: part.points for part in found.score.parts}
    assert points["agent_success"] == pytest.approx(80)
    assert SCORE_NAME not in points, "the score takes no part in itself"
    steady, hits, availability, response = found.success
    assert (steady.value, steady.samples, steady.is_met) == (0.5, 4, False)
    for silent in (hits, availability, response):
        assert (silent.value, silent.is_met, silent.samples) == (None, None, 0)


@pytest.mark.usefixtures("lenient")
def test_the_agent_that_fails_is_found_behind_the_score(session: Session, now: datetime) -> None:
    add_agent_runs(session, now - 20 * MINUTE, "good", ok=196, failed=4)
    add_agent_runs(session, now - 20 * MINUTE, "bad", ok=60, failed=40)
    interval = Interval(now - HOUR, now)
    score = score_of(read_kpis(session, None, interval))
    (cause,) = worst_parts(session, None, score, interval)
    assert (cause.kpi_id, cause.title, cause.params["by"]) == ("agent_success", "Look at the agent bad", "agent")
    assert cause.value_after == pytest.approx(0.98)
