from collections import Counter
from types import SimpleNamespace

import pytest

from analytics.core.errors import DependencyError, InputError, LimitError
from worker.runtime import Failure, NodeTimeoutError, failure_of
from worker.workflow.attempts import MAX_ABSENCES, Attempts
from worker.workflow.definition import Node
from worker.workflow.kinds import find_kind
from worker.workflow.retries import Backoff, next_wait_s

MAY_PASS = Failure("dependency", "away", retryable=True)


def test_waits_double_up_to_the_cap_and_half_of_each_is_chance():
    backoff = Backoff(base_s=1.0, cap_s=10.0)
    assert [backoff.wait_s(n, jitter=0.0) for n in (1, 2, 3, 4, 5, 400)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert backoff.wait_s(1, jitter=0.999) == pytest.approx(1.0, abs=0.001)
    assert all(0.5 <= backoff.wait_s(1) <= 1.0 for _ in range(100))


def test_an_error_that_may_pass_is_tried_as_often_as_the_node_says():
    waits = [next_wait_s(MAY_PASS, failures=n, retries=2, backoff=Backoff()) for n in (1, 2, 3)]
    assert waits[0] is not None
    assert waits[1] is not None
    assert waits[2] is None


def test_an_error_that_will_not_pass_is_not_tried_again():
    assert next_wait_s(Failure("input", "no", retryable=False), failures=1, retries=9, backoff=Backoff()) is None


def test_a_longer_wait_that_the_other_side_asks_for_is_honoured():
    failure = Failure("limit", "slow down", retryable=True, retry_after_s=40.0)
    assert next_wait_s(failure, failures=1, retries=1, backoff=Backoff()) == 40.0


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        (DependencyError("away"), "dependency", True),
        (NodeTimeoutError("slow"), "timeout", True),
        (InputError("bad"), "input", False),
        (LimitError("wait", retry_after_s=2), "limit", True),
        (ConnectionResetError("gone"), "unexpected", True),
        (KeyError("bug"), "unexpected", False),
    ],
)
def test_only_what_may_pass_is_retryable(error, code, retryable):
    failure = failure_of(error)
    assert (failure.code, failure.retryable) == (code, retryable)


def test_an_absence_of_our_own_store_uses_up_no_retry_but_is_not_borne_for_ever():
    attempts = object.__new__(Attempts)
    attempts._services = SimpleNamespace(backoff=Backoff())
    node, kind, counts = Node(id="a", kind="sql.query", retries=0), find_kind("sql.query"), Counter()
    away = failure_of(DependencyError("away", part="postgres"))
    waits = [attempts._wait_s(node, kind, away, counts) for _ in range(MAX_ABSENCES + 1)]
    assert None not in waits[:-1]
    assert waits[-1] is None
    assert attempts._wait_s(node, kind, MAY_PASS, counts) is None
