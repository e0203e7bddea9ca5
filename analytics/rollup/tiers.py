"""Which tier holds what, and for how long: raw rows, cells by hour, cells by day."""

from datetime import datetime, timedelta

from analytics.core.clock import floor_time

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

CLOSE_AFTER = timedelta(hours=26)
"""A day (UTC) is closed so long after its end: from then on it is read from its cells by day."""
KEEP_ALL_HOURS = timedelta(days=15)
"""For so long every key has cells by hour; later those only that had :data:`DENSE` facts on that day, and all."""
KEEP_HOURS = timedelta(days=100)
"""For so long cells by hour are kept at least."""
DENSE = 480
"""Facts a day from which a key keeps its cells by hour: about twenty an hour, so that they are fewer than its rows."""


def closed_by(now: datetime) -> datetime:
    """Return the bound between the days that may be closed and those that are certainly open."""
    return floor_time(now - CLOSE_AFTER, DAY)


def thinned_by(now: datetime) -> datetime:
    """Return the bound between the days that have lost cells by hour of sparse keys and those that have all."""
    return floor_time(now - KEEP_ALL_HOURS, DAY)


def ceil_time(moment: datetime, step: timedelta) -> datetime:
    """Return the earliest multiple of *step* since the epoch that is not before *moment*."""
    floor = floor_time(moment, step)
    return floor if floor == moment else floor + step
