"""Costs, usage and agents on facts that are counted by hand."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import insert
from sqlalchemy.orm import Session

from analytics.agents import AgentHealth, agent_performance
from analytics.core.clock import Interval, utc_now
from analytics.core.errors import InputError
from analytics.core.ids import new_id
from analytics.kpi.costs import costs
from analytics.kpi.usage import usage
from analytics.rollup.cuts import joined
from analytics.rollup.sketch import RELATIVE_ERROR
from analytics.store.tables import Agent, AgentRun, Event, LlmCall

pytestmark = pytest.mark.integration
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def now() -> datetime:
    """A moment whose hours before lie in partitions that exist."""
    return utc_now()


def call(at: datetime, provider: str, model: str, cost: str | None, *, ok: bool = True) -> dict[str, object]:
    return {
        "id": new_id(),
        "at": at,
        "provider": provider,
        "model": model,
        "ok": ok,
        "duration_ms": 2000.0,
        "input_tokens": 100,
        "output_tokens": 10,
        "cost_usd": None if cost is None else Decimal(cost),
    }


def event(at: datetime, kind: str, subject: str | None, service: str | None = None, cost: str | None = None):
    source = kind.partition(".")[0]
    known = {"id": new_id(), "at": at, "kind": kind, "source": source, "subject": subject, "props": {}}
    return {**known, "service": service, "cost_usd": None if cost is None else Decimal(cost)}


@pytest.fixture
def spent(session: Session, now: datetime) -> Interval:
    """An hour in which models and services were paid for, and the hour before."""
    at, before = now - 30 * MINUTE, now - 90 * MINUTE
    calls = [
        call(at, "cloud", "large", "0.40"),
        call(at, "cloud", "large", "0.20", ok=False),
        call(at, "cloud", "small", "0.05"),
        call(at, "own", "local", None),
        call(before, "cloud", "large", "0.30"),
    ]
    session.execute(insert(LlmCall), calls)
    events = [
        event(at, "web.page_view", "ann", "cloud", "0.10"),
        event(at, "web.page_view", "bob", "mail", "0.01"),
        event(at, "message.sent", "ann", "mail"),
        event(at, "context.read", "a-context"),
        event(before, "message.sent", "cy", "mail", "0.02"),
    ]
    session.execute(insert(Event), events)
    session.flush()
    return Interval(now - HOUR, now)


def test_costs_by_service_add_up_calls_and_events(session: Session, spent: Interval) -> None:
    found = costs(session, spent, by="service")
    assert [line.key for line in found.lines] == ["cloud", "mail", "own"]
    cloud, mail, _ = found.lines
    assert (found.total_usd, found.before_usd) == (pytest.approx(0.76), pytest.approx(0.32))
    assert (cloud.cost_usd, cloud.before_usd, cloud.facts) == (pytest.approx(0.75), pytest.approx(0.30), 4)
    assert (mail.cost_usd, mail.facts, mail.unpriced) == (pytest.approx(0.01), 2, 1)
    assert (found.facts, found.unpriced) == (7, 2)
    assert sum(value or 0.0 for _, value in cloud.course) == pytest.approx(0.75)
    assert found.measured_at == spent.until - 30 * MINUTE


def test_an_unknown_price_is_never_nothing(session: Session, spent: Interval) -> None:
    own = costs(session, spent, by="service").lines[-1]
    assert (own.cost_usd, own.before_usd, own.per_success_usd, own.unpriced) == (None, None, None, 1)
    assert all(value is None for _, value in own.course)


def test_a_success_of_a_model_costs_what_its_failures_cost_too(session: Session, spent: Interval) -> None:
    lines = {line.key: line for line in costs(session, spent, by="service_model").lines}
    large = lines[joined("cloud", "large")]
    assert (large.facts, large.failed, large.success_ratio) == (2, 1, 0.5)
    assert large.per_success_usd == pytest.approx(0.60)
    assert large.p95_s == pytest.approx(2.0, rel=RELATIVE_ERROR)
    assert (large.input_tokens, large.output_tokens) == (200, 20)
    assert {line.key for line in costs(session, spent, by="model").lines} == {"large", "small", "local"}


def test_only_the_dearest_are_shown_and_the_total_is_that_of_all(session: Session, spent: Interval) -> None:
    found = costs(session, spent, by="service", most=1)
    assert [line.key for line in found.lines] == ["cloud"]
    assert found.total_usd == pytest.approx(0.76)


@pytest.mark.parametrize(("by", "most"), [("weather", 20), ("service", 0), ("service", 101)])
def test_costs_that_nobody_can_tell_are_refused(session: Session, now: datetime, by: str, most: int) -> None:
    with pytest.raises(InputError, match="nothing was read"):
        costs(session, Interval(now - HOUR, now), by=by, most=most)


def test_usage_counts_people_once_and_no_contexts_among_them(session: Session, spent: Interval) -> None:
    found = usage(session, spent)
    assert (found.people, found.people_before) == (2, 1)
    amounts = {line.key: (line.count, line.before) for line in found.amounts}
    assert amounts["event"] == (4, 1)
    assert amounts["llm_call"] == (4, 1)
    assert amounts["run"] == (0, 0)
    kinds = {line.key: (line.count, line.people) for line in found.kinds}
    assert kinds == {"web.page_view": (2, 2), "message.sent": (1, 1), "context.read": (1, None)}
    assert max(value or 0 for _, value in found.people_course) == 2
    assert not found.is_demo


def test_nothing_seen_is_nothing_known(session: Session, now: datetime) -> None:
    interval = Interval(now - HOUR, now)
    used, spent, ranked = usage(session, interval), costs(session, interval), agent_performance(session, interval)
    assert (used.people, used.kinds, used.measured_at) == (None, [], None)
    assert (spent.total_usd, spent.lines, spent.measured_at) == (None, [], None)
    assert (ranked.agents, ranked.more) == ([], False)


def test_agents_are_ranked_by_runs_and_compared_with_the_time_before(session: Session, now: datetime) -> None:
    session.execute(insert(Agent).values(id="busy", name="Busy", team="t", icon="map"))
    session.execute(insert(Agent).values(id="idle", name="Idle"))

    def runs(
        agent_id: str, at: datetime, status: str, *, many: int, took_s: float = 4.0, cost: str | None = "0.01"
    ) -> None:
        row = {"agent_id": agent_id, "started_at": at, "finished_at": at + timedelta(seconds=took_s), "task_kind": "k"}
        price = None if cost is None else Decimal(cost)
        made = [{**row, "id": new_id(), "status": status, "cost_usd": price, "confidence": 0.8} for _ in range(many)]
        session.execute(insert(AgentRun), made)

    at, before = now - 30 * MINUTE, now - 90 * MINUTE
    runs("busy", at, "completed", many=18)
    runs("busy", at, "failed", many=2)
    runs("busy", before, "completed", many=10, took_s=2.0)
    runs("rare", at, "completed", many=3, cost=None)
    session.flush()
    found = agent_performance(session, Interval(now - HOUR, now))
    assert [agent.id for agent in found.agents] == ["busy", "rare", "idle"]
    busy, rare, idle = found.agents
    assert (busy.name, busy.team, busy.runs, busy.completed, busy.failed) == ("Busy", "t", 20, 18, 2)
    assert busy.health is AgentHealth.UNSURE
    assert (busy.success_ratio, busy.success_before, busy.runs_before) == (0.9, 1.0, 10)
    assert (busy.success_low or 1) < 0.9 < (busy.success_high or 0)
    assert busy.p95_s == pytest.approx(4, rel=RELATIVE_ERROR)
    assert busy.p95_before_s == pytest.approx(2, rel=RELATIVE_ERROR)
    assert (busy.cost_usd, busy.cost_per_success_usd) == (pytest.approx(0.2), pytest.approx(0.2 / 18))
    assert busy.confidence == pytest.approx(0.8)
    assert sum(many for _, many, _ in busy.trend) == 20
    assert (rare.name, rare.health, rare.cost_usd, rare.cost_per_success_usd) == (
        "rare",
        AgentHealth.UNSURE,
        None,
        None,
    )
    assert (idle.health, idle.runs, idle.p95_s, idle.last_seen) == (AgentHealth.QUIET, 0, None, None)
    fewer = agent_performance(session, Interval(now - HOUR, now), most=1)
    assert ([agent.id for agent in fewer.agents], fewer.more) == (["busy"], True)
