"""Triggers on a real PostgreSQL: webhooks, events, the ends of runs, and the same thing told twice."""

import json
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import Engine, text

from analytics.core.errors import ConflictError, InputError, NotFoundError
from analytics.core.settings import Settings
from analytics.live.client import connect
from analytics.store.engine import session_scope
from worker.doors.waking import Waker
from worker.enqueue import Door
from worker.workflow import triggers
from worker.workflow.definition import parse_definition, register_workflow
from worker.workflow.signatures import SignatureError, sign
from worker.workflow.triggers import Delivery, Event, SavedTrigger, TriggerSpec

pytestmark = pytest.mark.integration

INSTALLATION = "the installation's own secret"
NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


def store(engine: Engine, name: str) -> None:
    nodes = [{"id": "a", "kind": "transform", "config": {"input": [], "steps": []}}]
    params = {"type": "object", "properties": {"ref": {"type": "string"}}}
    with session_scope(engine) as session:
        definition = parse_definition({"name": name, "nodes": nodes, "params": params})
        register_workflow(session, definition, created_by=None)


@pytest.fixture(autouse=True)
def workflow(engine: Engine) -> None:
    store(engine, "w")


@pytest.fixture
def client(settings: Settings) -> Iterator[Redis]:
    client = connect(settings)
    yield client
    client.close()


def save(engine: Engine, **more: Any) -> SavedTrigger:
    spec = TriggerSpec(**({"name": "hook", "workflow": "w"} | more))
    with session_scope(engine) as session:
        return triggers.save_trigger(session, spec, requested_by="ada", installation=INSTALLATION)


def deliver(
    engine: Engine, secret: str | None, body: Any = None, *, name: str = "hook", at: datetime = NOW, **headers: str
) -> Delivery:
    content = json.dumps({} if body is None else body).encode()
    signed = {"helmsight-signature": sign(secret or "", content, int(at.timestamp()))}
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    with session_scope(engine) as session:
        return triggers.receive_hook(
            session, name, body=content, headers=signed | named, installation=INSTALLATION, now=NOW
        )


def tell(engine: Engine, kind: str, event_id: str = "e1", **data: Any) -> list[uuid.UUID]:
    with session_scope(engine) as session:
        return triggers.raise_event(session, Event(event_id, kind, "test", "", data, NOW))


def scalar(engine: Engine, statement: str, **values: Any) -> Any:
    with session_scope(engine) as session:
        return session.scalar(text(statement), values)


def end(engine: Engine, client: Redis, settings: Settings, run_id: uuid.UUID, status: str = "failed") -> int:
    """As if a worker had ended it and the scheduler counted it."""
    with session_scope(engine) as session:
        session.execute(text("DELETE FROM run_active WHERE run_id = :id"), {"id": run_id})
        session.execute(
            text(
                'WITH r AS (UPDATE run SET status = :status, finished_at = now(), output = \'{"ref": "out"}\''
                " WHERE id = :id RETURNING id, created_at)"
                " INSERT INTO run_ended (run_id, run_created_at) SELECT id, created_at FROM r"
            ),
            {"id": run_id, "status": status},
        )
    return triggers.raise_run_ends(engine, Waker(engine, client), settings)


def test_a_signed_webhook_starts_a_run_with_what_it_brings(engine: Engine):
    saved = save(engine, params={"ref": "{{ event.data.ref }}"}, tags=["hook"], priority=1)

    found = deliver(engine, saved.secret, {"ref": "main"})

    with session_scope(engine) as session:
        run = session.execute(text("SELECT id, trigger, input, tags, requested_by FROM run")).one()
    assert tuple(run) == (found.run_id, "webhook", {"ref": "main"}, ["hook"], "trigger:hook")
    assert found.is_new
    assert scalar(engine, "SELECT last_run_id FROM run_trigger") == found.run_id


