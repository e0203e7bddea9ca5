"""Contexts are known from the facts told of them, and their use is counted as it happened."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

from analytics.contexts import ContextEvent, ContextUsage, context_events, take_in, usage
from analytics.core.errors import InputError
from analytics.core.ids import new_id
from analytics.rollup.upkeep import keep_up
from analytics.store.engine import driver_url, session_scope
from analytics.store.partitions import ensure_partitions
from dashboard.processes.servers import EmbeddedPostgres

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 18, 15, 30, tzinfo=UTC)  # a Wednesday
HOUR = timedelta(hours=1)


def told(context_id: str, what: str, ago: timedelta, **more: object) -> ContextEvent:
    return ContextEvent(context_id, f"context.{what}", NOW - ago, **more)


FACTS = [
    told("w", "created", 40 * 24 * HOUR, type="workspace", name="Office", agent_id="ada"),
    told("t1", "created", 20 * 24 * HOUR, parent_id="w", type="task", name="Invoices", agent_id="ada"),
    told("t2", "created", 3 * 24 * HOUR, parent_id="w", type="task", name="Letters", agent_id="bob"),
    told("c1", "created", 3 * HOUR, parent_id="t2", type="conversation", name="A talk", agent_id="bob"),
    told("t1", "write", 19 * 24 * HOUR, agent_id="ada"),
    told("t1", "read", 18 * 24 * HOUR, agent_id="bob"),
    told("c1", "read", 2 * HOUR, agent_id="bob"),
    told("c1", "read", 1 * HOUR, agent_id="ada"),
    told("lost", "read", 2 * HOUR, agent_id="bob"),
    told("stray", "created", 5 * 24 * HOUR, parent_id="nowhere", type="task", name="Stray"),
    told("t1", "archived", 1 * 24 * HOUR, agent_id="ada"),
]
RING = [
    told("a", "created", 70 * 24 * HOUR, parent_id="b", type="note"),
    told("b", "created", 70 * 24 * HOUR, parent_id="a", type="note"),
    told("a", "archived", 60 * 24 * HOUR),
    told("b", "archived", 60 * 24 * HOUR),
]


def store(engine: Engine, facts: list[ContextEvent]) -> None:
    """Store *facts* as whoever takes events in does, and sum them."""
    with session_scope(engine) as session:
        ensure_partitions(session.connection(), since=NOW - timedelta(days=90))
        for fact in facts:
            session.execute(
                text(
                    "INSERT INTO event (id, at, kind, source, subject, props)"
                    " VALUES (:id, :at, :kind, 'test', :subject, jsonb_build_object('agent_id', CAST(:agent AS text)))"
                ),
                {"id": new_id(), "at": fact.at, "kind": fact.kind, "subject": fact.context_id, "agent": fact.agent_id},
            )
        take_in(session, facts)
    keep_up(engine, now=NOW)


@pytest.fixture(scope="module")
def stored(postgres: EmbeddedPostgres) -> Iterator[Engine]:
    """A database that holds these facts; tests only read it."""
    name = "known_contexts"
    with psycopg.connect(postgres.dsn_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_helmsight")
    engine = create_engine(driver_url(postgres.dsn_of(name)))
    store(engine, [*FACTS, *RING])
    yield engine
    engine.dispose()
    with psycopg.connect(postgres.superuser_dsn, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def found(stored: Engine) -> ContextUsage:
    """How these contexts were used in the last week."""
    with Session(stored) as session:
        return usage(session, days=7, now=NOW)


def known(session: Session) -> dict[str, tuple]:
    statement = (
        "SELECT id, parent_id, kind, name, agent_id, created_at, archived_at, last_read_at, last_write_at FROM context"
    )
    return {row.id: tuple(row) for row in session.execute(text(statement))}


def test_facts_in_any_order_and_twice_lead_to_the_same_contexts(engine: Engine):
    with session_scope(engine) as session:
        assert take_in(session, FACTS) == 6
        whole = known(session)
        session.rollback()
        facts = FACTS * 2
        random.Random(7).shuffle(facts)  # noqa: S311 - an order, no secret
        for fact in facts:
            take_in(session, [fact])
        assert known(session) == whole
        assert take_in(session, []) == 0
    assert whole["c1"] == ("c1", "t2", "conversation", "A talk", "bob", NOW - 3 * HOUR, None, NOW - HOUR, None)
    assert whole["t1"][6:] == (NOW - 24 * HOUR, NOW - 18 * 24 * HOUR, NOW - 19 * 24 * HOUR)
    assert whole["lost"][2:4] == ("unknown", "lost")


def test_use_is_counted_over_the_window_and_beside_the_one_before(stored: Engine, found: ContextUsage):
    with Session(stored) as session:
        longer = usage(session, days=30, now=NOW)
    totals = found.totals
    assert (totals.contexts, totals.open, totals.created, totals.reads, totals.writes) == (8, 5, 3, 3, 0)
    assert (totals.archived, totals.used, totals.utilisation, totals.agents) == (1, 2, 0.4, 2)
    assert (longer.totals.created, longer.totals.created_before, longer.totals.writes) == (4, 1, 1)
    assert sum(step.reads for step in found.steps) == 3
    assert [(agent.agent_id, agent.accesses, agent.created, agent.open) for agent in found.agents] == [
        ("bob", 4, 2, 2),
        ("ada", 2, 0, 1),
    ]
    assert [(row.id, row.accesses) for row in found.most_used[:1]] == [("c1", 3)]
    assert {row.type: (row.contexts, row.never_read) for row in found.types}["task"] == (3, 2)
    assert not found.includes_demo
    assert found.newest == NOW - HOUR


def test_the_hierarchy_is_told_by_level_and_branch(found: ContextUsage):
    tree = found.hierarchy
    assert [(level.depth, level.contexts, level.open, level.used, level.most_children) for level in tree.levels] == [
        (0, 3, 3, 1, 2),
        (1, 2, 1, 0, 1),
        (2, 1, 1, 1, 0),
    ]
    assert (tree.deepest, tree.orphans, tree.in_loops) == (2, 1, 2)
    branches = {branch.id: branch for branch in tree.branches}
    assert (branches["w"].contexts, branches["w"].used, branches["w"].last_used_at) == (4, 1, NOW - HOUR)
    assert branches["t2"].parent_id == "w"
    assert branches["stray"].last_used_at is None


def test_a_wide_hierarchy_is_drawn_by_its_largest_branches(session: Session):
    take_in(session, [told(f"c{place}", "created", HOUR) for place in range(90)])
    take_in(session, [told("child", "created", HOUR, parent_id="c7"), told("c80", "read", HOUR)])
    branches = usage(session, days=7, now=NOW).hierarchy.branches
    [rest] = [branch for branch in branches if branch.is_rest]
    assert (rest.contexts, rest.parent_id) == (30, None)
    assert branches[0].id == "c7"
    assert sum(branch.contexts for branch in branches if branch.parent_id is None) == 91


def test_the_lifecycle_names_what_lies_idle(found: ContextUsage):
    life = found.lifecycle
    assert [(band.by_age, band.by_idle) for band in life.bands] == [(2, 2), (2, 2), (0, 0), (1, 1), (0, 0)]
    assert (life.idle, life.never_read) == (1, 3)
    assert [row.id for row in life.to_archive] == ["w"]
    assert life.median_life_s == timedelta(days=10).total_seconds()
    assert life.archived_share == pytest.approx(3 / 8)


def test_hours_of_the_week_are_those_of_the_asked_zone(stored: Engine, found: ContextUsage):
    utc = found.patterns
    with Session(stored) as session:
        tokyo = usage(session, days=7, now=NOW, zone="Asia/Tokyo").patterns
    at = {(hour.weekday, hour.hour): (hour.created, hour.accesses) for hour in utc.by_hour}
    assert at[2, 12] == (1, 1)
    assert at[2, 13] == (1, 2)  # one that was read before anybody told of it counts as created then
    there = {(hour.weekday, hour.hour): (hour.created, hour.accesses) for hour in tokyo.by_hour}
    assert there[2, 21] == (1, 1)
    assert len(utc.by_hour) == 168


def test_an_installation_without_contexts_has_no_shares(session: Session):
    found = usage(session, days=1, now=NOW)
    assert (found.totals.contexts, found.totals.utilisation, found.newest) == (0, None, None)
    assert (found.hierarchy.levels, found.lifecycle.archived_share, found.lifecycle.median_life_s) == ([], None, None)


def test_what_happened_to_one_context_is_told_newest_first(stored: Engine, found: ContextUsage):
    with Session(stored) as session:
        facts = context_events(session, "c1", found.interval)
    assert [(fact.what, fact.agent_id) for fact in facts] == [("read", "ada"), ("read", "bob"), ("created", "bob")]


@pytest.mark.parametrize("given", [{"days": 0}, {"days": 401}, {"days": 7, "zone": "Mars/Base"}])
def test_what_cannot_be_asked_is_refused(stored: Engine, given: dict):
    with Session(stored) as session, pytest.raises(InputError, match="nothing was read"):
        usage(session, now=NOW, **given)
