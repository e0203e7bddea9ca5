"""A bounded memory."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from analytics.core.memo import GROWTH, Memo


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def a_memo(*, most: int = 3, ttl_s: float = 10) -> tuple[Memo[int], Clock]:
    clock = Clock()
    return Memo(ttl=timedelta(seconds=ttl_s), most=most, clock=clock), clock


def test_an_entry_stands_for_its_time_and_no_longer() -> None:
    memo, clock = a_memo()
    memo.put("a", 1)
    memo.put("b", 2, ttl=timedelta(seconds=3))
    clock.now = 3
    assert (memo.look("a"), memo.look("b")) == (1, None)
    clock.now = 10
    assert memo.look("a") is None
    assert memo.state().expired == 2


def test_the_entry_used_least_recently_leaves_first() -> None:
    memo, _ = a_memo()
    for name in "abc":
        memo.put(name, ord(name))
    memo.look("a")
    memo.put("d", 0)
    assert memo.look("b") is None
    assert memo.look("a") == ord("a")
    assert (memo.state().evictions, memo.state().size) == (1, 3)


def test_what_ran_out_and_had_to_leave_was_not_evicted() -> None:
    memo, clock = a_memo()
    for name in "abc":
        memo.put(name, 0)
    clock.now = 11
    memo.put("d", 0)
    assert (memo.state().evictions, memo.state().expired, memo.state().size) == (0, 3, 1)


def test_a_memory_that_is_asked_for_what_it_pushed_out_grows_and_one_that_stays_empty_shrinks_again() -> None:
    memo, clock = a_memo(most=4)
    for _ in range(8):
        for name in "abcdefgh":
            if memo.look(name) is None:
                memo.put(name, 0)
    assert memo.state().most == 8
    assert memo.state().regrets >= 1
    evicted = memo.state().evictions
    for name in "abcdefgh":
        assert memo.look(name) == 0
    assert memo.state().evictions == evicted
    clock.now = 11
    assert memo.state().most == 4


@given(st.lists(st.tuples(st.sampled_from("abcdefghijklmnop"), st.integers(0, 3)), max_size=200))
def test_a_memory_never_outgrows_its_bounds_nor_gives_what_was_not_put(uses: list[tuple[str, int]]) -> None:
    memo, clock = a_memo(most=2, ttl_s=5)
    last: dict[str, float] = {}
    for key, wait in uses:
        clock.now += wait
        found = memo.look(key)
        if found is not None:
            assert clock.now - last[key] < 5
        memo.put(key, 1)
        last[key] = clock.now
        state = memo.state()
        assert state.size <= state.most <= 2 * GROWTH
