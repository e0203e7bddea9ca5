"""Funnels: how many people take the steps of a way in order and in time, where they leave, what each step costs.

A person is the subject of its events. From each time it takes the first step the earliest next step is looked for, and
so on; a try counts as far as its steps lie in the window from its beginning. Two steps may happen at the same instant,
but one event is never two steps.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.core.errors import InputError
from analytics.core.ratios import wilson
from analytics.journeys import funnel_sql
from analytics.journeys.acts import MOST_ROWS, SHARES, Acts, Flags, Floats, Ints, micros, quantiles, read_acts

MOST_STEPS = 10
LONGEST_WINDOW = timedelta(days=90)
OTHER = "other"
PROPERTIES = ("source", "service", "project", "lead.score", "lead.source", "lead.owner", "lead.status")
"""What funnels can be split by, besides ``props.<name>``."""

_LONGEST_TEXT = 200
_DAYS = timedelta(days=2)
_WEEKS = timedelta(days=100)
_MICROSECOND = timedelta(microseconds=1)
_SECOND = 1_000_000
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MONDAY = micros(datetime(2001, 1, 1, tzinfo=UTC))
"""So that weeks begin on Mondays."""
_REST = "\N{UNIT SEPARATOR}"
"""The key of groups whose names were not asked for."""


@dataclass(frozen=True, slots=True)
class Step:
    """What an event has to be to count as a step."""

    kind: str
    """Of the event; ``web.*`` means all that begin so."""
    label: str = ""
    """What it is called; empty: its kind."""
    where: Mapping[str, str] = field(default_factory=dict)
    """What else it must be: ``source``, ``service`` or ``props.<name>``, by value."""

    @property
    def name(self) -> str:
        """Return what it is called."""
        return self.label or self.kind


@dataclass(frozen=True, slots=True)
class FunnelSpec:
    """Two to ten steps in order, and how long people have from the first to the last."""

    steps: Sequence[Step]
    window: timedelta


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Seconds below which a quarter, half, three quarters and nine of ten are."""

    n: int
    p25: float
    p50: float
    p75: float
    p90: float


@dataclass(frozen=True, slots=True)
class StepResult:
    """How one step went."""

    label: str
    people: int
    """Who came to it."""
    of_first: float | None
    """Share of those who took the first step; None when nobody did."""
    of_before: float | None
    """Share of those who took the step before."""
    took: Quantiles | None
    """From the step before to this one, seconds; None for the first step, and when nobody came."""
    left: int
    """Who came no further and whose time is over."""
    dwell: Quantiles | None
    """How long those who left stayed active after this step, seconds; None when nobody left."""
    cost_usd: float | None
    """What was spent on people on their way from the step before to this one; None when nothing has a price."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Those who took the first step in one part of the interval."""

    since: datetime
    entered: int
    converted: int
    took_s: float | None
    """Median from the first step to the last; None when nobody converted."""


@dataclass(frozen=True, slots=True)
class Group:
    """Those who took the first step with one value of a property."""

    key: str | None
    """None: without the property."""
    people: Sequence[int]
    """By step."""
    took_s: float | None
    """Median from the first step to the last; None when nobody converted."""

    @property
    def conversion(self) -> float | None:
        """Return the share that took the last step; None when nobody took the first."""
        return self.people[-1] / self.people[0] if self.people[0] else None


@dataclass(frozen=True, slots=True)
class FunnelResult:
    """How a funnel went for those who took its first step in an interval."""

    interval: Interval
    steps: Sequence[StepResult]
    under_way: int
    """Who has not converted but still has time."""
    took: Quantiles | None
    """From the first step to the last, seconds."""
    trend: Sequence[Moment]
    """By hour, day or week (UTC) of the first step, oldest first; those without anybody are not in it."""
    by: str | None
    groups: Sequence[Group]
    sample_ratio: float
    """1: everybody was counted; less: that share of people, chosen by a hash, and counts are scaled up."""
    counted: int
    """How many people were counted, not scaled up."""
    conversion_between: tuple[float, float] | None
    """Where the conversion of everybody lies with a confidence of 95 %; None when everybody was counted."""
    demo: int
    """How many of those who entered are of the demo history."""
    lost_cost_usd: float | None
    """What was spent on people after the last step they took, when they did not convert."""

    @property
    def conversion(self) -> float | None:
        """Return the share that took all steps; None when nobody took the first."""
        return self.steps[-1].of_first


