"""Windows of time: pairs of burn-rate windows that can fire, and named periods."""

from datetime import UTC, datetime, timedelta

from analytics.core.clock import Interval, require_aware
from analytics.slo.math import burn_threshold
from analytics.slo.model import BUCKET, BurnPair, Severity
from analytics.store.partitions import next_month

BURN_WINDOWS = (
    timedelta(minutes=5),
    timedelta(hours=1),
    timedelta(hours=6),
    timedelta(days=1),
    timedelta(days=3),
)
"""The windows whose burn rate a report shows."""

MIN_BAD_EVENTS = 3
"""Fewer bad events than these in the long window never count as a burn: noise of quiet services."""

_REACHABLE = 0.9
_HALFWAY = 0.5
_SHORT_PART = 12


_SHARES = (
    (Severity.PAGE, timedelta(hours=1), timedelta(minutes=5), 0.02),
    (Severity.PAGE, timedelta(hours=6), timedelta(minutes=30), 0.05),
    (Severity.TICKET, timedelta(days=1), timedelta(hours=2), 0.10),
    (Severity.TICKET, timedelta(days=3), timedelta(hours=6), 0.10),
)


def burn_pairs(*, budget_ratio: float, period: timedelta) -> list[BurnPair]:
    """Return the pairs of windows for an objective, each reachable.

    The greatest burn rate there can be is ``1 / budget_ratio``. Where the usual factor is above nine tenths of
    that, the pair takes half of it and the window that spends the same share of the budget.
    """
    pairs = []
    for severity, long, short, share in _SHARES:
        scaled = long * (period / timedelta(days=30)) if long > period else long
        factor = burn_threshold(share, window=scaled, period=period)
        if budget_ratio * factor <= _REACHABLE:
            pairs.append(BurnPair(severity, scaled, short, factor))
            continue
        factor = _HALFWAY / budget_ratio
        longer = _whole_buckets(share * period / factor)
        pairs.append(BurnPair(severity, longer, _whole_buckets(longer / _SHORT_PART), factor))
    return pairs


def month_of(moment: datetime) -> Interval:
    """Return the calendar month (UTC) that *moment* is in."""
    moment = require_aware(moment)
    first = datetime(moment.year, moment.month, 1, tzinfo=UTC)
    return Interval(first, next_month(first))


def _whole_buckets(length: timedelta) -> timedelta:
    return max(BUCKET, -(-length // BUCKET) * BUCKET)
