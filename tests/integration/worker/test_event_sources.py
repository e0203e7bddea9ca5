"""Events of the live stream and of objectives start runs, once."""

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import Engine, text

from analytics.core.settings import Settings
from analytics.live import streams
from analytics.live.client import connect
from analytics.slo import SloState, slo_report
from analytics.store.engine import session_scope
from worker.workflow import event_sources, triggers
from worker.workflow.definition import parse_definition, register_workflow
from worker.workflow.triggers import TriggerSpec

pytestmark = pytest.mark.integration

NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)


@pytest.fixture
def client(settings: Settings) -> Iterator[Redis]:
    client = connect(settings)
    yield client
    client.close()


@pytest.fixture(autouse=True)
def waiting(engine: Engine) -> None:
    """A workflow, and triggers that wait for events and alerts."""
    nodes = [{"id": "a", "kind": "transform", "config": {"input": [], "steps": []}}]
    with session_scope(engine) as session:
        register_workflow(session, parse_definition({"name": "w", "nodes": nodes}), created_by=None)
        for name, kind, event_kind in (
            ("tasks", "event", "task.*"),
            ("ends", "event", "run.*"),
            ("any", "alert", None),
        ):
            params = {"data": "{{ event.data }}"}
            spec = TriggerSpec(name=name, workflow="w", kind=kind, event_kind=event_kind, params=params)
            triggers.save_trigger(session, spec, requested_by=None, installation="x")


def inputs(engine: Engine) -> list[Any]:
    with session_scope(engine) as session:
        return list(session.scalars(text("SELECT input -> 'data' FROM run ORDER BY created_at, id")).all())


def test_what_is_published_starts_runs_once(engine: Engine, client: Redis, settings: Settings):
    streams.publish(client, "events", {"kind": "task.completed", "id": "t1", "data": {"n": 1}})
    streams.publish(client, "events", {"kind": "other.thing", "data": {"n": 2}})

    assert event_sources.read_stream(engine, client, settings) == 2
    event_sources.read_stream(engine, client, settings)
    streams.publish(client, "events", {"kind": "task.failed", "data": {"n": 3}})
    streams.publish(client, "events", {"kind": "task.completed", "id": "t1", "data": {"n": 1}})
    event_sources.read_stream(engine, client, settings)

    assert inputs(engine) == [{"n": 1}, {"n": 3}]
    assert client.llen("rq:queue:runs") == 2


def test_what_was_read_but_not_committed_is_read_again(
    engine: Engine, client: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    streams.publish(client, "events", {"kind": "task.completed", "data": {"n": 1}})

    def killed(*arguments: Any, **named: Any) -> None:
        triggers.raise_events(*arguments, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(event_sources, "raise_events", killed)
        with pytest.raises(KeyboardInterrupt):
            event_sources.read_stream(engine, client, settings)
    assert inputs(engine) == []
    event_sources.read_stream(engine, client, settings)

    assert inputs(engine) == [{"n": 1}]


def test_nobody_can_feign_the_end_of_a_run_or_break_the_reading(engine: Engine, client: Redis, settings: Settings):
    for event in (
        {"kind": "run.failed", "id": "x"},
        {"kind": "task.x", "source": "engine"},
        {"kind": 5},
        {"no": "kind"},
        {"kind": "task.done", "data": [1]},
    ):
        streams.publish(client, "events", event)

    assert event_sources.read_stream(engine, client, settings) == 5
    assert inputs(engine) == [{"value": [1]}]


def test_an_objective_in_danger_is_told_of_once_and_again_when_it_is_over(
    engine: Engine, client: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    with session_scope(engine) as session:
        report = slo_report(session, now=NOON)

    def stands(state: SloState, *, minutes: int, demo: bool = False) -> int:
        first = dataclasses.replace(report.statuses[0], state=state, includes_demo=demo)
        now_so = dataclasses.replace(report, statuses=[first, *report.statuses[1:]])
        monkeypatch.setattr(event_sources, "slo_report", lambda *_, **__: now_so)
        return event_sources.raise_alerts(engine, client, settings, now=NOON + timedelta(minutes=minutes))

    told = [
        stands(SloState.HEALTHY, minutes=0),
        stands(SloState.DEGRADED, minutes=1, demo=True),
        stands(SloState.DEGRADED, minutes=2),
        stands(SloState.EXHAUSTED, minutes=3),
        stands(SloState.NO_DATA, minutes=4),
        stands(SloState.AT_RISK, minutes=5),
        stands(SloState.HEALTHY, minutes=6),
        stands(SloState.DEGRADED, minutes=7),
    ]

    assert told == [0, 0, 1, 0, 0, 1, 0, 1]
    assert [found["state"] for found in inputs(engine)] == ["degraded", "at_risk", "degraded"]
    assert inputs(engine)[0]["since"] == (NOON + timedelta(minutes=2)).isoformat()
