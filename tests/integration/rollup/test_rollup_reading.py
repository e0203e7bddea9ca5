"""Lines, rankings, steps and rows are read from wherever they are, and the answer says what it covers."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from analytics.core.clock import Interval
from analytics.core.errors import InputError
from analytics.rollup.cuts import joined
from analytics.rollup.read import DAY, HOUR, Want, drill, keys, read_many, series, total, totals
from analytics.rollup.tiers import MINUTE
from analytics.rollup.upkeep import keep_up
from analytics.store.engine import session_scope
from tests.integration.rollup.conftest import NOW, add_runs, cleared

pytestmark = pytest.mark.integration


def last(length: timedelta) -> Interval:
    return Interval.last(length, now=NOW)


def numbers(steps) -> list[int]:
    return [0 if cell is None else cell.n for _, cell in steps]


@pytest.fixture(scope="module")
def busy(rollup_database):
    """Two agents: one with a run every hour of twelve days, one with two failed runs, yesterday and 40 days ago."""
    with cleared(rollup_database) as store:
        add_runs(store, *(place * HOUR + MINUTE for place in range(300)), cost_usd=0.5)
        add_runs(store, DAY, 40 * DAY, agent_id="writer", status="failed", task_kind="write", cost_usd=900)
        keep_up(store, now=NOW)
        yield store


def test_short_spans_are_exact_at_both_ends(busy):
    with session_scope(busy) as session:
        exactly = Interval(NOW - 2 * HOUR - MINUTE, NOW - MINUTE)
        assert total(session, Want("agent_run"), exactly, now=NOW).n == 2
        assert total(session, Want("agent_run"), Interval(exactly.since, exactly.since), now=NOW) is None
        steps = series(session, Want("agent_run"), exactly, step=30 * MINUTE, now=NOW)
        assert [at for at, _ in steps] == [exactly.since + place * 30 * MINUTE for place in range(4)]
        assert numbers(steps) == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("length", "step", "total_n", "steps"),
    [
        pytest.param(3 * HOUR, HOUR, 3, [1, 1, 1], id="rows"),
        pytest.param(24 * HOUR, 12 * HOUR, 26, [13, 12, 1], id="hours"),
        pytest.param(5 * DAY, DAY, 132, [24, 24, 24, 24, 25, 11], id="days-and-hours-of-open-ones"),
        pytest.param(3 * DAY, 24 * HOUR, 84, [24, 24, 25, 11], id="a-day-in-hours-is-a-day"),
        pytest.param(4 * DAY, 48 * HOUR, 108, [48, 49, 11], id="steps-of-two-days"),
        pytest.param(3 * DAY, 36 * HOUR, 74, [36, 37, 1], id="hours-over-many-days"),
    ],
)
def test_steps_add_up_to_the_total_and_are_compared_with_the_time_before(busy, length, step, total_n, steps):
    lines = [Want("agent_run"), Want("agent_run.agent", "planner"), Want("agent_run.agent", "nobody")]
    with session_scope(busy) as session:
        found = read_many(session, lines, last(length), step=step, now=NOW)
        alone = read_many(session, lines[:1], last(length), step=step, now=NOW)
    whole, planner, nobody = (found[line] for line in lines)
    assert (alone[lines[0]].total.n, numbers(alone[lines[0]].steps)) == (total_n, steps)
    assert (whole.total.n, numbers(whole.steps)) == (total_n, steps)
    assert planner.before.n == length // HOUR
    assert (nobody.total, nobody.before, set(numbers(nobody.steps))) == (None, None, {0})


@pytest.mark.parametrize("length", [pytest.param(3 * HOUR, id="rows"), pytest.param(24 * HOUR, id="hours")])
def test_lines_of_many_cuts_that_are_read_at_once_are_those_read_alone(busy, length):
    lines = [
        Want("agent_run"),
        Want("agent_run.project"),
        Want("agent_run.agent", "planner"),
        Want("agent_run.task_kind", "plan"),
        Want("agent_run.agent_task", joined("planner", "plan")),
    ]
    with session_scope(busy) as session:
        together = read_many(session, lines, last(length), now=NOW)
        alone = {line: total(session, line, last(length), now=NOW) for line in lines}
    assert {line: course.total.n for line, course in together.items()} == {line: cell.n for line, cell in alone.items()}
    for line, course in together.items():
        ours, theirs = course.total, alone[line]
        assert (ours.ok, ours.cost_usd, ours.duration_s) == (theirs.ok, theirs.cost_usd, theirs.duration_s)
        assert ours.quantile(0.5) == theirs.quantile(0.5)


def test_what_is_not_asked_for_is_not_read(busy):
    with session_scope(busy) as session:
        course = read_many(session, [Want("agent_run")], last(DAY), with_before=False, now=NOW)[Want("agent_run")]
    assert (course.total.n, course.before, course.steps) == (26, None, [])


def test_keys_are_ranked_by_what_is_asked(busy):
    with session_scope(busy) as session:
        assert list(totals(session, "agent_run.agent", last(50 * DAY), now=NOW)) == ["planner", "writer"]
        dear = totals(session, "agent_run.agent", last(50 * DAY), order="cost_usd", most=1, now=NOW)
        assert {key: cell.cost_usd for key, cell in dear.items()} == {"writer": 1800}
        assert list(totals(session, "agent_run.agent", last(DAY), keys=["writer"], now=NOW)) == ["writer"]
        assert list(totals(session, "agent_run.agent", last(HOUR), keys=["writer"], now=NOW)) == []
        pairs = [joined("planner", "plan"), joined("writer", "write")]
        assert keys(session, "agent_run.agent_task", last(50 * DAY), now=NOW) == pairs


def test_old_hours_of_a_key_are_read_from_its_rows(busy):
    asked = Interval(NOW - 40 * DAY - 2 * HOUR, NOW - 40 * DAY + 20 * HOUR)
    with session_scope(busy) as session:
        kept = session.scalar(
            text("SELECT count(*) FROM rollup_hour WHERE key = 'writer' AND bucket_start < '2026-03-01'")
        )
        steps = series(session, Want("agent_run.agent", "writer"), asked, step=HOUR, now=NOW)
        ranked = totals(session, "agent_run.agent", asked, now=NOW)
        whole = series(session, Want("agent_run"), asked, step=HOUR, now=NOW)
    assert kept == 0
    assert numbers(steps) == numbers(whole) == [0, 0, 1] + 20 * [0]
    assert list(ranked) == ["writer"]


def test_rows_behind_a_cell_come_newest_first_page_by_page(busy):
    with session_scope(busy) as session:
        pages, after = [], None
        while page := drill(session, "agent_run.agent", "planner", last(DAY), limit=10, after=after):
            pages.append(page)
            after = (page[-1]["at"], page[-1]["id"])
        failed = drill(session, "agent_run.agent_task", joined("writer", "write"), last(50 * DAY))
        everything = drill(session, "agent_run", "", last(50 * DAY), limit=1000)
    found = [row["at"] for page in pages for row in page]
    assert [len(page) for page in pages] == [10, 10, 4]
    assert found == sorted(found, reverse=True)
    assert [(row["status"], row["at"]) for row in failed] == [("failed", NOW - DAY), ("failed", NOW - 40 * DAY)]
    assert len(everything) == 302


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        pytest.param(lambda s: total(s, Want("agent_run.hat"), last(DAY)), "no cut", id="no-such-cut"),
        pytest.param(lambda s: totals(s, "agent_run.agent", last(DAY), order="sketch"), "not ranked", id="no-order"),
        pytest.param(
            lambda s: series(s, Want("agent_run"), last(HOUR), step=timedelta(seconds=1)), "not read in", id="seconds"
        ),
        pytest.param(
            lambda s: series(s, Want("agent_run"), last(DAY), step=5 * MINUTE), "whole hours", id="minutes-of-a-day"
        ),
        pytest.param(
            lambda s: series(s, Want("agent_run"), last(500 * DAY), step=HOUR), "10,000 steps", id="too-many-steps"
        ),
        pytest.param(lambda s: drill(s, "agent_run", "", last(DAY), limit=0), "1,000 rows", id="no-rows"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(busy, ask, reason):
    with session_scope(busy) as session, pytest.raises(InputError, match=reason):
        ask(session)
