"""The courses that are looked at: every key figure by hours of four weeks, and its busiest parts by hours of a week."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, floor_time
from analytics.insights.course import Floats
from analytics.kpi.cells import key_of, value_of
from analytics.kpi.model import CellSource, Kpi, KpiSeries
from analytics.kpi.registry import registry
from analytics.kpi.series import many_series
from analytics.rollup.read import DAY, HOUR, Want, read_many, totals
from analytics.sources.prometheus import PromClient

WHOLE = timedelta(days=28)
"""How far back key figures are looked at."""
PARTS = timedelta(days=7)
"""How far back their parts are: as long as the rollup keeps hours of every key."""
DAY_STEPS = 24
MOST_PARTS = 8
"""Of each dimension, the busiest."""
_LOOKED_INTO = ("agent", "model", "workflow", "service")
"""Dimensions whose parts are looked at one by one."""
_MEASURED = {"ratio", "s", "usd"}
"""Units of figures that are looked at by part: shares, times and costs."""
_MADE_OF_OTHERS = {"performance_score"}
"""What is found in it is found in the figures it is made of."""
_LEAST_SAMPLES = {"ratio": 20, "s": 10, "usd": 10}
"""By unit: a step with fewer rows or events is too small to be judged."""
_LEAST_PER_STEP = 3.0
"""Counts below this, on average, jump by themselves."""


@dataclass(frozen=True, slots=True)
class Line:
    """One course: a key figure, whole or one part of it, by hours."""

    kpi: Kpi
    start: datetime
    step: timedelta
    values: Floats
    """Not a number where nothing was measured, or too little to be judged."""
    samples: int
    includes_demo: bool
    dim: str = ""
    key: str = ""

    @property
    def is_whole(self) -> bool:
        """Return whether it is the figure itself, not a part."""
        return not self.dim

    @property
    def name(self) -> str:
        """Return what it is called."""
        return f"{self.kpi.title} of {self.key}" if self.dim else self.kpi.title

    def at(self, place: int) -> datetime:
        """Return the start of a step."""
        return self.start + place * self.step


def whole_hours(length: timedelta, *, now: datetime) -> Interval:
    """Return the last *length* in whole hours that are over."""
    return Interval.last(length, now=floor_time(now, HOUR))


def lines(session: Session, prom: PromClient | None, *, now: datetime) -> list[Line]:
    """Return every course that has enough in it to be looked at, key figures first.

    Args:
        session: The open transaction.
        prom: Where counters are asked for, or None.
        now: The hour that runs is not over, and is left out.
    """
    ids = [item.id for item in registry() if item.id not in _MADE_OF_OTHERS]
    series = many_series(session, prom, ids, whole_hours(WHOLE, now=now), step=HOUR)
    found = [line_of(one) for one in series.values()]
    found += _part_lines(session, [one.kpi for one in series.values()], now)
    return [line for line in found if is_worth_looking(line)]


def line_of(series: KpiSeries) -> Line:
    """Return *series* as a course; steps with too little in them are unknown."""
    values = np.array([np.nan if point.value is None else point.value for point in series.points], dtype=np.float64)
    counts = np.array([point.samples for point in series.points])
    return Line(
        kpi=series.kpi,
        start=series.interval.since,
        step=series.step,
        values=_large_enough(series.kpi, values, counts),
        samples=int(counts.sum()),
        includes_demo=series.includes_demo,
        key=series.key,
    )


def is_worth_looking(line: Line) -> bool:
    """Tell whether there is something to see: two days of values, and of counts more than a few an hour."""
    known = line.values[np.isfinite(line.values)]
    if known.size < 2 * DAY_STEPS or not np.ptp(known) > 0:
        return False
    return line.kpi.unit != "count" or float(known.mean()) >= _LEAST_PER_STEP


def _large_enough(kpi: Kpi, values: Floats, counts: NDArray[np.int_]) -> Floats:
    is_sampled = isinstance(kpi.measure, CellSource) and kpi.measure.cut.startswith("sample.")
    least = 1 if is_sampled else _LEAST_SAMPLES.get(kpi.unit, 0)
    found: Floats = np.where(counts >= least, values, np.nan)
    # Before the first fact nothing was counted: that is not zero.
    found[: int(np.argmax(counts > 0)) if (counts > 0).any() else len(found)] = np.nan
    return found


def _part_lines(session: Session, kpis: Sequence[Kpi], now: datetime) -> Iterator[Line]:
    interval = whole_hours(PARTS, now=now)
    wanted: list[tuple[Kpi, str, str, Want]] = []
    busiest: dict[str, list[str]] = {}
    for item in kpis:
        source = item.measure
        if not isinstance(source, CellSource) or source.key or item.unit not in _MEASURED:
            continue
        for dim in _LOOKED_INTO:
            cut = item.dims.get(dim)
            if cut is None:
                continue
            if cut not in busiest:
                busiest[cut] = [key for key in totals(session, cut, interval, most=MOST_PARTS, now=now) if key]
            wanted += [(item, dim, key, Want(cut, key_of(source, key))) for key in busiest[cut]]
    if not wanted:
        return
    asked = list(dict.fromkeys(want for *_, want in wanted))
    courses = read_many(session, asked, interval, step=HOUR, with_before=False, now=now)
    for item, dim, key, want in wanted:
        course = courses[want]
        if course.total is None or not isinstance(item.measure, CellSource):
            continue
        steps = [value_of(item.measure, cell) for _, cell in course.steps]
        values = np.array([np.nan if value is None else value for value, _ in steps], dtype=np.float64)
        counts = np.array([seen for _, seen in steps])
        yield Line(
            kpi=item,
            start=interval.since,
            step=HOUR,
            values=_large_enough(item, values, counts),
            samples=int(counts.sum()),
            includes_demo=course.total.is_demo,
            dim=dim,
            key=key,
        )


def first_day(line: Line) -> datetime:
    """Return the start of the first UTC day that lies in *line* as a whole."""
    day = floor_time(line.start, DAY)
    return day if day == line.start else day + DAY


def daily(line: Line, *, is_sum: bool) -> Floats:
    """Return *line*, in hours, by whole UTC days: the sum, or what 95 % of the hours stay below.

    A day of which less than half is known is not known; of the others, a sum stands for all hours.
    """
    hours = line.values[int((first_day(line) - line.start) / line.step) :]
    grid = hours[: len(hours) // DAY_STEPS * DAY_STEPS].reshape(-1, DAY_STEPS)
    found = np.full(len(grid), np.nan)
    for place, day in enumerate(grid):
        known = day[np.isfinite(day)]
        if known.size >= DAY_STEPS / 2:
            found[place] = float(known.mean()) * DAY_STEPS if is_sum else float(np.quantile(known, 0.95))
    return found
