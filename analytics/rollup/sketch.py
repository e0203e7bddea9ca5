"""What a cell keeps of a distribution and of a crowd: small, packed as PostgreSQL packs it, and merged by appending.

Packed bytes of several cells are simply put one behind the other; what occurs twice is added up (or, for people, the
greater one counts) when a number is asked for. The arithmetic stands in :func:`checked`.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

BASE = 2 ** (1 / 8)
"""Each bucket is wider than the one before it by this factor: scale 3 of OpenTelemetry's exponential histograms."""
RELATIVE_ERROR = (BASE - 1) / (BASE + 1)
"""The most by which a quantile differs from the value at its rank: 0.0433."""
BUCKETS_PER_E = 8 / math.log(2)
"""How many buckets there are from a value to e times that value."""
AT_MOST_ZERO = -32768
"""The bucket of zero and of negative values."""

_PAIR = np.dtype([("bucket", ">i2"), ("count", ">i4")])
_REGISTER = np.dtype([("high", "u1"), ("low", "u1"), ("rank", "u1")])

_PRECISION = 12
_REGISTERS = 1 << _PRECISION
_MOST_RANK = 64 - _PRECISION + 1


def checked() -> np.errstate:
    """Return a context in which an overflow, a division by zero or an invalid operation of numpy is an error.

    So numbers never turn into inf or NaN unseen; it is a ``FloatingPointError`` instead.
    """
    return np.errstate(over="raise", divide="raise", invalid="raise")


@dataclass(frozen=True, slots=True)
class Sketch:
    """How many values lie in which exponential bucket; bucket i holds values in ``(BASE ** i, BASE ** (i + 1)]``.

    Source:
        OpenTelemetry, *Metrics Data Model*, "ExponentialHistogram", scale 3.
    """

    packed: bytes = b""
    """Pairs of bucket (2 bytes) and count (4 bytes), big-endian, in any order; a bucket may occur several times."""

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Return the sketch of *values*, which are finite."""
        found = np.fromiter(values, dtype=np.float64)
        with checked():
            buckets = np.full(len(found), AT_MOST_ZERO)
            positive = found > 0
            buckets[positive] = np.ceil(np.log(found[positive]) * BUCKETS_PER_E) - 1
            return cls(_pack(*np.unique(buckets, return_counts=True)))

    @classmethod
    def from_bytes(cls, packed: bytes | None) -> Self:
        """Return the sketch that PostgreSQL packed, or the packed bytes of several, one behind the other."""
        return cls(packed or b"")

    def to_bytes(self) -> bytes:
        """Return it packed, each bucket once, in order."""
        return _pack(*self.counts())

    def counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the buckets that hold values, ascending, and how many each holds."""
        with checked():
            lowest, sums = self._sums()
            kept = np.flatnonzero(sums)
            return np.where(kept == 0, AT_MOST_ZERO, kept + lowest), sums[kept].astype(np.int64)

    def _sums(self) -> tuple[int, NDArray[Any]]:
        """Return the number of the first bucket, and how many values each from it on holds.

        The first one stands for zero, whose bucket lies far below all others; next to them it keeps the array short.
        """
        pairs = np.frombuffer(self.packed, dtype=_PAIR)
        buckets = pairs["bucket"].astype(np.int64)
        lowest = int(buckets.min(initial=32767)) - 1
        if lowest < AT_MOST_ZERO:
            lowest = int(buckets[buckets != AT_MOST_ZERO].min(initial=32767)) - 1
            buckets = np.maximum(buckets, lowest)
        return lowest, np.bincount(buckets - lowest, weights=pairs["count"])

    @property
    def n(self) -> int:
        """Return how many values it has seen."""
        return int(np.frombuffer(self.packed, dtype=_PAIR)["count"].sum(dtype=np.int64))

    def quantile(self, q: float) -> float | None:
        """Return the value below or at which the share *q* (0 to 1) of the values lies; None without values.

        At most :data:`RELATIVE_ERROR` off the value of that rank; 0 where that value is zero or negative.
        """
        return self.quantiles((q,))[0]

    def quantiles(self, qs: Iterable[float]) -> list[float | None]:
        """Return the quantile for each of *qs*, from one pass over the buckets."""
        wanted = list(qs)
        if not self.packed:
            return [None] * len(wanted)
        with checked():
            lowest, sums = self._sums()
            reached = sums.cumsum()
            ranks = [max(1, math.ceil(q * float(reached[-1]) - 1e-9)) for q in wanted]
            return [_middle(place + lowest) if place else 0.0 for place in reached.searchsorted(ranks).tolist()]

    def merge(self, *others: "Sketch") -> "Sketch":
        """Return the sketch of the values of all of them."""
        return Sketch(b"".join([self.packed, *(other.packed for other in others)]))


@dataclass(frozen=True, slots=True)
class People:
    """About how many different people there were, whoever they are: a HyperLogLog of 4,096 registers.

    Source:
        Ertl, *New cardinality estimation algorithms for HyperLogLog sketches* (2017), algorithm 6.
    """

    packed: bytes = b""
    """Register (2 bytes, big-endian) and rank (1 byte); a register may occur several times, the greatest counts."""

    @classmethod
    def from_bytes(cls, packed: bytes | None) -> Self:
        """Return the people that PostgreSQL packed, or the packed bytes of several, one behind the other."""
        return cls(packed or b"")

    def estimate(self) -> int:
        """Return how many different people there were; the standard error is 1.6 %, and far less below 1,000."""
        if not self.packed:
            return 0
        with checked():
            ranks = np.bincount(_registers(self.packed), minlength=_MOST_RANK + 1)
            ratio = 1 - ranks[_MOST_RANK] / _REGISTERS
            total = _REGISTERS * _tau(float(ratio))
            for rank in range(_MOST_RANK - 1, 0, -1):
                total = (total + float(ranks[rank])) / 2
            total += _REGISTERS * _sigma(float(ranks[0]) / _REGISTERS)
            return round(_REGISTERS**2 / (2 * math.log(2) * total)) if total else 2**64

    def merge(self, *others: "People") -> "People":
        """Return the people of all of them, each counted once."""
        return People(b"".join([self.packed, *(other.packed for other in others)]))


def _pack(buckets: NDArray[Any], counts: NDArray[Any]) -> bytes:
    pairs = np.empty(len(buckets), dtype=_PAIR)
    pairs["bucket"], pairs["count"] = buckets, counts
    return pairs.tobytes()


def _middle(bucket: int) -> float:
    """Return the value whose relative distance to both bounds of *bucket* is the same."""
    return float(2 * BASE ** (bucket + 1) / (1 + BASE))


def _registers(packed: bytes) -> NDArray[np.uint8]:
    items = np.frombuffer(packed, dtype=_REGISTER)
    registers = np.zeros(_REGISTERS, dtype=np.uint8)
    np.maximum.at(registers, items["high"].astype(np.int64) * 256 + items["low"], items["rank"])
    return registers


def _sigma(share: float) -> float:
    """Return what registers that nobody fell into stand for; infinite when all of them are empty."""
    if share == 1:
        return math.inf
    total, factor = share, 1.0
    while True:
        share *= share
        before = total
        total += share * factor
        factor += factor
        if total == before:
            return total


def _tau(share: float) -> float:
    """Return what registers that are full stand for."""
    if share in {0.0, 1.0}:
        return 0.0
    total, factor = 1 - share, 1.0
    while True:
        share = math.sqrt(share)
        before = total
        factor /= 2
        total -= (1 - share) ** 2 * factor
        if total == before:
            return total / 3
