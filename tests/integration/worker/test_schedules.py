"""Schedules on a real PostgreSQL: due times, outages, two tickers, edits while they tick."""

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import Engine, text

from analytics.core.clock import Interval
from analytics.core.errors import ConflictError, InputError, NotFoundError
from analytics.core.settings import Settings
from analytics.live.client import connect
from analytics.store.engine import session_scope
from worker.workflow import schedules
from worker.workflow.definition import parse_definition, register_workflow
from worker.workflow.schedules import ScheduleSpec, TickReport

pytestmark = pytest.mark.integration

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def workflow(engine: Engine) -> None:
    nodes = [{"id": "a", "kind": "transform", "config": {"input": [], "steps": []}}]
    params = {"type": "object", "properties": {"day": {"type": "string"}, "n": {"type": "integer"}}}
    with session_scope(engine) as session:
        definition = parse_definition({"name": "w", "nodes": nodes, "params": params})
        register_workflow(session, definition, created_by=None)


@pytest.fixture
def client(settings: Settings) -> Iterator[Redis]:
    client = connect(settings)
    yield client
    client.close()


class Board:
    """The schedules of one test, at times that the test chooses."""

    def __init__(self, engine: Engine, client: Redis, settings: Settings) -> None:
        self.engine, self.client, self.settings = engine, client, settings

    def save(self, *, next_at: datetime | None = NOON, schedule_id: uuid.UUID | None = None, **more: Any) -> uuid.UUID:
        spec = ScheduleSpec(**({"name": "s", "workflow": "w", "cron": "*/5 * * * *"} | more))
        with session_scope(self.engine) as session:
            saved = schedules.save_schedule(session, spec, requested_by="ada", schedule_id=schedule_id)
            if next_at is not None:
                session.execute(text("UPDATE schedule SET next_at = :at WHERE id = :id"), {"at": next_at, "id": saved})
        return saved

    def tick(self, now: datetime) -> TickReport:
        return schedules.tick(self.engine, self.client, self.settings, now=now)

    def times(self, pattern: str = "%H:%M") -> list[str]:
        with session_scope(self.engine) as session:
            found = session.scalars(text("SELECT scheduled_for FROM run ORDER BY scheduled_for")).all()
        return [moment.strftime(pattern) for moment in found]

    def row(self) -> Any:
        with session_scope(self.engine) as session:
            return session.execute(text("SELECT * FROM schedule")).one()

    def history(self) -> dict[str, str | None]:
        with session_scope(self.engine) as session:
            rows = session.execute(text("SELECT scheduled_for, skipped FROM schedule_run ORDER BY 1")).all()
        return {row[0].strftime("%H:%M"): row[1] for row in rows}


@pytest.fixture
def board(engine: Engine, client: Redis, settings: Settings) -> Board:
    return Board(engine, client, settings)


def test_a_run_is_started_when_it_is_due_and_not_before(board: Board, client: Redis):
    board.save(params={"day": "{{ schedule.date }}", "n": 3}, tags=["night"], priority=2)

    assert board.tick(NOON - timedelta(seconds=1)) == TickReport()
    assert board.tick(NOON) == TickReport(started=1)
    assert board.tick(NOON + MINUTE) == TickReport()

    with session_scope(board.engine) as session:
        run = session.execute(text("SELECT trigger, input, tags, priority, requested_by FROM run")).one()
    assert tuple(run) == ("schedule", {"day": "2026-11-02", "n": 3}, ["night"], 2, "schedule:s")
    assert board.row().next_at == NOON + 5 * MINUTE
    assert client.llen("rq:queue:runs") == 1


@pytest.mark.parametrize(
    ("catchup", "times"),
    [("none", []), ("last", ["12:20"]), ("all", ["12:00", "12:05", "12:10", "12:15", "12:20"])],
)
def test_after_an_outage_none_the_last_or_all_of_the_missed_are_started(board: Board, catchup: str, times: list[str]):
    board.save(catchup=catchup)

    board.tick(NOON + 23 * MINUTE)

    assert board.times() == times
    assert board.row().next_at == NOON + 25 * MINUTE


def test_none_of_the_missed_does_not_mean_none_of_what_is_due_now(board: Board):
    board.save(catchup="none")

    board.tick(NOON + 20 * MINUTE + timedelta(seconds=30))

    assert board.times() == ["12:20"]
    assert board.history()["12:15"] == "missed, with 3 before it"


