"""Answers carry their age; an outage is remembered from its beginning, and ends when the part answers."""

from datetime import timedelta

import pytest

from analytics.core.clock import utc_now
from analytics.core.errors import DependencyError, NotFoundError, PolicyError
from analytics.core.settings import Settings
from analytics.live.cache import Caches
from dashboard.auth.roles import Role
from dashboard.auth.viewer import Viewer, set_test_viewer
from dashboard.context import get_context, set_context
from dashboard.filters import Span
from dashboard.reading import MEMORY, Answer, Memory, Outage, Question


class Place:
    """Enough of a context to ask in."""

    settings = Settings()
    started_at = utc_now()

    def __init__(self, client=None):
        self.caches = Caches(client)


class Kept:
    """A cache that remembers everything until it is told otherwise."""

    def __init__(self, read):
        self.read, self.held = read, {}

    def __call__(self, *arguments, **named):
        key = (arguments, tuple(named.items()))
        if key not in self.held:
            self.held[key] = self.read(*arguments, **named)
        return self.held[key]

    def clear(self):
        self.held.clear()


@pytest.fixture(autouse=True)
def place():
    set_context(Place())
    yield
    set_context(None)
    MEMORY.clear()


def ask(read, **named):
    options = {"part": "postgres", "fresh_for": timedelta(seconds=5), "role": Role.VIEWER} | named
    return Question(read, cache=lambda reader, _: Kept(reader), **options)


def test_an_answer_says_when_it_was_read():
    answer = ask(lambda _: 7)()
    assert answer.value == 7
    assert not answer.is_stale
    assert utc_now() - answer.read_at < timedelta(seconds=5)


def test_a_question_is_read_once_while_its_answer_is_fresh():
    calls = []
    question = ask(lambda _, name: calls.append(name) or len(calls))
    assert [question("a").value, question("a").value, question("b").value] == [1, 1, 2]
    question.forget()
    assert question("a").value == 3


def test_what_was_never_read_has_no_value_when_its_part_is_away():
    def away(_):
        raise DependencyError("PostgreSQL did not answer.", part="postgres")

    answer = ask(away)()
    assert answer.value is None
    assert answer.read_at is None
    assert answer.outage.part == "postgres"
    assert not answer.is_stale


def test_the_last_value_stands_while_its_part_is_away_and_is_marked_as_old():
    is_away = False

    def read(_):
        if is_away:
            raise DependencyError("gone", part="postgres")
        return "value"

    question = ask(read)
    question()
    is_away = True
    question.forget()
    answer = question()
    assert (answer.value, answer.is_stale) == ("value", True)


def test_a_part_that_failed_a_moment_ago_is_not_asked_again_at_once():
    calls = []

    def away(_):
        calls.append(1)
        raise DependencyError("gone", part="postgres")

    question = ask(away)
    question()
    question()
    assert len(calls) == 1


def test_an_outage_keeps_its_beginning_and_ends_when_the_part_answers():
    memory = Memory()
    first = memory.failed("here", "redis", "gone")
    again = memory.failed("here", "redis", "still gone")
    assert again.since == first.since
    assert [outage.part for outage in memory.outages("here")] == ["redis"]
    assert memory.outages("elsewhere") == []
    memory.answered("here", "redis")
    assert memory.outages("here") == []


def test_memory_is_bounded():
    memory = Memory(most=3)
    for key in range(10):
        memory.keep(key, key)
    assert [memory.last(key) for key in range(10)] == [None] * 7 + [7, 8, 9]


def test_what_does_not_exist_is_an_error_and_not_an_outage():
    def missing(_):
        raise NotFoundError("There is none.")

    with pytest.raises(NotFoundError):
        ask(missing)()
    assert MEMORY.outages(Place.started_at.isoformat()) == []


def test_a_question_above_the_role_is_refused(monkeypatch):
    monkeypatch.setattr("dashboard.reading.require", _refuse)
    question = ask(lambda _: 1, role=Role.ADMIN)
    with set_test_viewer(Viewer("v@example.org", "V", Role.VIEWER)), pytest.raises(PolicyError):
        question()


def _refuse(viewer, role, *, doing):
    if viewer.role < role:
        raise PolicyError(f"may not {doing}")


def test_how_long_an_answer_stands_depends_on_the_range():
    used = []
    question = Question(
        lambda *_: None,
        cache=lambda reader, tier: lambda *arguments: used.append(tier) or reader(*arguments),
        part="postgres",
        fresh_for=None,
        role=Role.VIEWER,
    )
    question(Span("1h"))
    question(Span("30d"))
    assert used == [timedelta(seconds=10), timedelta(seconds=60)]


def test_an_answer_without_outage_is_not_stale():
    now = utc_now()
    assert not Answer(1, now).is_stale
    assert Answer(1, now, Outage("redis", now, "gone")).is_stale


def test_what_stands_long_is_read_anew_when_what_it_rests_on_changed_wherever_that_was():
    calls = []
    question = ask(lambda _: calls.append(1) or len(calls), fresh_for=timedelta(minutes=1), tags=("slos",))
    assert [question().value, question().value] == [1, 1]
    get_context().caches.invalidate("slos")
    assert [question().value, question().value] == [2, 2]
    get_context().caches.invalidate("leads")
    assert question().value == 2
    question.forget()
    assert question().value == 3
    question.read_again()
    assert question().value == 4


def test_a_question_can_be_read_ahead_by_nobody_in_particular():
    calls = []
    question = ask(lambda _, name: calls.append(name) or len(calls), role=Role.ADMIN)
    question.warm("a")
    with set_test_viewer(Viewer("a@example.org", "A", Role.ADMIN)):
        assert (question("a").value, calls) == (1, ["a"])
