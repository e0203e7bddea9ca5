"""How the error budget goes on: what returns as bad events age out, and what recent burn rates would spend. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.core.errors import InputError
from analytics.slo import catalogue, composite
from analytics.slo.history import History
from analytics.slo.ledger import HOUR, Want, read
from analytics.slo.math import burn_rate, shares_left
from analytics.slo.model import BUCKET, CalendarWindow, CompositeEvents, Objective, RollingWindow
from analytics.slo.windows import period_at

Numbers = NDArray[np.float64]

_WEEKS = timedelta(days=29)
_FINE = timedelta(days=35)
"""Histories up to this are read by five minutes, so that the forecast begins with the share the report shows."""
_POINTS = 240
_HOURS_OF_WEEK = 168
_NOTHING = timedelta(0)

RECENT = (timedelta(hours=1), timedelta(hours=6), timedelta(days=3))
"""The times whose burn rates are carried on."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """The budget if the burn rate of a recent time goes on."""

    recent: timedelta
    burn_rate: float
    """Of that time: a multiple, 0 or more."""
    remaining: Sequence[tuple[datetime, float | None]]
    """Share of the budget left at each step, the present first; None where no event is expected."""
    exhausted_at: datetime | None
    """When it is used up first: the present when it is already, None when not within the forecast."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """How the budget goes on."""

    objective: Objective
    interval: Interval
    """From the end of the history to the end of the forecast."""
    remaining: float | None
    """Share of the budget left at present; None without events."""
    unspent: Sequence[tuple[datetime, float | None]]
    """The budget if no event were bad from now on: of a rolling window, how it returns."""
    scenarios: Sequence[Scenario]
    """Those of :data:`RECENT` in which an event was seen: together they make the fan."""


def forecast(history: History, *, horizon: timedelta | None = None, step: timedelta | None = None) -> Forecast:
    """Return how the budget goes on after the end of *history*.

    Traffic is expected to be the median of the same hour of the week, as far as the history goes back.

    Args:
        history: At least the window of the objective before its end; what it lacks counts as unmeasured.
        horizon: How far to look, at most a rolling window or the rest of a calendar window; None for a quarter of
            the one or all of the other.
        step: Between points; None for an hour, or as many hours as make at most 240 points.

    Raises:
        InputError: If *step* is not positive.
    """
    objective, now = history.objective, history.interval.until
    window = objective.window
    span = period_at(window, now)
    if isinstance(window, RollingWindow):
        until = now + min(window.length, horizon or window.length / 4)
    else:
        until = span.until if horizon is None else min(span.until, now + horizon)
    step = max(HOUR, -((now - until) // (_POINTS * HOUR)) * HOUR) if step is None else step
    if step <= _NOTHING:
        raise InputError(f"A forecast with a point every {step} cannot be drawn.")
    moments = [min(until, now + place * step) for place in range(-((now - until) // step) + 1)]
    ahead = _Ahead(span, moments, isinstance(window, RollingWindow))
    ratio = objective.budget_ratio
    (good, total), *outlooks = _outlooks(history, ahead)
    unspent = list(zip(moments, shares_left(good, total, ratio), strict=True))
    scenarios = []
    for recent, sums in zip(RECENT, outlooks, strict=True):
        rate = burn_rate(*_lately(history, recent), budget_ratio=ratio)
        if rate is None:
            continue
        course = list(zip(moments, shares_left(*sums, ratio), strict=True))
        gone = next((moment for moment, left in course if left is not None and left <= 0), None)
        scenarios.append(Scenario(recent, rate, course, gone))
    return Forecast(objective, Interval(now, until), unspent[0][1], unspent, scenarios)


def look_ahead(session: Session, slo_id: str, *, now: datetime) -> Forecast:
    """Return how the budget of *slo_id* goes on after *now*, by the traffic of its window and of four weeks at least.

    Raises:
        NotFoundError: If there is no such objective.
    """
    objective = catalogue.find(session, slo_id)
    since = min(period_at(objective.window, now).since, now - _WEEKS)
    step = BUCKET if now - since <= _FINE else HOUR
    (history,) = read(session, [Want(objective, Interval(since, now), step)])
    return forecast(history)


@dataclass(frozen=True, slots=True)
class _Ahead:
    """What is looked ahead to."""

    span: Interval
    """The window at the end of the history."""
    moments: Sequence[datetime]
    """From the present on."""
    is_rolling: bool


def _outlooks(history: History, ahead: _Ahead) -> list[tuple[Numbers, Numbers]]:
    """Return good and total of the window that ends at each moment: if nothing more is bad, and for each recent time.

    Of a composite, its members go on each for itself.
    """
    objective = history.objective
    if isinstance(objective.indicator, CompositeEvents):
        members = [_outlooks(part, ahead) for part in history.parts]
        return [
            composite.combine(
                objective.indicator,
                [
                    composite.Part(part.objective, *found[place])
                    for part, found in zip(history.parts, members, strict=True)
                ],
                budget_ratio=objective.budget_ratio,
                length=len(ahead.moments),
            )
            for place in range(1 + len(RECENT))
        ]
    now = ahead.moments[0]
    since = [ahead.span.since + (moment - now if ahead.is_rolling else _NOTHING) for moment in ahead.moments]
    first = np.array([history.place(moment) for moment in since])
    good, total = history.between(first, np.full_like(first, len(history)))
    expected = np.cumsum(_expected(history, ahead.moments))
    shares = [1.0]
    for recent in RECENT:
        kept, seen = _lately(history, recent)
        shares.append(kept / seen if seen > 0 else 1.0)
    return [(good + share * expected, total + expected) for share in shares]


def _expected(history: History, moments: Sequence[datetime]) -> Numbers:
    """Return how many events are expected between each moment and the one before; 0 before the first."""
    zone = ZoneInfo(history.objective.window.zone) if isinstance(history.objective.window, CalendarWindow) else UTC
    weekly = _hours_of_week(history, zone)
    expected = [0.0]
    for before, after in pairwise(moments):
        middle = before + (after - before) / 2
        expected.append(weekly[_hour_of_week(middle, zone)] * ((after - before) / HOUR))
    return np.array(expected)


def _hours_of_week(history: History, zone: tzinfo) -> Numbers:
    """Return the median number of events in each of the 168 hours of the week; what was not seen is as the others."""
    moments, bounds = history.hours()
    _, total = history.between(bounds[:-1], bounds[1:])
    running = np.concatenate(([0.0], np.cumsum(history.measured_s)))
    measured = running[bounds[1:]] - running[bounds[:-1]]
    seen = measured >= HOUR.total_seconds() / 2
    if not seen.any():
        return np.zeros(_HOURS_OF_WEEK)
    an_hour = np.full(len(total), np.nan)
    an_hour[seen] = total[seen] * HOUR.total_seconds() / measured[seen]
    weeks = np.full((len(total) // _HOURS_OF_WEEK + 1, _HOURS_OF_WEEK), np.nan)
    for place, moment in enumerate(moments[:-1]):
        weeks[place // _HOURS_OF_WEEK, _hour_of_week(moment, zone)] = an_hour[place]
    known = ~np.isnan(weeks).all(axis=0)
    found = np.full(_HOURS_OF_WEEK, float(np.median(an_hour[seen])))
    found[known] = np.nanmedian(weeks[:, known], axis=0)
    return found


def _hour_of_week(moment: datetime, zone: tzinfo) -> int:
    local = moment.astimezone(zone)
    return local.weekday() * 24 + local.hour


def _lately(history: History, recent: timedelta) -> tuple[float, float]:
    """Return good and total of the time *recent* before the newest step measured; none if silence lasts as long."""
    seen = np.flatnonzero(history.measured_s > 0)
    last = int(seen[-1]) + 1 if len(seen) else 0
    if history.interval.until - history.bounds([last])[0] >= recent:
        return 0.0, 0.0
    first = max(0, last - max(1, recent // history.step))
    good, total = history.between(np.array([first]), np.array([last]))
    return float(good[0]), float(total[0])
