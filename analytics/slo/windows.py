"""Windows of time: pairs of burn-rate windows that can fire, spans of the calendar, and named periods."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from math import exp, log
from typing import TypeVar
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from analytics.core.clock import Interval, require_aware
from analytics.core.errors import InputError
from analytics.slo.math import burn_threshold
from analytics.slo.model import (
    BUCKET,
    MONTH,
    Budgeting,
    BurnPair,
    CalendarUnit,
    CalendarWindow,
    Objective,
    RawRatio,
    RollingWindow,
    Severity,
    Window,
)

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

Count = TypeVar("Count", float, NDArray[np.float64])

_MANY_SLICES = 20
"""Of a budget of so many bad slices, two are not more than a tenth."""
_WEEK = timedelta(days=7)
_REACHABLE = 0.9
_HALFWAY = 0.5
_SHORT_PART = 12
_WORTH_TELLING = 0.9
"""A pair with a smaller factor would alert although the budget lasts."""
_ROUNDING = 1e-6

_SHARES = (
    (Severity.PAGE, timedelta(hours=1), timedelta(minutes=5), 0.02, 0.08),
    (Severity.PAGE, timedelta(hours=6), timedelta(minutes=30), 0.05, 0.125),
    (Severity.TICKET, timedelta(days=1), timedelta(hours=2), 0.10, 0.20),
    (Severity.TICKET, timedelta(days=3), timedelta(hours=6), 0.10, 0.42),
)
"""Severity, long and short window, and the share of the budget of 30 days, and of 7 days, that the long one spends."""


# ---- Pairs ----


@lru_cache(maxsize=256)
def burn_pairs(*, budget_ratio: float, period: timedelta, grain: timedelta = BUCKET) -> Sequence[BurnPair]:
    """Return the pairs of windows for an objective, fastest first, each reachable and each worth telling.

    For 28 and 30 days they are those of the workbook, for 7 days those with the shares 8, 12.5, 20 and 42 %. Between
    7 and 28 days shares lie between; for shorter and longer periods the windows shrink and grow with the period, so
    that the share of the budget stays.

    The greatest burn rate there can be is ``1 / budget_ratio``. Where the usual factor is above nine tenths of
    that, the pair takes half of it and the window that spends the same share of the budget. Pairs whose factor is
    below 0.9 are left out: of an hour's budget hardly any remain.

    Args:
        budget_ratio: Share of events that may be bad; 0 for a target of 100 %.
        period: The period the budget is for.
        grain: What windows are whole multiples of.
    """
    stretch = max(period / MONTH, 1.0) if period > _WEEK else period / _WEEK
    pairs = []
    for tier, (severity, long, short, monthly, weekly) in enumerate(_SHARES, start=1):
        share = _share(monthly, weekly, period)
        longer, shorter = _whole(long * stretch, 2 * BUCKET, grain), _whole(short * stretch, BUCKET, grain)
        if longer > period:
            continue
        factor = burn_threshold(share, window=longer, period=period)
        if budget_ratio * factor > _REACHABLE:
            factor = _HALFWAY / budget_ratio
            longer = _whole(share * period / factor, 2 * BUCKET, grain)
            shorter = _whole(longer / _SHORT_PART, BUCKET, grain)
        if factor >= _WORTH_TELLING:
            pairs.append(BurnPair(severity, longer, shorter, factor, tier))
    return tuple(pairs)


def pairs_of(objective: Objective) -> list[BurnPair]:
    """Return the pairs that *objective* alerts by: those of its policy, else those that follow from its target.

    Pairs of a policy have the tiers of their order, and their windows are rounded up to what is counted: buckets, or
    slices where the budget counts slices of time. Severities that the policy turns off have none.
    """
    policy = objective.alerting
    grain = BUCKET if objective.budgeting is Budgeting.OCCURRENCES else objective.slices.length
    if policy.pairs is None:
        pairs = burn_pairs(budget_ratio=objective.budget_ratio, period=objective.period, grain=grain)
    else:
        pairs = [
            replace(pair, long=_whole(pair.long, BUCKET, grain), short=_whole(pair.short, BUCKET, grain), tier=tier)
            for tier, pair in enumerate(policy.pairs, start=1)
        ]
    routing = {Severity.PAGE: policy.page, Severity.TICKET: policy.ticket}
    return [pair for pair in pairs if routing[pair.severity].is_enabled]


def guard_of(objective: Objective) -> int:
    """Return how many bad events the long window needs before a pair of it fires.

    Slices of time that are good or bad ask for two at most, because one may be a single event of a quiet slice, and
    for one where two are more than a tenth of the budget. Ratios are no events and ask for none.
    """
    guard = objective.alerting.min_bad
    if isinstance(objective.indicator, RawRatio) or objective.budgeting is Budgeting.RATIO_TIMESLICES:
        return 0
    if objective.budgeting is Budgeting.OCCURRENCES:
        return guard
    allowed = objective.budget_ratio * (objective.period / objective.slices.length)
    return min(guard, 2 if allowed >= _MANY_SLICES else 1)


def windows_of(objective: Objective) -> set[timedelta]:
    """Return the windows that :func:`firing_pairs` looks at."""
    return {window for pair in pairs_of(objective) for window in (pair.long, pair.short)}


def firing_pairs(objective: Objective, sums: Mapping[timedelta, tuple[float, float]]) -> list[BurnPair]:
    """Return the pairs of *objective* that fire, fastest first.

    Args:
        objective: Whose pairs.
        sums: Good and total of windows that end at the same moment; one that is missing had no events.
    """
    nothing = (0.0, 0.0)
    guard = guard_of(objective)
    return [
        pair
        for pair in pairs_of(objective)
        if burns(pair, sums.get(pair.long, nothing), sums.get(pair.short, nothing), objective.budget_ratio, guard)
    ]


def burns(
    pair: BurnPair, long: tuple[Count, Count], short: tuple[Count, Count], budget_ratio: float, min_bad: int
) -> Count:
    """Return whether both windows burn faster than the factor of *pair*, with enough bad events in the long one.

    Args:
        pair: Its factor counts.
        long: Good and total of the long window: one number each, or one for each moment.
        short: The same of the short window.
        budget_ratio: Share of events that may be bad; where it is 0, one bad event is faster than any factor.
        min_bad: Bad events the long window needs.
    """
    limit = pair.factor * budget_ratio
    bad, lately = long[1] - long[0], short[1] - short[0]
    return (bad >= min_bad - _ROUNDING) & (bad > limit * long[1]) & (lately > limit * short[1])  # type: ignore[return-value]


def _share(monthly: float, weekly: float, period: timedelta) -> float:
    """Return the share for *period*; between a week and 28 days on a straight line of logarithms."""
    if period >= 4 * _WEEK or period <= _WEEK:
        return monthly if period > _WEEK else weekly
    place = log(period / _WEEK) / log(4)
    return exp(log(weekly) + place * (log(monthly) - log(weekly)))


def _whole(length: timedelta, least: timedelta, grain: timedelta) -> timedelta:
    return -(-max(length, least) // grain) * grain


# ---- Periods ----


def period_at(window: Window, now: datetime) -> Interval:
    """Return the span of *window* that *now* is in, in UTC.

    A rolling window ends at *now*. A calendar window is the whole day, week, month, quarter or year of its zone, its
    future too; days of a clock change have 23 or 25 hours.
    """
    now = require_aware(now)
    if isinstance(window, RollingWindow):
        return Interval(now - window.length, now)
    zone = ZoneInfo(window.zone)
    first = _first_day(window.unit, now.astimezone(zone).date())
    return Interval(_midnight(first, zone), _midnight(_next_first(window.unit, first), zone))


def previous_period(window: Window, now: datetime) -> Interval:
    """Return the span of *window* before the one that *now* is in."""
    since = period_at(window, now).since
    return period_at(window, since if isinstance(window, RollingWindow) else since - timedelta(microseconds=1))


def named_period(name: str, *, now: datetime, zone: str = "UTC") -> Interval:
    """Return the period called *name*; whole spans, also where they reach beyond *now*.

    Args:
        name: ``30d``, ``12h`` or ``4w`` for the last so long; ``day``, ``week``, ``month``, ``quarter`` or ``year``
            for the span *now* is in, with ``last-`` before it for the one before; ``2026``, ``2026-Q3``, ``2026-10``,
            ``2026-W07`` or ``2026-10-31`` for that one.
        now: The present.
        zone: IANA name of the time zone in which days begin.

    Raises:
        InputError: If there is no such period or zone.
    """
    name = name.strip()
    if match := re.fullmatch(r"(\d{1,5})([hdw])", name):
        length = int(match[1]) * {"h": timedelta(hours=1), "d": timedelta(days=1), "w": _WEEK}[match[2]]
        return period_at(RollingWindow(length), now)
    unit = name.removeprefix("last-")
    if unit in set(CalendarUnit):
        window = CalendarWindow(CalendarUnit(unit), zone)
        return period_at(window, now) if unit == name else previous_period(window, now)
    for pattern, kind in _NAMES:
        if match := re.fullmatch(pattern, name, re.IGNORECASE):
            try:
                first = _named_day(kind, [int(part) for part in match.groups()])
                return period_at(CalendarWindow(kind, zone), _midnight(first, ZoneInfo(zone)))
            except (ValueError, OverflowError):
                break
    raise InputError(
        f"There is no period called {name!r}; take one like 30d, month, last-month, 2026-10, 2026-Q3 or 2026-W07."
    )


def month_of(moment: datetime) -> Interval:
    """Return the calendar month (UTC) that *moment* is in."""
    return period_at(CalendarWindow(), moment)


_NAMES: Sequence[tuple[str, CalendarUnit]] = (
    (r"(\d{4})", CalendarUnit.YEAR),
    (r"(\d{4})-Q([1-4])", CalendarUnit.QUARTER),
    (r"(\d{4})-(\d{2})", CalendarUnit.MONTH),
    (r"(\d{4})-W(\d{2})", CalendarUnit.WEEK),
    (r"(\d{4})-(\d{2})-(\d{2})", CalendarUnit.DAY),
)


def _named_day(unit: CalendarUnit, parts: Sequence[int]) -> date:
    """Return the first day of the span that the numbers of a name stand for."""
    match unit:
        case CalendarUnit.DAY:
            return date(*parts)
        case CalendarUnit.WEEK:
            return date.fromisocalendar(parts[0], parts[1], 1)
        case CalendarUnit.MONTH:
            return date(parts[0], parts[1], 1)
        case CalendarUnit.QUARTER:
            return date(parts[0], 3 * parts[1] - 2, 1)
        case CalendarUnit.YEAR:
            return date(parts[0], 1, 1)


def _first_day(unit: CalendarUnit, day: date) -> date:
    match unit:
        case CalendarUnit.DAY:
            return day
        case CalendarUnit.WEEK:
            return day - timedelta(days=day.weekday())
        case CalendarUnit.MONTH:
            return day.replace(day=1)
        case CalendarUnit.QUARTER:
            return date(day.year, day.month - (day.month - 1) % 3, 1)
        case CalendarUnit.YEAR:
            return date(day.year, 1, 1)


def _next_first(unit: CalendarUnit, first: date) -> date:
    """Return the first day of the next span: a day that is surely in it, set back to its start."""
    longest = {CalendarUnit.DAY: 1, CalendarUnit.WEEK: 7, CalendarUnit.MONTH: 31, CalendarUnit.QUARTER: 92}
    return _first_day(unit, first + timedelta(days=longest.get(unit, 366)))


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return when *day* begins; where clocks skip midnight, when they skip it."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