def test_the_same_delivery_starts_one_run(engine: Engine):
    saved = save(engine)
    first = deliver(engine, saved.secret, helmsight_delivery="d1")

    replayed = deliver(engine, saved.secret, helmsight_delivery="another id, the same signature")
    sent_again = deliver(engine, saved.secret, at=NOW + timedelta(seconds=9), helmsight_delivery="d1")
    other = deliver(engine, saved.secret, at=NOW + timedelta(seconds=9), helmsight_delivery="d2")

    assert replayed == sent_again == Delivery(first.run_id, is_new=False)
    assert other.is_new


def test_a_webhook_lets_pass_by_what_its_filter_does_not_hold(engine: Engine):
    saved = save(engine, filter={"data.ref": "main", "subject": "push"})

    assert deliver(engine, saved.secret, {"ref": "other"}, x_github_event="push") == Delivery(None, is_new=False)
    assert deliver(engine, saved.secret, {"ref": "main"}, x_github_event="push").is_new


def test_two_identical_webhooks_at_once_start_one_run(engine: Engine):
    saved = save(engine)
    gate = threading.Barrier(4)

    def send() -> Delivery:
        gate.wait(timeout=10)
        return deliver(engine, saved.secret, helmsight_delivery="d1")

    with ThreadPoolExecutor(4) as pool:
        found = [future.result() for future in [pool.submit(send) for _ in range(4)]]

    assert len({item.run_id for item in found}) == 1
    assert sorted(item.is_new for item in found) == [False, False, False, True]
    assert scalar(engine, "SELECT count(*) FROM run") == 1


def test_a_webhook_that_is_not_there_is_refused_like_one_with_a_wrong_signature(engine: Engine):
    save(engine)

    for name in ("hook", "nothing"):
        with pytest.raises(SignatureError, match="is not that of this body"):
            deliver(engine, "wrong", name=name)


def test_a_new_secret_makes_the_old_one_useless(engine: Engine):
    saved = save(engine)
    with session_scope(engine) as session:
        fresh = triggers.rotate_secret(session, saved.id, requested_by="ada", installation=INSTALLATION)

    with pytest.raises(SignatureError):
        deliver(engine, saved.secret)
    assert deliver(engine, fresh).is_new


def test_what_cannot_start_a_run_says_why(engine: Engine):
    saved = save(engine, params={"ref": "{{ event.data.ref }}"})

    with pytest.raises(InputError, match="'ref'"):
        deliver(engine, saved.secret, {})
    with pytest.raises(InputError, match="do not fit"):
        deliver(engine, saved.secret, {"ref": 5})
    with session_scope(engine) as session, pytest.raises(InputError, match="256 KiB"):
        triggers.receive_hook(
            session, "hook", body=b"x" * (256 * 1024 + 1), headers={}, installation=INSTALLATION, now=NOW
        )
    with session_scope(engine) as session:
        triggers.pause_trigger(session, saved.id, requested_by="ada")
    with pytest.raises(ConflictError, match="paused"):
        deliver(engine, saved.secret, {"ref": "main"})
    assert scalar(engine, "SELECT count(*) FROM run") == 0


def test_an_event_starts_one_run_of_each_trigger_that_waits_for_it(engine: Engine):
    save(engine, name="one", kind="event", event_kind="order.paid", filter={"data.country": ["de", "at"]})
    save(engine, name="all", kind="event", event_kind="order.*")
    save(engine, name="other", kind="event", event_kind="order")

    assert len(tell(engine, "order.paid", country="de")) == 2
    assert tell(engine, "order.paid", country="de") == []
    assert len(tell(engine, "order.paid", "e2", country="fr")) == 1
    assert tell(engine, "orders.paid", "e3") == []


def test_an_event_told_of_twice_at_once_starts_one_run(engine: Engine):
    save(engine, kind="event", event_kind="order.paid")
    gate = threading.Barrier(2)

    def raised() -> int:
        gate.wait(timeout=10)
        return len(tell(engine, "order.paid"))

    with ThreadPoolExecutor(2) as pool:
        counts = [future.result() for future in [pool.submit(raised), pool.submit(raised)]]

    assert sorted(counts) == [0, 1]