def test_no_more_than_the_newest_are_caught_up(board: Board, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(schedules, "MAX_CAUGHT_UP", 12)
    monkeypatch.setattr(schedules, "_PER_TRANSACTION", 5)
    board.save(cron="* * * * *", catchup="all", next_at=NOON - 100 * MINUTE)

    report = board.tick(NOON)

    assert (report.started, board.times()[0], board.times()[-1]) == (12, "11:49", "12:00")
    assert "only the newest 12" in str(board.history()["10:20"])
    assert board.tick(NOON) == TickReport()


def test_two_tickers_start_one_run(board: Board):
    for place in range(12):
        board.save(name=f"s{place}")

    gate = threading.Barrier(4)

    def tick() -> int:
        gate.wait(timeout=10)
        return board.tick(NOON).started

    with ThreadPoolExecutor(4) as pool:
        started = [future.result() for future in [pool.submit(tick) for _ in range(4)]]

    assert sum(started) == 12
    assert len(board.times()) == 12


def test_a_clock_that_is_put_back_starts_nothing_twice(board: Board):
    saved = board.save()
    board.tick(NOON)
    with session_scope(board.engine) as session:
        session.execute(text("UPDATE schedule SET next_at = :at WHERE id = :id"), {"at": NOON, "id": saved})

    board.tick(NOON)

    assert board.times() == ["12:00"]


def test_jitter_is_the_same_whenever_it_is_asked_for(board: Board):
    board.save(jitter_s=200)

    due = [second for second in range(0, 210, 10) if board.tick(NOON + timedelta(seconds=second)).started]

    assert len(due) == 1
    board.tick(NOON + 4 * MINUTE)
    assert board.times() == ["12:00"]
    assert board.row().next_at == NOON + 5 * MINUTE


def test_jitter_spreads_schedules_of_one_time(board: Board):
    for place in range(10):
        board.save(name=f"s{place}", jitter_s=250)

    counts = [board.tick(NOON + timedelta(seconds=second)).started for second in (50, 100, 150, 200, 250)]

    assert sum(counts) == 10
    assert max(counts) < 8


def test_a_schedule_ends(board: Board):
    board.save(ends_at=NOON + 5 * MINUTE, catchup="all", next_at=NOON)

    board.tick(NOON + 30 * MINUTE)

    assert board.times() == ["12:00"]
    assert board.row().next_at is None


def test_a_schedule_begins_with_its_start(board: Board):
    begin = datetime(2030, 1, 1, 7, tzinfo=UTC)
    board.save(cron=None, every_s=3600, starts_at=begin, next_at=None)

    assert board.row().next_at == begin


def test_while_a_run_is_under_way_no_other_is_started_if_so_wished(board: Board):
    board.save(overlap="skip")
    board.tick(NOON)

    board.tick(NOON + 5 * MINUTE)
    with session_scope(board.engine) as session:
        session.execute(text("DELETE FROM run_active"))
    board.tick(NOON + 10 * MINUTE)

    assert board.times() == ["12:00", "12:10"]
    assert "had not ended" in str(board.history()["12:05"])


def test_a_workflow_that_went_away_does_not_hold_up_other_schedules(board: Board):
    with session_scope(board.engine) as session:
        nodes = [{"id": "a", "kind": "transform", "config": {"input": [], "steps": []}}]
        register_workflow(session, parse_definition({"name": "gone", "nodes": nodes}), created_by=None)
    bad = board.save(name="bad", workflow="gone", next_at=NOON - MINUTE)
    board.save(name="good")
    with session_scope(board.engine) as session:
        session.execute(text("UPDATE workflow SET status = 'archived' WHERE name = 'gone'"))

    assert board.tick(NOON) == TickReport(started=1, skipped=1)
    with session_scope(board.engine) as session:
        error = session.scalar(text("SELECT error FROM schedule WHERE id = :id"), {"id": bad})
    assert "There is no workflow" in error


def test_a_schedule_that_cannot_be_read_does_not_hold_up_others_and_says_so(board: Board):
    bad = board.save(name="bad", next_at=NOON - MINUTE)
    board.save(name="good")
    with session_scope(board.engine) as session:
        session.execute(text("UPDATE schedule SET zone = 'Mars/Olympus' WHERE id = :id"), {"id": bad})

    assert board.tick(NOON) == TickReport(started=1, failed=1)
    with session_scope(board.engine) as session:
        assert "Mars" in session.scalar(text("SELECT error FROM schedule WHERE id = :id"), {"id": bad})


def test_a_schedule_edited_while_it_ticks_is_changed_after_that(board: Board):
    saved = board.save()
    held, goes_on = threading.Event(), threading.Event()

    def tick_slowly() -> None:
        with session_scope(board.engine) as session:
            row = session.execute(schedules._DUE, {"now": NOON, "passed": []}).one()
            held.set()
            assert goes_on.wait(10)
            schedules._ticked(session, row, NOON, board.settings)

    with ThreadPoolExecutor(2) as pool:
        ticking = pool.submit(tick_slowly)
        assert held.wait(10)
        editing = pool.submit(board.save, next_at=None, schedule_id=saved, priority=7)
        assert board.tick(NOON) == TickReport()
        goes_on.set()
        ticking.result()
        editing.result()

    assert board.times() == ["12:00"]
    assert (board.row().next_at, board.row().priority) == (NOON + 5 * MINUTE, 7)


def test_a_new_rhythm_counts_from_now(board: Board):
    saved = board.save()

    board.save(next_at=None, schedule_id=saved, cron="0 6 * * *")

    assert board.row().next_at > datetime.now(UTC)
    assert board.row().next_at.hour == 6


def test_while_it_is_paused_nothing_is_missed(board: Board):
    saved = board.save(catchup="all")
    with session_scope(board.engine) as session:
        schedules.pause_schedule(session, saved, requested_by="ada")
    assert board.tick(NOON) == TickReport()
    with session_scope(board.engine) as session, pytest.raises(ConflictError):
        schedules.pause_schedule(session, saved, requested_by="ada")

    with session_scope(board.engine) as session:
        schedules.resume_schedule(session, saved, requested_by="ada")

    assert board.tick(datetime.now(UTC)) == TickReport()
    assert board.row().next_at > datetime.now(UTC)


def test_a_deleted_schedule_leaves_its_runs(board: Board):
    saved = board.save()
    board.tick(NOON)

    with session_scope(board.engine) as session:
        schedules.delete_schedule(session, saved, requested_by="ada")

    assert board.times() == ["12:00"]
    assert board.history() == {}
    with session_scope(board.engine) as session, pytest.raises(NotFoundError):
        schedules.delete_schedule(session, saved, requested_by="ada")


def test_a_range_of_the_past_is_filled_once(board: Board):
    saved = board.save(next_at=None)
    interval = Interval(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 20, tzinfo=UTC))

    def fill() -> list[uuid.UUID]:
        with session_scope(board.engine) as session:
            return schedules.backfill(session, saved, interval, requested_by="ada", settings=board.settings)

    assert (len(fill()), fill()) == (4, [])
    assert board.times() == ["00:00", "00:05", "00:10", "00:15"]
    far = Interval(datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))
    with session_scope(board.engine) as session, pytest.raises(InputError, match="more than 1000"):
        schedules.backfill(session, saved, far, requested_by="ada", settings=board.settings)


