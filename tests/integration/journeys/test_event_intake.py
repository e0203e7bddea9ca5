"""Events into a real PostgreSQL: each once, however often, from however many, and nothing half-applied."""

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.core.errors import InputError
from analytics.journeys.events import Taken
from analytics.journeys.feed import EventFilter, list_events, list_kinds
from analytics.journeys.importing import Mapped, import_csv, look_at
from analytics.journeys.ingest import take_in
from analytics.store.engine import session_scope

pytestmark = pytest.mark.integration

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
OLDEST = NOON - timedelta(days=400)
SAID = {"time": "2026-11-20T11:00:00Z"}


def row(told: str, **more: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": told, "source": "/shop", "type": "web.visit", **more}


def take(session: Session, rows: Sequence[Any], *, now: datetime = NOON) -> Taken:
    return take_in(session, rows, now=now, oldest=OLDEST)[0]


def count(session: Session, source: str = "/shop") -> int:
    return session.scalar(text("SELECT count(*) FROM event WHERE source = :source"), {"source": source}) or 0


def test_the_same_events_again_change_nothing(session: Session):
    rows = [row("1", **SAID), row("2", **SAID), row("1", **SAID), row("2", source="/other", **SAID)]

    first, again = take(session, rows), take(session, rows)

    assert (first.received, first.stored, first.known, first.rejected) == (4, 3, 1, 0)
    assert (again.stored, again.known) == (0, 4)
    assert (count(session), count(session, "/other")) == (2, 1)


def test_an_event_without_a_time_is_the_same_event_later_and_also_with_one(session: Session):
    take(session, [row("1")])

    assert take(session, [row("1")], now=NOON + timedelta(hours=1)).known == 1
    assert take(session, [row("1", **SAID)]).known == 1
    assert list_events(session, Interval(OLDEST, NOON + timedelta(hours=2)))[0].at == NOON


def test_bad_rows_are_told_of_and_the_rest_goes_in(session: Session):
    rows = [row("1", **SAID), {"id": "x" * 300}, row("3", time="later"), None, row("5", **SAID, data={"n": "🦊"})]

    taken = take(session, rows)

    assert (taken.received, taken.stored, taken.rejected, count(session)) == (5, 2, 3, 2)
    assert [(problem.index, problem.path) for problem in taken.problems] == [(1, "id"), (2, "time"), (3, "")]
    assert taken.problems[0].id == f"{'x' * 60}…"


def test_of_many_bad_rows_a_hundred_are_shown_and_all_are_counted(session: Session):
    taken = take(session, [{}] * 250)

    assert (taken.received, taken.rejected, len(taken.problems)) == (250, 250, 100)


def test_old_months_are_made_when_they_are_needed(session: Session):
    assert take(session, [row("1", time="2026-09-20T00:00:00Z")]).stored == 1


def test_events_of_leads_and_contexts_reach_their_tables_once(session: Session):
    rows = [
        row("1", type="lead.created", subject="ann@example.com", data={"p_score": 0.7}, **SAID),
        row("2", type="context.created", subject="ctx-1", data={"type": "task", "name": "Read"}, **SAID),
        row("3", type="context.read", subject="ctx-1", **SAID),
    ]

    assert (taken := take(session, rows)).leads == 1
    assert taken.contexts == 1
    assert (take(session, rows).leads, take(session, rows).contexts) == (0, 0)
    assert session.scalar(text("SELECT kind FROM context WHERE id = 'ctx-1'")) == "task"


@pytest.mark.parametrize("said", [SAID, {}], ids=["with a time", "without a time"])
def test_many_who_tell_of_the_same_at_once_store_it_once(committing_engine: Engine, said: dict[str, str]):
    source = f"/crowd/{len(said)}"
    rows = [row(str(number), source=source, **said) for number in range(200)]

    def tell(shift: int) -> Taken:
        mine = rows[shift:] + rows[:shift]
        with session_scope(committing_engine) as session:
            return take(session, mine, now=NOON + timedelta(seconds=shift))

    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(tell, (0, 50, 100, 150)))

    assert sum(item.stored for item in taken) == 200
    assert sum(item.known for item in taken) == 600
    with session_scope(committing_engine) as session:
        assert count(session, source) == 200


