"""Events of the live stream and of objectives start runs, once."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import Engine, text

from analytics.core.settings import Settings
from analytics.live import streams
from analytics.live.client import connect
from analytics.slo import ledger
from analytics.slo.ledger import Bucket
from analytics.slo.model import BUCKET
from analytics.store.engine import session_scope
from analytics.store.tables import DEMO
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


def test_an_alert_of_an_objective_is_told_of_once_and_again_when_it_is_over(
    engine: Engine, client: Redis, settings: Settings
):
    def measured(bad: int, *, until: datetime, buckets: int = 1) -> int:
        """Measure the time before *until*, and return how many alerts were told then."""
        starts = [until - place * BUCKET for place in range(buckets, 0, -1)]
        with session_scope(engine) as session:
            ledger.upsert(session, [Bucket("api_availability", start, 100 - bad, 100, 300) for start in starts])
            ledger.roll_up(session, ["api_availability"], since=starts[0], until=until)
        return event_sources.raise_alerts(engine, client, settings, now=until)

    told = [
        measured(0, until=NOON, buckets=24),
        measured(50, until=NOON + BUCKET),
        event_sources.raise_alerts(engine, client, settings, now=NOON + BUCKET),
        measured(50, until=NOON + 2 * BUCKET),
        measured(0, until=NOON + 3 * BUCKET),
        measured(0, until=NOON + 4 * BUCKET),
    ]

    firing = inputs(engine)[0]
    assert told[:3] == [0, 1, 0]
    assert (firing["slo"], firing["kind"], firing["severity"], firing["tier"]) == (
        "api_availability",
        "burn",
        "page",
        1,
    )
    assert (firing["since"], firing["until"]) == ((NOON + BUCKET).isoformat(), None)
    assert firing["message"].startswith("API availability: the budget burns")
    assert firing["labels"] == firing["annotations"] == {}
    assert sum(told) == len(inputs(engine))
    resolved = [item for item in inputs(engine) if item["tier"] == 1 and item["until"] is not None]
    assert [item["since"] for item in resolved] == [(NOON + BUCKET).isoformat()]


def test_alerts_of_demo_history_are_not_told(engine: Engine, client: Redis, settings: Settings):
    with session_scope(engine) as session:
        ledger.upsert(session, [Bucket("api_availability", NOON - BUCKET, 0, 100, 300)], origin=DEMO)
        ledger.roll_up(session, ["api_availability"], since=NOON - BUCKET, until=NOON)

    assert event_sources.raise_alerts(engine, client, settings, now=NOON) == 0
    assert inputs(engine) == []
