"""Findings in PostgreSQL: found again they are the same, people rate them, and a level that changed is found."""

import uuid
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import Engine, func, insert, select
from sqlalchemy.orm import Session

from analytics.core.clock import floor_time, utc_now
from analytics.core.errors import InputError, NotFoundError
from analytics.core.ids import new_id
from analytics.insights import Evidence, Finding, InsightKind, find_insights, get_insight, give_feedback, list_insights
from analytics.insights.findings import KEPT, LASTS, LONGEST_NOTE, NEAR, store
from analytics.insights.model import Happening, Number, Related
from analytics.insights.outlook import capacity, look_ahead, threshold_advice
from analytics.rollup.upkeep import keep_up
from analytics.store.engine import session_scope
from analytics.store.partitions import ensure_month, months_between
from analytics.store.queries.annotations import NewAnnotation, add_annotation
from analytics.store.tables import AuditEntry, Insight, MetricSample

pytestmark = pytest.mark.integration
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def now() -> datetime:
    return floor_time(utc_now(), HOUR)


def finding(now: datetime, **changes: object) -> Finding:
    evidence = Evidence(
        unit="s",
        start=now - 3 * HOUR,
        step=HOUR,
        values=[1.0, None, 9.0],
        samples=30,
        how="Counted.",
        low=[0.5, 0.5, 0.5],
        high=[2.0, 2.0, None],
        numbers=[Number("Value", 9.0, "s")],
        happened=[Happening(now - HOUR, "Release 2", "deploy", None)],
        related=[Related("agent_cost", "agent", "planner", "Agent cost of planner: unusually high")],
    )
    one = Finding(InsightKind.ANOMALY, "agent_p95", "Agent run, p95: unusually high", 0.9, now - HOUR, evidence)
    return replace(one, **changes)


def ids(session: Session, **wanted: object) -> list[uuid.UUID]:
    return [row.id for row in list_insights(session, **wanted)]


def test_a_finding_comes_back_with_all_its_evidence(session: Session, now: datetime) -> None:
    one = finding(now)
    assert store(session, [one], now=now).new == 1
    (row,) = list_insights(session)
    detail = get_insight(session, row.id)
    assert (detail.row.title, detail.row.confidence, detail.row.since) == (one.title, 0.9, one.since)
    assert detail.evidence == replace(
        one.evidence,
        numbers=detail.evidence.numbers,
        happened=detail.evidence.happened,
        related=detail.evidence.related,
        values=detail.evidence.values,
        low=detail.evidence.low,
        high=detail.evidence.high,
        expected=detail.evidence.expected,
        other_values=detail.evidence.other_values,
    )
    assert list(detail.evidence.values) == [1.0, None, 9.0]
    assert list(detail.evidence.happened) == list(one.evidence.happened)


def test_what_is_found_again_near_its_place_is_the_same(session: Session, now: datetime) -> None:
    store(session, [finding(now)], now=now)
    again = store(session, [finding(now, since=now - NEAR, title="Worse than thought")], now=now + HOUR)
    assert (again.new, again.known) == (0, 1)
    (row,) = list_insights(session)
    assert (row.title, row.seen_at, row.found_at) == ("Worse than thought", now + HOUR, now)
    far = store(session, [finding(now, since=now - DAY)], now=now + HOUR)
    assert far.new == 1


def test_what_is_led_by_another_figure_is_still_the_same_finding(session: Session, now: datetime) -> None:
    first = finding(now)
    store(session, [first], now=now)
    other = finding(now, kpi_id="llm_p95", aliases=[first.subject])
    assert store(session, [other], now=now + HOUR).new == 0
    (row,) = list_insights(session)
    assert row.kpi_id == "llm_p95"


def test_what_is_not_found_for_a_day_is_over_and_later_forgotten(session: Session, now: datetime) -> None:
    one = finding(now, kind=InsightKind.CAPACITY)
    store(session, [one], now=now)
    later = now + LASTS + HOUR
    assert store(session, [], now=later).ended == 1
    assert list_insights(session)[0].until == now
    assert store(session, [replace(one, since=later)], now=later).new == 1
    store(session, [], now=later + KEPT + HOUR)
    assert list_insights(session) == []


def test_a_subject_called_useless_twice_is_muted_until_others_disagree(session: Session, now: datetime) -> None:
    store(session, [finding(now), finding(now, kpi_id="llm_p95")], now=now)
    (mine,) = ids(session, kpi_id="agent_p95")
    give_feedback(session, mine, actor="ada", is_useful=False, note="always so at night")
    give_feedback(session, mine, actor="ada", is_useful=False, note="always so at night")
    assert mine in ids(session)
    give_feedback(session, mine, actor="ben", is_useful=False)
    assert mine not in ids(session)
    assert mine in ids(session, with_muted=True)
    # The next finding of the same subject is muted from the start.
    store(session, [finding(now, since=now - DAY)], now=now + HOUR)
    assert ids(session, kpi_id="agent_p95") == []
    for actor in ("ben", "cleo", "dan"):
        give_feedback(session, mine, actor=actor, is_useful=True)
    assert len(ids(session, kpi_id="agent_p95")) == 2
    detail = get_insight(session, mine)
    assert (detail.row.useful, detail.row.useless) == (3, 1)
    assert [one.note for one in detail.feedback if one.actor == "ada"] == ["always so at night"]
    actions = select(func.count()).where(AuditEntry.action == "insight.rated")
    assert session.scalar(actions) == 6


