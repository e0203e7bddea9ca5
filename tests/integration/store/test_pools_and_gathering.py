"""What a pool tells of itself, and several questions at once."""

import threading

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

from analytics.core.errors import DependencyError
from analytics.core.settings import Settings
from analytics.store.engine import PoolProfile, make_engine, pool_state, session_scope
from analytics.store.parallel import gather

pytestmark = pytest.mark.integration


def test_a_pool_counts_who_took_connections_which_were_opened_and_how_long_callers_waited(engine: Engine) -> None:
    assert pool_state(engine).hit_rate is None
    assert pool_state(engine).mean_wait_s is None
    for _ in range(4):
        with session_scope(engine) as session:
            session.execute(text("SELECT 1"))
            assert pool_state(engine).checked_out == 1
    state = pool_state(engine)
    assert (state.checkouts, state.opened, state.checked_out, state.hit_rate) == (4, 1, 0, 0.75)
    assert state.mean_wait_s is not None
    assert state.mean_wait_s > 0
    assert (state.size, state.most, state.used) == (20, 30, 0)


def test_a_connection_that_died_is_replaced_and_counted(engine: Engine) -> None:
    with session_scope(engine) as session:
        pid = session.scalar(text("SELECT pg_backend_pid()"))
    other = create_engine(engine.url)
    with other.connect() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    other.dispose()
    with session_scope(engine) as session:
        assert session.scalar(text("SELECT 1")) == 1
    assert (pool_state(engine).invalid, pool_state(engine).opened) == (1, 2)


def test_a_pool_that_is_exhausted_says_so(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        make_engine.__globals__["POOL_PROFILES"], "local", PoolProfile(size=1, overflow=0, recycle_s=60, timeout_s=0)
    )
    engine = make_engine(settings, role="test")
    with session_scope(engine) as session:
        session.execute(text("SELECT 1"))
        with pytest.raises(DependencyError), session_scope(engine) as second:
            second.execute(text("SELECT 1"))
    assert pool_state(engine).exhausted == 1
    engine.dispose()
    assert pool_state(engine).exhausted == 0, "a new pool begins anew"


def test_what_is_no_pool_has_no_figures() -> None:
    assert pool_state(create_engine("sqlite://")).used is None


def test_questions_are_asked_at_the_same_time_and_answered_by_name(engine: Engine) -> None:
    together = threading.Barrier(3, timeout=20)

    def ask(session: Session) -> int:
        together.wait()
        return session.scalar(text("SELECT pg_backend_pid()")) or 0

    answers = gather(engine, dict.fromkeys(("a", "b", "c"), ask))
    assert list(answers) == ["a", "b", "c"]
    assert len(set(answers.values())) == 3


def test_a_failing_question_fails_the_gathering_once_all_have_ended(engine: Engine) -> None:
    ended = threading.Event()

    def fails(_: Session) -> None:
        raise DependencyError("The first.")

    def ends(session: Session) -> None:
        session.execute(text("SELECT 1"))
        ended.set()

    with pytest.raises(DependencyError, match="The first"):
        gather(engine, {"a": fails, "b": ends})
    assert ended.is_set()
    assert pool_state(engine).checked_out == 0


def test_gatherings_within_gatherings_do_not_wait_for_each_other_and_exhaust_no_pool(engine: Engine) -> None:
    most_seen = 0

    def leaf(session: Session) -> int:
        nonlocal most_seen
        session.execute(text("SELECT 1"))
        most_seen = max(most_seen, pool_state(engine).checked_out)
        return 1

    def branch(_: Session) -> int:
        return sum(gather(engine, {str(number): leaf for number in range(4)}).values())

    answers = gather(engine, {str(number): branch for number in range(40)})
    assert sum(answers.values()) == 160
    assert most_seen <= 10
