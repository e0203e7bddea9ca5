"""Days are closed, thinned and thrown away in their time, and no figure is lost with the rows."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from analytics.core.clock import Interval
from analytics.rollup.cuts import SOURCES
from analytics.rollup.read import DAY, HOUR, Want, series, total
from analytics.rollup.retention import Keep, drop_old_facts
from analytics.rollup.state import rollup_state
from analytics.rollup.tiers import DENSE, MINUTE
from analytics.rollup.upkeep import keep_up, rebuild
from analytics.store.engine import session_scope
from dashboard.cli import app
from tests.integration.rollup.conftest import NOW, add_runs

pytestmark = pytest.mark.integration

KEEP = Keep(facts=timedelta(days=20), samples=timedelta(days=20), hours=timedelta(days=100), days=timedelta(days=800))


def cells(engine, table: str, cut: str = "agent_run.agent") -> dict[str, int]:
    with session_scope(engine) as session:
        statement = text(f"SELECT key, sum(n) FROM {table} WHERE cut = :cut GROUP BY key")  # noqa: S608 - a constant
        return {key: int(n) for key, n in session.execute(statement, {"cut": cut})}


def seen(engine, agent: str, *, now: datetime) -> int:
    with session_scope(engine) as session:
        cell = total(session, Want("agent_run.agent", agent), Interval.last(60 * DAY, now=now), now=now)
    return 0 if cell is None else cell.n


def test_a_day_is_closed_26_hours_after_its_end(store):
    today = datetime(2026, 3, 18, tzinfo=UTC)
    keep_up(store, now=NOW - 10 * DAY)
    add_runs(store, 2 * DAY)
    keep_up(store, now=today + timedelta(hours=1))
    assert (cells(store, "rollup_hour"), cells(store, "rollup_day")) == ({"planner": 1}, {})
    report = keep_up(store, now=today + timedelta(hours=2))
    assert (cells(store, "rollup_hour"), cells(store, "rollup_day")) == ({"planner": 1}, {"planner": 1})
    assert (report.closed_days, seen(store, "planner", now=NOW)) == (len(SOURCES), 1)


def test_late_facts_of_a_closed_day_wait_so_that_it_is_not_summed_all_the_time(store):
    add_runs(store, 5 * DAY)
    assert keep_up(store, now=NOW).late_days == 1
    add_runs(store, 5 * DAY)
    assert keep_up(store, now=NOW + 9 * MINUTE).late_days == 0
    assert seen(store, "planner", now=NOW) == 1
    assert keep_up(store, now=NOW + 10 * MINUTE).late_days == 1
    assert seen(store, "planner", now=NOW) == 2


def test_hours_of_keys_with_little_in_them_go_after_fifteen_days(store):
    keep_up(store, now=NOW - 10 * DAY)
    add_runs(store, *(5 * DAY + place * MINUTE for place in range(DENSE)))
    add_runs(store, 5 * DAY, agent_id="writer")
    for now in (NOW, NOW + 10 * DAY):
        keep_up(store, now=now)
        assert cells(store, "rollup_hour") == {"planner": DENSE, "writer": 1}
    keep_up(store, now=NOW + 13 * DAY)
    assert cells(store, "rollup_hour") == {"planner": DENSE}
    assert cells(store, "rollup_hour", "agent_run") == {"": DENSE + 1}
    assert cells(store, "rollup_day") == {"planner": DENSE, "writer": 1}
    add_runs(store, 5 * DAY, agent_id="writer")
    keep_up(store, now=NOW + 13 * DAY, late_every=timedelta(0))
    assert (cells(store, "rollup_hour"), seen(store, "writer", now=NOW)) == ({"planner": DENSE}, 2)
    with session_scope(store) as session:
        day = Interval(NOW - 5 * DAY - HOUR, NOW - 5 * DAY + HOUR)
        hours = series(session, Want("agent_run.agent", "writer"), day, step=HOUR, now=NOW + 13 * DAY)
    assert [cell.n if cell else 0 for _, cell in hours] == [0, 2]


def test_figures_outlive_the_rows_they_were_made_of(store):
    add_runs(store, 30 * DAY, 60 * DAY)
    held = drop_old_facts(store, KEEP, now=NOW)
    assert [f"{month:%m}" for month in held.held_back if month.year == 2026] == ["01"]
    keep_up(store, now=NOW)
    assert "agent_run_y2026m01" in drop_old_facts(store, KEEP, now=NOW).dropped
    assert drop_old_facts(store, KEEP, now=NOW).dropped == []
    with store.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM agent_run")) == 1
    report = rebuild(store, since=NOW - 70 * DAY, until=NOW, sources=["agent_run"], now=NOW)
    assert report.dropped_marks > 0
    assert seen(store, "planner", now=NOW) == 2


def test_how_the_rollup_stands_is_told(store):
    add_runs(store, HOUR, 3 * HOUR)
    with session_scope(store) as session:
        before = rollup_state(session).sources[0]
    keep_up(store, now=NOW)
    with session_scope(store) as session:
        after = rollup_state(session).sources[0]
    assert (before.source, before.closed_until, before.waiting_hours) == ("agent_run", None, 2)
    assert before.oldest_waiting == datetime(2026, 3, 18, 7, tzinfo=UTC)
    assert (after.closed_until, after.waiting_hours, after.oldest_waiting) == (
        datetime(2026, 3, 17, tzinfo=UTC),
        0,
        None,
    )


def test_the_command_line_shows_the_rollup_and_sums_again(store, tmp_path, monkeypatch):
    monkeypatch.setenv("HELMSIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("HELMSIGHT_STORE__DSN", store.url.set(drivername="postgresql").render_as_string(False))

    def said(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["rollup", *arguments])
        assert result.exit_code == code, (result.output, result.exception)
        return result.stdout

    assert "agent_run      never summed        0" in said("status")
    assert said("rebuild", "--last", "2h", "--source", "lead") in {
        "2 hours summed, in 1 source\n",
        "3 hours summed, in 1 source\n",
    }
    assert json.loads(said("status", "--json"))["sources"][4]["closed_until"] is not None
    failed = CliRunner().invoke(app, ["rollup", "rebuild", "--source", "moon"])
    assert "no source 'moon'" in str(failed.exception)
