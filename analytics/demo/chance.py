"""Chance that comes out the same for the same seed: ids, times of a working week, durations."""

import random
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

_HOURLY = np.array(
    [1, 1, 1, 1, 2, 4, 9, 17, 26, 30, 30, 27, 22, 26, 29, 27, 22, 15, 9, 6, 4, 3, 2, 1], dtype=np.float64
)
_DAILY = (1.05, 1.12, 1.10, 1.02, 0.86, 0.20, 0.14)
_DAY = timedelta(days=1)
_LOW = (1 << 62) - 1


class Chance:
    """A source of chance, and of ids that sort by time."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self._bits = random.Random(seed)  # noqa: S311 - ids that come out the same, not secrets

    def new_id(self, at: datetime) -> uuid.UUID:
        """Return a UUID of version 7 for *at*."""
        stamp = int(at.timestamp() * 1000)
        bits = self._bits.getrandbits(80)
        return uuid.UUID(int=(stamp << 80) | (0x7 << 76) | ((bits >> 68) << 64) | (0b10 << 62) | (bits & _LOW))

    def happens(self, ratio: float) -> bool:
        """Return True in a share of *ratio* of the calls."""
        return bool(self.rng.random() < ratio)

    def around(self, median: float, *, spread: float = 0.45) -> float:
        """Return a positive value whose median is *median*; most lie within a factor of two."""
        return float(median * np.exp(self.rng.normal(0.0, spread)))

    def one_of(self, choices: Sequence[T]) -> T:
        """Return one of *choices*."""
        return choices[int(self.rng.integers(len(choices)))]

    def times(self, since: datetime, until: datetime, *, a_day: float) -> list[datetime]:
        """Return moments in ``[since, until)`` as people work, in order; *a_day* is the mean of an average workday."""
        shares = _HOURLY / _HOURLY.sum()
        moments: list[datetime] = []
        day = since.replace(hour=0, minute=0, second=0, microsecond=0)
        while day < until:
            count = int(self.rng.poisson(a_day * _DAILY[day.weekday()]))
            hours = self.rng.choice(24, size=count, p=shares)
            seconds = hours * 3600 + self.rng.random(count) * 3600
            moments += [day + timedelta(seconds=round(second, 3)) for second in np.sort(seconds).tolist()]
            day += _DAY
        return [moment for moment in moments if since <= moment < until]


def load(starts: list[datetime]) -> NDArray[np.float64]:
    """Return how busy the company is at each of *starts*; 1 on the average of a workday."""
    hourly = _HOURLY / _HOURLY.mean()
    return np.array([hourly[start.hour] * _DAILY[start.weekday()] for start in starts], dtype=np.float64)
