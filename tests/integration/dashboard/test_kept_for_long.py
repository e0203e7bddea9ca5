"""Agents, and what lies in the past, are read once for a long time; each context here stands for a process."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta

import pytest
from sqlalchemy import insert
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, utc_now
from analytics.core.ids import new_id
from analytics.core.settings import Settings
from analytics.demo import remove
from analytics.journeys.importing import Mapped
from analytics.live import cache
from analytics.live.cache import read_anew
from analytics.store.engine import session_scope
from analytics.store.tables import Agent, Handoff
from dashboard import data, journey_actions, journey_questions
from dashboard.auth.roles import Role
from dashboard.auth.viewer import Viewer, set_test_viewer
from dashboard.context import AppContext, build_context, set_context
from dashboard.kept import graph_of, ranking_of

pytestmark = pytest.mark.integration
HOUR = timedelta(hours=1)


@pytest.fixture
def processes(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[AppContext, AppContext]]:
    """Two that notice what the other changed at once, not within a second."""
    monkeypatch.setattr(cache, "TRUST", timedelta(0))
    with ExitStack() as stack:
        here, other = build_context(settings), build_context(settings)
        stack.callback(here.close)
        stack.callback(other.close)
        stack.callback(set_context, None)
        set_context(here)
        data.forget_all()
        yield here, other


def know(context: AppContext, *names: str) -> None:
    with session_scope(context.engine) as session:
        for name in names:
            session.execute(insert(Agent).values(id=name, name=name.title(), team="intake", icon="map"))


def hand_over(session: Session, at: datetime) -> None:
    session.execute(insert(Handoff).values(id=new_id(), at=at, source_agent_id="ann", target_agent_id="bob"))


def given(context: AppContext, interval: Interval) -> int:
    return sum(edge.count for edge in graph_of(context, interval).edges)


def of(context: AppContext, name: str) -> tuple[int, int]:
    """Return how often the cache *name* was hit, and how often Redis was what answered."""
    found = next(item for item in context.caches.stats() if item.name == name)
    return found.hits, found.shared_hits


def test_who_an_agent_is_is_read_once_for_all_processes_and_anew_when_asked(
    processes: tuple[AppContext, AppContext],
) -> None:
    here, other = processes
    know(here, "ann")
    lately = Interval.last(HOUR)
    assert [(node.id, node.name, node.icon) for node in graph_of(here, lately).nodes] == [("ann", "Ann", "map")]
    know(here, "bob")
    assert [agent.id for agent in ranking_of(other, lately).agents] == ["ann"]
    assert (of(here, "agents"), of(other, "agents")) == ((0, 0), (1, 1))
    with read_anew():
        assert [agent.id for agent in ranking_of(other, lately).agents] == ["ann", "bob"]
    other.caches.invalidate("agents")
    assert [node.id for node in graph_of(here, lately).nodes] == ["ann", "bob"]


def test_hand_overs_of_a_time_that_has_ended_are_kept_and_those_of_the_present_are_read(
    processes: tuple[AppContext, AppContext],
) -> None:
    here, other = processes
    now = utc_now()
    past, present = Interval(now - 3 * HOUR, now - 2 * HOUR), Interval(now - HOUR, now + HOUR)
    for expected in ((1, 1), (1, 2)):
        with session_scope(here.engine) as session:
            hand_over(session, past.since)
            hand_over(session, present.since)
        assert (given(here, past), given(here, present)) == expected
    assert graph_of(other, past) == graph_of(here, past)
    assert of(other, "agents") == (1, 1)
    here.caches.invalidate("agents")
    assert (given(here, past), given(other, past)) == (2, 2)


def test_pages_show_agents_anew_once_they_have_changed(processes: tuple[AppContext, AppContext]) -> None:
    here, other = processes
    span = data.Span("24h")
    assert data.graph_of_agents(span).value.nodes == []
    know(here, "ann")
    other.caches.invalidate("agents")
    assert [node.id for node in data.graph_of_agents(span).value.nodes] == ["ann"]


def test_the_feed_of_one_person_in_the_past_is_kept_until_a_file_tells_more_of_it(
    processes: tuple[AppContext, AppContext],
) -> None:
    here, _ = processes
    began = utc_now().replace(microsecond=0) - 5 * HOUR
    span = data.Span("custom", began, began + 2 * HOUR)

    def bring(at: datetime, *subjects: str) -> None:
        rows = "".join(f"{at.isoformat()},web.visit,{subject}\n" for subject in subjects)
        mapped = Mapped({"at": "at", "kind": "kind", "subject": "subject"}, {"source": "file"})
        journey_actions.import_file("events.csv", f"at,kind,subject\n{rows}".encode(), mapped)

    def told(subject: str | None) -> int:
        journey_questions.event_feed.read_again()
        return len(journey_questions.event_feed(span, None, None, subject).value)

    with set_test_viewer(Viewer(email="operator@example.org", name="Operator", role=Role.OPERATOR)):
        bring(began, "ann", "bob")
        assert [told("ann"), told("ann"), told(None)] == [1, 1, 2]
        assert of(here, "sessions") == (1, 0), "of everybody nothing is kept"
        bring(began + HOUR, "ann")
        assert told("ann") == 2
    assert of(here, "sessions") == (1, 0)


def test_taking_the_demo_out_voids_what_is_kept_of_its_rows(processes: tuple[AppContext, AppContext]) -> None:
    here, other = processes
    tags = ("agents", "contexts", "leads", "sessions", "tasks", uuid.uuid4().hex)
    before = other.caches.versions(tags)
    remove(here.engine, here.redis)
    after = other.caches.versions(tags)
    assert [is_now != was for is_now, was in zip(after, before, strict=True)] == [True] * 5 + [False]