def check(spec: FunnelSpec) -> None:
    """Refuse what cannot be a funnel.

    Raises:
        InputError: If it has too few or too many steps, or one of them or the window cannot be.
    """
    if not 2 <= len(spec.steps) <= MOST_STEPS:  # noqa: PLR2004 - a way has a beginning and an end
        raise InputError(f"A funnel has 2 to {MOST_STEPS} steps, not {len(spec.steps)}; nothing was done.")
    if not timedelta(0) < spec.window <= LONGEST_WINDOW:
        raise InputError(f"A funnel's window is more than nothing and at most {LONGEST_WINDOW.days} days.")
    for place, step in enumerate(spec.steps, 1):
        texts = (step.kind, step.label, *step.where, *step.where.values())
        if not step.kind or any(len(item) > _LONGEST_TEXT or "\0" in item for item in texts):
            raise InputError(f"Step {place} needs a kind of event, and texts of at most {_LONGEST_TEXT} characters.")
        for name in step.where:
            if name not in funnel_sql.PLAIN and not name.removeprefix(funnel_sql.PROPS) != name:
                raise InputError(f"Step {place}: {name[:60]!r} is none of source, service and props.<name>.")


def measure(
    session: Session,
    spec: FunnelSpec,
    interval: Interval,
    *,
    now: datetime,
    by: str | None = None,
    most: int = 10,
    most_rows: int = MOST_ROWS,
) -> FunnelResult:
    """Return how *spec* went for those who took its first step in *interval*.

    Of several tries of a person the one that came furthest counts, of those the first. Steps count up to the end of
    the window, also after the interval.

    Args:
        session: The caller's transaction.
        spec: The funnel.
        interval: In which the first step was taken.
        now: The present.
        by: Property of the first step to split by: one of :data:`PROPERTIES` or ``props.<name>``.
        most: Groups that are told apart; the others are one.
        most_rows: Events that are looked at; where there are more, a share of the people is.

    Raises:
        InputError: If it cannot be a funnel, or there is no such property.
    """
    check(spec)
    if by is not None and by not in PROPERTIES and not by.removeprefix(funnel_sql.PROPS) != by:
        raise InputError(f"{by[:60]!r} is none of {', '.join(PROPERTIES)} and props.<name>; nothing was read.")
    span = Interval(interval.since, min(interval.until + spec.window, max(now, interval.until)))
    parameters: dict[str, Any] = {}
    acts = read_acts(
        session,
        span,
        mark=funnel_sql.mark_sql([(step.kind, step.where) for step in spec.steps], parameters),
        own=funnel_sql.own_sql(by, parameters),
        parameters=parameters,
        most_rows=most_rows,
    )
    best = _best(acts, len(spec.steps), micros(interval.until), spec.window // _MICROSECOND)
    is_over = best.at[:, 0] + best.window <= micros(now)
    last = len(spec.steps)
    costs = _costs(acts, best)
    return FunnelResult(
        interval,
        _steps(spec, acts, best, is_over, costs),
        under_way=_scaled(int(np.sum((best.level < last) & ~is_over)), acts.scale),
        took=_quantiles(_took(best, best.level == last, last - 1, 0)),
        trend=_trend(best, acts.scale, _bucket(interval.length)),
        by=by,
        groups=[] if by is None else _groups(acts, best, _keys(session, by, span, best, most), most),
        sample_ratio=acts.share / SHARES,
        counted=len(best.level),
        conversion_between=wilson(int(np.sum(best.level == last)), len(best.level)) if acts.share < SHARES else None,
        demo=_scaled(int(np.sum(best.is_demo)), acts.scale),
        lost_cost_usd=_money(costs[np.arange(len(best.level)), best.level][best.level < last], acts.scale),
    )


@dataclass(frozen=True, slots=True)
class _Best:
    """The best try of each person who took the first step."""

    entry: Ints
    """Place of its first step among the acts."""
    at: Ints
    """Times of its steps, one row a person; those that were not taken hold anything."""
    level: Ints
    """How many steps were taken."""
    own: Ints
    subject: Ints
    is_demo: Flags
    window: int
    """Microseconds."""
    share: int
    """Of :data:`SHARES` that the people are."""


def _best(acts: Acts, steps: int, entered_until: int, window: int) -> _Best:
    """Follow every first step, each time to the earliest next one, and choose each person's best try."""
    places = [np.flatnonzero(acts.mark & (1 << step)) for step in range(steps)]
    entry = places[0][acts.at[places[0]] < entered_until]
    here, is_on = entry, np.ones(len(entry), dtype=bool)
    level = np.ones(len(entry), dtype=np.int64)
    at = np.zeros((len(entry), steps), dtype=np.int64)
    at[:, 0] = acts.at[entry]
    for step in range(1, steps):
        # Where there is no next step, the first act of all, which is not after this one.
        found = np.append(places[step], 0)[np.searchsorted(places[step], here, side="right")]
        is_on = is_on & (found > here) & (acts.person[found] == acts.person[entry])
        is_on = is_on & (acts.at[found] <= at[:, 0] + window)
        at[:, step] = acts.at[found]
        level += is_on
        here = np.where(is_on, found, here)
    order = np.lexsort((at[:, 0], -level, acts.person[entry]))
    people = acts.person[entry][order]
    first = order[np.concatenate(([True], people[1:] != people[:-1]))] if len(order) else order
    chosen = entry[first]
    return _Best(
        chosen,
        at[first],
        level[first],
        acts.own[chosen],
        acts.subject[chosen],
        acts.is_demo[chosen],
        window,
        acts.share,
    )


def _costs(acts: Acts, best: _Best) -> Floats:
    """Return what was spent on each person up to each step taken, and after the last one; NaN where nothing is known.

    The first column is what the first step itself cost, the one at :attr:`_Best.level` what came after the last step.
    """
    people, steps = best.at.shape
    costs = np.full((people, steps + 1), np.nan)
    known = np.isfinite(acts.cost)
    sums = np.concatenate(([0.0], np.cumsum(np.where(known, acts.cost, 0.0))))
    counts = np.concatenate(([0], np.cumsum(known)))
    done = _rows_until(acts, best, best.at[:, 0] - 1)
    for step in range(steps + 1):
        # After the last step taken, everything up to the end of the window.
        ends = best.at[:, min(step, steps - 1)] if step < steps else best.at[:, 0] + best.window
        ends = np.where(step < best.level, ends, best.at[:, 0] + best.window)
        until = np.maximum(done, _rows_until(acts, best, ends))
        is_meant = (step <= best.level) & (counts[until] > counts[done])
        costs[is_meant, step] = (sums[until] - sums[done])[is_meant]
        done = until
    return costs


def _rows_until(acts: Acts, best: _Best, ends: Ints) -> Ints:
    """Return how many acts there are up to and with the time *ends* of each person."""
    start = acts.at.min(initial=0)
    length = int(acts.at.max(initial=0) - start) + 2
    keys = acts.person * length + (acts.at - start)
    wanted = acts.person[best.entry] * length + np.clip(ends - start, -1, length - 1)
    return np.asarray(np.searchsorted(keys, wanted, side="right"), dtype=np.int64)


def _took(best: _Best, rows: Flags, step: int, since: int) -> Floats:
    """Return the seconds of some people from the step *since* to *step*."""
    return np.asarray((best.at[rows, step] - best.at[rows, since]) / _SECOND, dtype=np.float64)


def _steps(spec: FunnelSpec, acts: Acts, best: _Best, is_over: Flags, costs: Floats) -> list[StepResult]:
    last = _rows_until(acts, best, best.at[:, 0] + best.window) - 1
    results: list[StepResult] = []
    people = [int(np.sum(best.level > step)) for step in range(len(spec.steps))]
    for place, step in enumerate(spec.steps):
        is_left = (best.level == place + 1) & is_over if place + 1 < len(spec.steps) else np.zeros_like(is_over)
        dwell = (acts.at[last[is_left]] - best.at[is_left, place]) / _SECOND
        results.append(
            StepResult(
                step.name,
                _scaled(people[place], acts.scale),
                people[place] / people[0] if people[0] else None,
                people[place] / people[place - 1] if place and people[place - 1] else None,
                _quantiles(_took(best, best.level > place, place, place - 1)) if place else None,
                _scaled(int(np.sum(is_left)), acts.scale),
                _quantiles(dwell),
                _money(costs[best.level > place, place], acts.scale),
            )
        )
    return results


def _trend(best: _Best, scale: float, bucket: timedelta) -> list[Moment]:
    width = bucket // _MICROSECOND
    starts = (best.at[:, 0] - _MONDAY) // width * width + _MONDAY
    last = best.at.shape[1]
    moments = []
    for start in np.unique(starts):
        rows = starts == start
        is_done = rows & (best.level == last)
        took = quantiles(_took(best, is_done, last - 1, 0))
        since = _EPOCH + timedelta(microseconds=int(start))
        entered, converted = _scaled(int(np.sum(rows)), scale), _scaled(int(np.sum(is_done)), scale)
        moments.append(Moment(since, entered, converted, took[1] if took else None))
    return moments


def _keys(session: Session, by: str, span: Interval, best: _Best, most: int) -> list[str | None]:
    """Return the group of each person; only of the greatest groups the names are asked for."""
    if funnel_sql.is_of_leads(by):
        told = funnel_sql.leads_by_person(session, by)
        return [told.get(int(subject)) for subject in best.subject]
    counted = Counter(int(own) for own in best.own if own != funnel_sql.NO_GROUP)
    names = funnel_sql.names_of_groups(session, by, span, [own for own, _ in counted.most_common(most + 1)], best.share)
    return [names.get(int(own), _REST) if own != funnel_sql.NO_GROUP else None for own in best.own]


def _groups(acts: Acts, best: _Best, keys: Sequence[str | None], most: int) -> list[Group]:
    ranked = Counter(key for key in keys if key is not _REST)
    told_apart = {key for key, _ in sorted(ranked.items(), key=lambda item: (-item[1], item[0] or ""))[:most]}
    groups = [_group(key, np.array([own == key for own in keys], dtype=bool), acts, best) for key in told_apart]
    groups.sort(key=lambda group: (-group.people[0], group.key or ""))
    rest = np.array([key not in told_apart for key in keys], dtype=bool)
    return [*groups, _group(OTHER, rest, acts, best)] if rest.any() else groups


def _group(key: str | None, rows: Flags, acts: Acts, best: _Best) -> Group:
    last = best.at.shape[1]
    people = [_scaled(int(np.sum(best.level[rows] > step)), acts.scale) for step in range(last)]
    took = quantiles(_took(best, rows & (best.level == last), last - 1, 0))
    return Group(key, people, took[1] if took else None)


def _bucket(length: timedelta) -> timedelta:
    if length <= _DAYS:
        return timedelta(hours=1)
    return timedelta(days=1) if length <= _WEEKS else timedelta(days=7)


def _money(costs: Floats, scale: float) -> float | None:
    known = costs[np.isfinite(costs)]
    return round(float(known.sum()) * scale, 6) if len(known) else None


def _scaled(count: int, scale: float) -> int:
    return round(count * scale)


def _quantiles(values: Floats) -> Quantiles | None:
    found = quantiles(values)
    return None if found is None else Quantiles(len(values), *found)
