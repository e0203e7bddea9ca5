"""Funnels: how many people take the steps of a way in order and in time, where they leave, what each step costs.

A person is the subject of its events. From each time it takes the first step the earliest next step is looked for, and
so on; a try counts as far as its steps lie in the window from its beginning. Two steps may happen at the same instant,
but one event is never two steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.core.errors import InputError
from analytics.journeys import funnel_sql
from analytics.rollup import read as rollup

MOST_STEPS = 10
LONGEST_WINDOW = timedelta(days=90)
MOST_ROWS = 300_000
"""Events that are looked at for one answer; where there are more, a share of the people is."""
OTHER = "other"
PROPERTIES = ("source", "service", "project", "lead.score", "lead.source", "lead.owner", "lead.status")
"""What funnels can be split by, besides ``props.<name>``."""

_LONGEST_TEXT = 200
_DAYS = timedelta(days=2)
_WEEKS = timedelta(days=100)


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
    until = min(interval.until + spec.window, max(now, interval.until))
    share = _share(session, spec, Interval(interval.since, until), most_rows)
    asked = funnel_sql.Asked(
        [(step.kind, step.where) for step in spec.steps],
        interval=interval,
        until=until,
        window=spec.window,
        now=now,
        by=by,
        most=most,
        share=share,
        bucket=_bucket(interval.length),
    )
    rows = session.execute(text(asked.counts()), asked.parameters).all()
    whole = next(row for row in rows if row.part == funnel_sql.WHOLE)
    ends = {row.level: row for row in session.execute(text(asked.ends()), asked.parameters)} if whole.n else {}
    scale = funnel_sql.SHARES / share
    return FunnelResult(
        interval,
        _steps(spec, whole, ends, scale),
        under_way=_scaled(whole.under_way, scale),
        took=_quantiles(whole.people[-1], whole.took_all),
        trend=[
            Moment(row.bucket, _scaled(row.people[0], scale), _scaled(row.people[-1], scale), _median(row.took_all))
            for row in sorted((row for row in rows if row.part == funnel_sql.BUCKET), key=lambda row: row.bucket)
        ],
        by=by,
        groups=[] if by is None else _groups(rows, scale),
        sample_ratio=share / funnel_sql.SHARES,
        counted=whole.n,
        demo=_scaled(whole.demo, scale),
        lost_cost_usd=_lost(len(spec.steps), ends, scale),
    )


def _share(session: Session, spec: FunnelSpec, span: Interval, most_rows: int) -> int:
    """Return how many of 1,024 people are to be looked at, by how many events of these kinds there are."""
    expected = 0
    for kind, cell in rollup.totals(session, "event.kind", span).items():
        if any(_is_kind(step.kind, kind) for step in spec.steps):
            expected += cell.n
    if expected <= most_rows:
        return funnel_sql.SHARES
    return max(1, funnel_sql.SHARES * most_rows // expected)


def _is_kind(wanted: str, kind: str) -> bool:
    return kind.startswith(wanted[:-1]) if wanted.endswith("*") else kind == wanted


def _bucket(length: timedelta) -> timedelta:
    if length <= _DAYS:
        return timedelta(hours=1)
    return timedelta(days=1) if length <= _WEEKS else timedelta(days=7)


def _steps(spec: FunnelSpec, whole: Row[Any], ends: Mapping[int, Row[Any]], scale: float) -> list[StepResult]:
    results = []
    first = whole.people[0]
    for place, step in enumerate(spec.steps):
        people, before = whole.people[place], whole.people[place - 1] if place else None
        end = ends.get(place + 1)
        left = 0 if end is None or place == len(spec.steps) - 1 else end.n_left
        results.append(
            StepResult(
                step.name,
                _scaled(people, scale),
                people / first if first else None,
                people / before if before else None,
                _quantiles(people, getattr(whole, f"took_{place}")) if place else None,
                _scaled(left, scale),
                _quantiles(left, end.dwell) if end is not None and left else None,
                _cost([row.costs[place] for level, row in ends.items() if level > place], scale),
            )
        )
    return results


def _groups(rows: Sequence[Row[Any]], scale: float) -> list[Group]:
    found = [
        (row.people[0], Group(_key(row.grp), [_scaled(n, scale) for n in row.people], _median(row.took_all)))
        for row in rows
        if row.part == funnel_sql.GROUP
    ]
    return [group for _, group in sorted(found, key=lambda item: (item[1].key == OTHER, -item[0], item[1].key or ""))]


def _key(marked: str) -> str | None:
    if marked == funnel_sql.REST:
        return OTHER
    return None if marked == funnel_sql.NONE else marked[1:]


def _lost(steps: int, ends: Mapping[int, Row[Any]], scale: float) -> float | None:
    return _cost([row.costs[level] for level, row in ends.items() if level < steps], scale)


def _cost(costs: Sequence[Any], scale: float) -> float | None:
    known = [float(cost) for cost in costs if cost is not None]
    return sum(known) * scale if known else None


def _scaled(count: int, scale: float) -> int:
    return round(count * scale)


def _median(took: Sequence[float] | None) -> float | None:
    return None if took is None else took[1]


def _quantiles(n: int, values: Sequence[float] | None) -> Quantiles | None:
    return None if values is None else Quantiles(n, *values)
