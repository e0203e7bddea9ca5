"""How long to wait before the next attempt at a node."""

from dataclasses import dataclass
from random import random

from worker.runtime import Failure


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential waits with jitter; seconds."""

    base_s: float = 0.5
    cap_s: float = 30.0

    def wait_s(self, failures: int, *, jitter: float | None = None) -> float:
        """Return the wait after the failure number *failures*, from 1: half of it fixed, half of it chance.

        Args:
            failures: How often the node has failed.
            jitter: A number in [0, 1) in place of chance, for tests.
        """
        full = min(self.cap_s, self.base_s * 2.0 ** min(failures - 1, 32))
        chance = random() if jitter is None else jitter  # noqa: S311 - no secret
        return full / 2 + full / 2 * chance


def next_wait_s(failure: Failure, *, failures: int, retries: int, backoff: Backoff) -> float | None:
    """Return the seconds to wait before the next attempt, or None when there is none.

    Args:
        failure: Why the last attempt failed.
        failures: How often the node has failed, this time included.
        retries: How often it may be tried again.
        backoff: How waits grow. What the other side asked for is honoured when it is longer.
    """
    if not failure.retryable or failures > retries:
        return None
    return max(backoff.wait_s(failures), failure.retry_after_s or 0.0)
