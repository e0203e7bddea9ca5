"""How a span is cut into the steps of a small trend."""

import math
from datetime import timedelta

from analytics.core.clock import Interval
from analytics.rollup.read import DAY, HOUR, HOURS_UP_TO, RAW_UP_TO

MOST_STEPS = 31
_MINUTE = timedelta(minutes=1)


def trend_step(interval: Interval, *, most: int = MOST_STEPS) -> timedelta:
    """Return the length of the shortest steps that the rollup can read over *interval*, about *most* of them at most.

    Minutes for up to six hours, hours for up to 48, days beyond.
    """
    unit = _MINUTE if interval.length <= RAW_UP_TO else HOUR if interval.length <= HOURS_UP_TO else DAY
    return max(1, math.ceil(interval.length / most / unit)) * unit