def test_pages_of_findings_follow_each_other_and_can_be_narrowed(session: Session, now: datetime) -> None:
    store(session, [finding(now, since=now - place * DAY) for place in range(5)], now=now)
    store(session, [finding(now, kind=InsightKind.REGRESSION)], now=now)
    first = list_insights(session, limit=4)
    rest = list_insights(session, limit=4, before=(first[-1].found_at, first[-1].id))
    assert len({row.id for row in [*first, *rest]}) == 6
    assert [row.kind for row in list_insights(session, kinds=[InsightKind.REGRESSION])] == [InsightKind.REGRESSION]
    assert list_insights(session, since=now + HOUR) == []


def test_what_is_not_there_cannot_be_read_or_rated(session: Session, now: datetime) -> None:
    with pytest.raises(NotFoundError):
        get_insight(session, new_id())
    with pytest.raises(NotFoundError):
        give_feedback(session, new_id(), actor="ada", is_useful=True)
    store(session, [finding(now)], now=now)
    with pytest.raises(InputError):
        give_feedback(session, ids(session)[0], actor="ada", is_useful=True, note="x" * (LONGEST_NOTE + 1))


def add_samples(session: Session, name: str, values: np.ndarray, until: datetime) -> None:
    start = until - len(values) * HOUR
    months = [start.replace(day=1), *months_between(start, until)]
    for month in dict.fromkeys(months):
        ensure_month(session.connection(), ["metric_sample", "rollup_hour", "rollup_day"], month)
    rows = [
        {"id": new_id(), "at": start + place * HOUR, "name": name, "value": float(value), "unit": "ratio"}
        for place, value in enumerate(values)
    ]
    session.execute(insert(MetricSample), rows)


def test_a_level_that_changed_at_a_release_is_found_once_and_told_with_it(engine: Engine, now: datetime) -> None:
    steps = np.arange(20 * 24)
    values = 0.4 + 0.1 * np.sin(steps / 24 * 2 * np.pi) + 0.01 * np.random.default_rng(1).normal(size=len(steps))
    values[-5 * 24 :] += 0.15
    changed = now - 5 * DAY
    with session_scope(engine) as session:
        add_samples(session, "system_cpu_ratio", values, now)
        add_annotation(session, NewAnnotation(changed, "Release 4.2", kind="deploy"), actor="ada")
    keep_up(engine, now=now)
    first = find_insights(engine, None, now=now)
    again = find_insights(engine, None, now=now)
    assert (first.stored.new, again.stored.new) == (first.found, 0)
    with session_scope(engine) as session:
        (row,) = list_insights(session, kinds=[InsightKind.REGRESSION])
        detail = get_insight(session, row.id)
        assert abs(row.since - changed) <= HOUR
        assert row.title.startswith(("Processor rose from 40", "Processor rose from 39.9"))
        assert row.title.endswith("near “Release 4.2”")
        assert (row.is_good, row.until, row.origin) == (False, None, "live")
        assert detail.row.confidence > 0.99
        assert [one.title for one in detail.evidence.happened] == ["Release 4.2"]
        assert session.scalar(select(func.count()).select_from(Insight)) == first.stored.new


def test_what_lies_ahead_is_told_with_its_bound(engine: Engine, now: datetime) -> None:
    steps = np.arange(20 * 24)
    noise = 0.01 * np.random.default_rng(2).normal(size=len(steps))
    with session_scope(engine) as session:
        add_samples(session, "system_cpu_ratio", 0.4 + 0.1 * np.sin(steps / 24 * 2 * np.pi) + noise, now)
        add_samples(session, "system_disk_ratio", 0.5 + 0.01 * steps / 24 + noise / 5, now)
    keep_up(engine, now=now)
    with session_scope(engine) as session:
        outlook = look_ahead(session, None, "system_cpu", now=now)
        assert outlook is not None
        assert (len(outlook.middle), outlook.bound, outlook.passes_at) == (72, 0.85, None)
        assert outlook.chance < 0.01
        assert outlook.error < 0.03
        resources = {one.line.kpi.id: one for one in capacity(session, None, now=now).resources}
        disk = resources["system_disk"]
        assert disk.growth is not None
        assert disk.reach is not None
        assert disk.growth.slope == pytest.approx(0.01, rel=0.05)
        assert disk.reach.likely == pytest.approx(20, abs=2)
        advice = {one.line.kpi.id: one for one in threshold_advice(session, None, now=now)}
        processor = advice["system_cpu"]
        assert processor.alarms_per_week_now == 0
        assert processor.advice is not None
        assert 0.48 < processor.advice.target < processor.advice.good < processor.advice.warning < 0.56
        assert look_ahead(session, None, "runs", now=now) is None
    with session_scope(engine) as session, pytest.raises(InputError):
        look_ahead(session, None, "system_cpu", now=now, ahead=30 * DAY)
