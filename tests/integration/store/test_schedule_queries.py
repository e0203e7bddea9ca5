"""Schedules and triggers as pages and the interface read them."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from analytics.store.engine import session_scope
from analytics.store.queries import schedules

pytestmark = pytest.mark.integration

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


@pytest.fixture
def ids(engine: Engine) -> dict[str, uuid.UUID]:
    """Two workflows, ``etl`` and ``report``; four schedules; two triggers; three times of one schedule."""
    ids = {name: uuid.uuid4() for name in ("etl", "report", "paused", "later", "soon", "ended", "run", "hook")}
    with session_scope(engine) as session:
        for name in ("etl", "report"):
            insert = "INSERT INTO workflow (id, name, current_version) VALUES (:id, :name, 1)"
            session.execute(text(insert), {"id": ids[name], "name": name})
        insert = (
            "INSERT INTO schedule (id, workflow_id, name, cron, paused_at, next_at, last_run_id)"
            " VALUES (:id, :workflow, :name, '@daily', :paused, :next, :run)"
        )
        for name, workflow, next_at in (
            ("paused", "etl", NOON),
            ("later", "etl", NOON + timedelta(days=1)),
            ("soon", "report", NOON),
            ("ended", "etl", None),
        ):
            values = {"id": ids[name], "workflow": ids[workflow], "name": name, "next": next_at, "run": ids["run"]}
            session.execute(text(insert), values | {"paused": NOON if name == "paused" else None})
        insert = "INSERT INTO run (id, workflow_id, version, status, input) VALUES (:id, :w, 1, 'failed', '{}')"
        session.execute(text(insert), {"id": ids["run"], "w": ids["etl"]})
        insert = "INSERT INTO schedule_run (schedule_id, scheduled_for, run_id, skipped) VALUES (:id, :at, :run, :why)"
        for hour, run, why in ((0, ids["run"], None), (1, None, "missed"), (2, uuid.uuid4(), None)):
            at = NOON + timedelta(hours=hour)
            session.execute(text(insert), {"id": ids["soon"], "at": at, "run": run, "why": why})
        insert = "INSERT INTO run_trigger (id, workflow_id, name, kind) VALUES (:id, :w, :name, 'webhook')"
        session.execute(text(insert), {"id": ids["hook"], "w": ids["etl"], "name": "hook"})
        session.execute(text(insert), {"id": uuid.uuid4(), "w": ids["report"], "name": "other"})
    return ids


def test_schedules_are_listed_by_what_comes_next(engine: Engine, ids: dict[str, uuid.UUID]):
    with session_scope(engine) as session:
        everything = schedules.list_schedules(session)
        of_etl = schedules.list_schedules(session, workflow_id=ids["etl"], page=1, limit=2)
        found = schedules.list_schedules(session, search="REPO")

    assert [row.name for row in everything.items] == ["soon", "later", "ended", "paused"]
    assert ([row.name for row in of_etl.items], of_etl.total) == (["later", "ended"], 3)
    assert [row.name for row in found.items] == ["soon"]


def test_a_schedule_tells_what_became_of_its_last_run(engine: Engine, ids: dict[str, uuid.UUID]):
    with session_scope(engine) as session:
        row = schedules.get_schedule(session, ids["soon"])
        missing = schedules.get_schedule(session, uuid.uuid4())

    assert row is not None
    assert (row.workflow_name, row.last_status) == ("report", "failed")
    assert missing is None


def test_times_of_a_schedule_come_latest_first_with_what_became_of_them(engine: Engine, ids: dict[str, uuid.UUID]):
    with session_scope(engine) as session:
        times = schedules.schedule_times(session, ids["soon"])
        older = schedules.schedule_times(session, ids["soon"], before=times[1].scheduled_for)

    assert [(time.status, time.skipped) for time in times] == [(None, None), (None, "missed"), ("failed", None)]
    assert [time.scheduled_for for time in older] == [NOON]


def test_triggers_are_listed_by_name(engine: Engine, ids: dict[str, uuid.UUID]):
    with session_scope(engine) as session:
        everything = schedules.list_triggers(session)
        of_etl = schedules.list_triggers(session, workflow_id=ids["etl"])
        row = schedules.get_trigger(session, ids["hook"])

    assert [item.name for item in everything.items] == ["hook", "other"]
    assert [item.id for item in of_etl.items] == [ids["hook"]]
    assert row == of_etl.items[0]