WRONG = [
    ({"name": " "}, "name"),
    ({"cron": "x"}, "cron"),
    ({"zone": "Nowhere"}, "time zone"),
    ({"jitter_s": 300.0}, "jitter"),
    ({"jitter_s": -1.0}, "jitter"),
    ({"params": {"n": "three"}}, "do not fit"),
    ({"params": {"n": "{{ schedule.nothing }}"}}, "nothing"),
    ({"starts_at": NOON, "ends_at": NOON}, "ends before"),
    ({"catchup": "some"}, "catchup"),
    ({"version": 9}, "version 9"),
    ({"workflow": "x"}, "no workflow"),
]


def test_what_could_not_be_ticked_is_not_stored(board: Board):
    for wrong, reason in WRONG:
        with pytest.raises(InputError, match=reason):
            board.save(**wrong)


def test_two_schedules_cannot_have_one_name(board: Board):
    board.save()

    with pytest.raises(ConflictError, match="already"):
        board.save()


def test_the_preview_shows_the_next_times(board: Board):
    spec = ScheduleSpec(
        name="s", workflow="w", cron="0 6 * * *", zone="Europe/Berlin", ends_at=NOON + timedelta(days=3)
    )

    found = schedules.preview(spec, after=NOON, count=10)

    assert [moment.strftime("%d %H:%M") for moment in found] == ["03 05:00", "04 05:00", "05 05:00"]