def test_the_feed_comes_newest_first_page_by_page_and_is_narrowed(session: Session):
    take(
        session,
        [
            row(str(n), type=f"{'web' if n % 2 else 'social'}.k{n}", time=(NOON - timedelta(hours=n * n)).isoformat())
            for n in range(8)
        ],
    )
    span = Interval(NOON - timedelta(days=10), NOON + timedelta(seconds=1))

    first = list_events(session, span, limit=3)
    second = list_events(session, span, limit=3, before=(first[-1].at, first[-1].id))

    assert [item.kind[-2:] for item in (*first, *second)] == [f"k{n}" for n in range(6)]
    assert len(list_events(session, span, EventFilter(kind="web.*"))) == 4
    assert list_events(session, span, EventFilter(kind="w%.*")) == []
    assert [item.kind for item in list_events(session, span, EventFilter(kind="web.k3", source="/shop"))] == ["web.k3"]
    recent = Interval(NOON - timedelta(hours=5), NOON + timedelta(seconds=1))
    assert dict(list_kinds(session, recent)) == {"social.k0": 1, "web.k1": 1, "social.k2": 1}


CSV = "time;kind;user;p_score\n2026-11-20T10:00:00Z;lead.created;Zoë;0.5\n2026-11-20T10:00:00;lead.created;b;0.5\n"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_a_file_goes_in_row_by_row_in_whatever_encoding(committing_engine: Engine, encoding: str):
    file = io.BytesIO(CSV.encode(encoding))
    mapped = look_at(file, now=NOON, oldest=OLDEST).mapped
    mine = Mapped(mapped.columns, {"source": encoding})

    with session_scope(committing_engine) as session:
        taken = import_csv(session, file, mapped=mine, now=NOON, oldest=OLDEST)
    with session_scope(committing_engine) as session:
        again = import_csv(session, file, mapped=mine, now=NOON, oldest=OLDEST)

    assert (taken.received, taken.stored, taken.rejected, taken.leads) == (2, 1, 1, 1)
    assert [(problem.index, problem.path) for problem in taken.problems] == [(3, "time")]
    assert (again.stored, again.known, again.leads) == (0, 1, 0)
    with session_scope(committing_engine) as session:
        found = session.execute(text("SELECT subject, props FROM event WHERE source = :s"), {"s": encoding}).one()
        assert (found.subject, found.props) == ("Zoë", {"p_score": 0.5})


def test_a_file_that_does_not_tell_what_happened_is_refused(session: Session):
    with pytest.raises(InputError, match="kind"):
        import_csv(session, io.BytesIO(b"time\n1\n"), mapped=Mapped({"at": "time"}), now=NOON, oldest=OLDEST)


def test_a_file_that_breaks_off_leaves_nothing(committing_engine: Engine):
    class Broken(io.BytesIO):
        """Fails when the second half is read for the third time, which is when rows are stored."""

        ends = 0

        def read1(self, size: int | None = -1, /) -> bytes:
            chunk = super().read1(size)
            self.ends += not chunk
            if self.ends > 2:
                raise OSError("the disk is gone")
            return chunk

    lines = "".join(f"2026-11-20T10:00:00Z,web.visit,p{number}\n" for number in range(6000))
    file = Broken(f"time,kind,user\n{lines}".encode())
    mapped = Mapped({"at": "time", "kind": "kind", "subject": "user"}, {"source": "broken"})
    file.ends = 2
    with pytest.raises(OSError, match="disk"), session_scope(committing_engine) as session:
        import_csv(session, file, mapped=mapped, now=NOON, oldest=OLDEST, encoding="utf-8")
    with session_scope(committing_engine) as session:
        assert count(session, "broken") == 0