def test_an_alert_starts_the_triggers_for_alerts(engine: Engine):
    save(engine, name="any", kind="alert")
    save(engine, name="resolved", kind="alert", event_kind="alert.resolved")

    assert len(tell(engine, "alert.firing", slo="api")) == 1
    assert scalar(engine, "SELECT trigger FROM run") == "alert"


def test_one_trigger_that_cannot_start_does_not_keep_others_from_it(engine: Engine):
    save(engine, name="bad", kind="event", event_kind="x.y", params={"ref": "{{ event.data.nothing }}"})
    save(engine, name="good", kind="event", event_kind="x.y")

    assert len(tell(engine, "x.y")) == 1
    assert "nothing" in scalar(engine, "SELECT error FROM run_trigger WHERE name = 'bad'")


def test_the_end_of_a_run_starts_another_with_its_output(engine: Engine, client: Redis, settings: Settings):
    store(engine, "repair")
    params = {"ref": "{{ event.data.output.ref }}"}
    save(engine, workflow="repair", kind="event", event_kind="run.failed", filter={"subject": "w"}, params=params)
    door = Door(engine, client, settings)
    failed = door.queue_run(workflow="w", params={}, requested_by=None).run_id
    completed = door.queue_run(workflow="w", params={}, requested_by=None).run_id
    client.flushall()

    assert end(engine, client, settings, failed) == 1
    assert end(engine, client, settings, completed, "completed") == 1

    with session_scope(engine) as session:
        found = session.execute(text("SELECT input, trigger FROM run WHERE trigger = 'run'")).one()
    assert tuple(found) == ({"ref": "out"}, "run")
    assert client.llen("rq:queue:runs") == 1


def test_runs_that_start_each_other_come_to_an_end(engine: Engine, client: Redis, settings: Settings):
    save(engine, kind="event", event_kind="run.*")
    door = Door(engine, client, settings)
    run_id = door.queue_run(workflow="w", params={}, requested_by=None).run_id

    for _ in range(15):
        end(engine, client, settings, run_id)
        run_id = scalar(engine, "SELECT run_id FROM run_active") or run_id

    assert scalar(engine, "SELECT count(*) FROM run") == 1 + triggers.MAX_CHAIN
    assert "started each other" in scalar(engine, "SELECT error FROM run_trigger")


def test_a_trigger_is_changed_and_deleted(engine: Engine):
    saved = save(engine)
    spec = TriggerSpec(name="renamed", workflow="w", params={"ref": "x"})
    with session_scope(engine) as session:
        changed = triggers.save_trigger(
            session, spec, requested_by="ada", installation=INSTALLATION, trigger_id=saved.id
        )
    assert changed == SavedTrigger(saved.id, None)
    assert deliver(engine, saved.secret, name="renamed").is_new

    with session_scope(engine) as session:
        triggers.delete_trigger(session, saved.id, requested_by="ada")
    with session_scope(engine) as session, pytest.raises(NotFoundError):
        triggers.delete_trigger(session, saved.id, requested_by="ada")
    with session_scope(engine) as session:
        actions = session.scalars(text("SELECT action FROM audit_log WHERE object_type = 'trigger' ORDER BY at")).all()
    assert actions == ["trigger.created", "trigger.changed", "trigger.deleted"]


def test_what_could_not_work_is_not_stored(engine: Engine):
    save(engine, name="taken")
    wrong = [
        ({"name": "two words"}, "name"),
        ({"name": "taken"}, "already"),
        ({"workflow": "x"}, "no workflow"),
        ({"kind": "event"}, "event_kind"),
        ({"kind": "event", "event_kind": "*"}, "event_kind"),
        ({"event_kind": "x.y"}, "webhook has no"),
        ({"kind": "alert", "event_kind": "run.failed"}, "begins with"),
        ({"params": {"ref": "{{ nodes.a.output }}"}}, "only `event`"),
    ]
    for spec, reason in wrong:
        with pytest.raises(InputError, match=reason):
            save(engine, **spec)
