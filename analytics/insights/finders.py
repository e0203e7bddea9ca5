"""From courses to findings: each says what was seen, how much, how sure, and what happened near it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from analytics.core.words import percent, plural, quantity
from analytics.insights import anomaly, regression
from analytics.insights.advice import NOISY_PER_WEEK
from analytics.insights.correlation import Correlation
from analytics.insights.course import Floats, without_shape
from analytics.insights.lines import DAY_STEPS, Line
from analytics.insights.model import Evidence, Finding, Happening, InsightKind, Number, Related, Values
from analytics.insights.outlook import BoundAdvice, Outlook, Resource
from analytics.kpi.model import CellSource, Direction, Kpi

NEWS = timedelta(days=7)
"""Anomalies that ended earlier are no news."""
STILL_NEW = timedelta(days=14)
"""Levels that changed earlier are what is usual now."""
AROUND = timedelta(hours=2)
"""What was noted so near to a change is told with it."""
SHOWN_STEPS = 14 * DAY_STEPS
"""A finding shows so much of its course, at most."""
MOST_RELATED = 12
"""Others that are told with a finding."""
SURE_OF_CAPACITY = 0.9
SOON_DAYS = 90.0
"""A bound that is reached later is no finding."""

_GROWN = {"ratio": "points"}
"""Shares grow by points of a hundred."""

_HOW_ANOMALY = (
    "Chance that none of all steps lies out so far by accident: the tail of earlier distances from their mean is taken"
    " as exponential beyond its 90th percentile."
)
_HOW_SHIFT = (
    "1 less the chance that two equal levels differ so much somewhere in the course: Welch's t of both sides, corrected"
    " for the memory of the hours, times the number of hours."
)
_HOW_CORRELATION = (
    "1 less the p-value of the rank correlation of hourly changes (daily shape taken out, corrected for memory), times"
    " all pairs and lags that were tried."
)
_HOW_FORECAST = (
    "Share of the forecast's distribution beyond the threshold; its width is what earlier forecasts of this figure"
    " missed."
)
_HOW_GROWTH = "1 less the chance that daily values without a trend look like this (Mann-Kendall, corrected for memory)."
_HOW_ADVICE = "Share of the last four weeks that has values: with gaps, alarms are counted too low."


@dataclass(frozen=True, slots=True)
class Note:
    """What somebody or some program noted on the time axis."""

    at: datetime
    title: str
    kind: str
    service: str | None


def anomalies_of(line: Line, notes: Sequence[Note], *, now: datetime) -> Iterator[Finding]:
    """Yield what is unlike all before in the last days of *line*."""
    judged = anomaly.judge(line.values, season=DAY_STEPS, least_sigma=_least_sigma(line.kpi))
    last_step = len(line.values) - 1
    for one in anomaly.anomalies(judged):
        ended = line.at(one.last + 1)
        if ended < now - NEWS:
            continue
        value, usual = float(line.values[one.peak]), float(judged.expected[one.peak])
        is_outside = not float(judged.low[one.peak]) <= value <= float(judged.high[one.peak])
        is_high = value > usual if math.isfinite(usual) else one.is_above
        yield Finding(
            kind=InsightKind.ANOMALY,
            kpi_id=line.kpi.id,
            dim=line.dim,
            key=line.key,
            title=_anomaly_title(line, one, value, usual, is_outside=is_outside, is_high=is_high),
            confidence=one.confidence,
            since=line.at(one.first),
            until=None if one.last >= last_step - 1 else ended,
            is_good=_is_good(line.kpi, is_rise=is_high) if is_outside else None,
            evidence=_evidence(
                line,
                one.first,
                how=_HOW_ANOMALY,
                low=_possible(line, judged.low),
                high=_possible(line, judged.high),
                expected=judged.expected,
                happened=near(notes, line, line.at(one.first)),
                numbers=(
                    Number("Value", value, line.kpi.unit),
                    Number("Usual at this hour", _known(usual), line.kpi.unit),
                    Number("Unlike all before by (standard deviations)", one.score, ""),
                    Number("Lasted (hours)", float(one.last - one.first + 1), ""),
                ),
            ),
        )


def _possible(line: Line, edge: Floats) -> Floats:
    """Return *edge* within what the figure can be, as far as its course tells."""
    least = 0.0 if float(np.nanmin(line.values)) >= 0 else -math.inf
    most = 1.0 if line.kpi.unit == "ratio" and float(np.nanmax(line.values)) <= 1 else math.inf
    return np.clip(edge, least, most)


def _anomaly_title(
    line: Line, one: anomaly.Anomaly, value: float, usual: float, *, is_outside: bool, is_high: bool
) -> str:
    usually = f" (usually {quantity(usual, line.kpi.unit)})" if math.isfinite(usual) else ""
    if is_outside:
        said = f"unusually {'high' if is_high else 'low'}"
    elif "spread" in one.view:
        said = f"unusually {'unsteady' if one.is_above else 'steady'}"
    elif "change" in one.view:
        said = f"{'rose' if one.is_above else 'fell'} more at once than ever before"
    else:
        said = f"{'higher' if one.is_above else 'lower'} for longer than ever before"
    return f"{line.name}: {said}, {quantity(value, line.kpi.unit)}{usually}"


def shifts_of(line: Line, notes: Sequence[Note], *, now: datetime) -> Iterator[Finding]:
    """Yield the levels of *line* that changed in the last two weeks."""
    for one in regression.shifts(line.values, season=DAY_STEPS):
        at = line.at(one.at)
        if at < now - STILL_NEW:
            continue
        is_rise = one.after > one.before
        is_good = _is_good(line.kpi, is_rise=is_rise)
        happened = near(notes, line, at)
        deploy = next((note for note in happened if note.kind == "deploy"), None)
        change = _change(one.before, one.after, line.kpi.unit)
        title = (
            f"{line.name} {'rose' if is_rise else 'fell'} from {quantity(one.before, line.kpi.unit)}"
            f" to {quantity(one.after, line.kpi.unit)}{change}"
        )
        low, high, middle = _levels(line.values, one)
        yield Finding(
            kind=InsightKind.REGRESSION,
            kpi_id=line.kpi.id,
            dim=line.dim,
            key=line.key,
            title=f"{title}, near “{deploy.title}”" if deploy is not None else title,
            confidence=one.confidence,
            since=at,
            until=None if one.until is None else line.at(one.until),
            is_good=is_good,
            evidence=_evidence(
                line,
                one.at,
                how=_HOW_SHIFT,
                low=low,
                high=high,
                expected=middle,
                happened=happened,
                numbers=(
                    Number("Level before", one.before, line.kpi.unit),
                    Number("Level after", one.after, line.kpi.unit),
                    Number("Change (standard deviations)", one.effect, ""),
                ),
            ),
        )


def _levels(values: Floats, one: regression.Shift) -> tuple[Floats, Floats, Floats]:
    """Return the band and the middle of the levels before and after."""
    middle = np.full(len(values), np.nan)
    width = np.full(len(values), np.nan)
    rest = without_shape(values, DAY_STEPS)
    end = one.until or len(values)
    for first, last, level in ((0, one.at, one.before), (one.at, end, one.after)):
        part = rest[first:last]
        known = part[np.isfinite(part)]
        middle[first:last] = level
        width[first:last] = float(known.std()) if known.size else 0.0
    return middle - width, middle + width, middle


def crossing_of(outlook: Outlook) -> Finding | None:
    """Return that a figure is going to pass its bound of warning, if it stands within it now; else None."""
    line, bound = outlook.line, outlook.bound
    if outlook.passes_at is None or bound is None or outlook.is_beyond or outlook.chance < 0.5:  # noqa: PLR2004 - even odds
        return None
    n = len(outlook.middle)
    gap = np.full(len(line.values), np.nan)
    wide = Line(
        kpi=line.kpi,
        start=line.start,
        step=line.step,
        values=np.concatenate([line.values, np.full(n, np.nan)]),
        samples=line.samples,
        includes_demo=line.includes_demo,
    )
    return Finding(
        kind=InsightKind.FORECAST,
        kpi_id=line.kpi.id,
        title=(
            f"{line.name} is expected to pass its bound of warning, {quantity(bound, line.kpi.unit)},"
            f" in {_hours(outlook.passes_at - outlook.read_at)}"
        ),
        confidence=outlook.chance,
        since=outlook.passes_at,
        is_good=False,
        evidence=_evidence(
            wide,
            len(line.values),
            how=_HOW_FORECAST,
            low=np.concatenate([gap, outlook.low]),
            high=np.concatenate([gap, outlook.high]),
            expected=np.concatenate([gap, outlook.middle]),
            bound=bound,
            numbers=(
                Number("Bound of warning", bound, line.kpi.unit),
                Number("Expected at the worst", outlook.worst, line.kpi.unit),
                Number("Missed so far, on average", outlook.error, line.kpi.unit),
            ),
        ),
    )


def correlation_of(found: Correlation, first: Line, second: Line) -> Finding:
    """Return that two figures change together."""
    together = "together" if found.coefficient > 0 else "against each other"
    lag = (
        ""
        if not found.lag
        else f", {(second if found.lag > 0 else first).name} {_hours(timedelta(hours=abs(found.lag)))} later"
    )
    return Finding(
        kind=InsightKind.CORRELATION,
        kpi_id=first.kpi.id,
        title=f"{first.name} and {second.name} change {together}{lag}",
        confidence=1 - found.p_value,
        since=first.start,
        evidence=_evidence(
            first,
            len(first.values),
            how=_HOW_CORRELATION,
            other=second,
            numbers=(
                Number("Rank correlation of hourly changes", found.coefficient, ""),
                Number("Explained", found.coefficient**2, "ratio"),
                Number("Hours compared", float(found.steps), ""),
            ),
        ),
    )


def shortage_of(resource: Resource, *, now: datetime) -> Finding | None:
    """Return that a resource comes to its bound within a quarter of a year; None when it does not, or nobody knows."""
    found, reach = resource.growth, resource.reach
    if found is None or reach is None or found.confidence < SURE_OF_CAPACITY or reach.likely > SOON_DAYS:
        return None
    unit = resource.line.kpi.unit
    if reach.likely <= 0:
        title = f"{resource.line.name} is at its bound, {quantity(resource.bound, unit)}"
    else:
        title = f"{resource.line.name} reaches {quantity(resource.bound, unit)} in about {reach.likely:.0f} days"
    return Finding(
        kind=InsightKind.CAPACITY,
        kpi_id=resource.line.kpi.id,
        title=title,
        confidence=found.confidence,
        since=now + timedelta(days=reach.likely),
        is_good=False,
        evidence=_evidence(
            resource.line,
            len(resource.line.values),
            how=_HOW_GROWTH,
            bound=resource.bound,
            numbers=(
                Number("Now", found.level, unit),
                Number("Growth in 30 days", found.slope * (3000 if unit == "ratio" else 30), _GROWN.get(unit, unit)),
                Number("Bound", resource.bound, unit),
                Number("Earliest (days)", _known(reach.early), ""),
                Number("Latest (days)", _known(reach.late), ""),
            ),
        ),
    )


def noise_of(advice: BoundAdvice, *, now: datetime) -> Finding | None:
    """Return that a bound alarms more than once a day, though the figure is as it always is; else None."""
    kpi, found = advice.line.kpi, advice.advice
    per_week = advice.alarms_per_week_now
    if found is None or per_week is None or per_week < NOISY_PER_WEEK or found.alarms_per_week >= per_week / 2:
        return None
    known = float(np.isfinite(advice.line.values).mean())
    return Finding(
        kind=InsightKind.THRESHOLD,
        kpi_id=kpi.id,
        title=(
            f"{kpi.title} goes beyond {quantity(kpi.warning, kpi.unit)} {per_week:.0f} times a week;"
            f" {quantity(found.warning, kpi.unit)} would fit what is usual ({found.alarms_per_week:.1f} times)"
        ),
        confidence=known,
        since=now,
        evidence=_evidence(
            advice.line,
            len(advice.line.values),
            how=_HOW_ADVICE,
            bound=kpi.warning,
            numbers=(
                Number("Bound of warning now", kpi.warning, kpi.unit),
                Number("Alarms a week now", per_week, ""),
                Number("Bound that would fit", found.warning, kpi.unit),
                Number("Alarms a week then", found.alarms_per_week, ""),
            ),
        ),
    )


def gathered(findings: Sequence[Finding], lines: Mapping[tuple[str, str, str], Line]) -> list[Finding]:
    """Return one finding for all of one kind that began within two hours; the others are told with it.

    What leads is the figure with bounds, then the whole before a part, then the surest.

    Args:
        findings: Anomalies or changes of level.
        lines: The courses by figure, dimension and key.
    """

    def rank(one: Finding) -> tuple[bool, bool, float]:
        line = lines[one.kpi_id, one.dim, one.key]
        return line.kpi.warning is None or not line.is_whole, not line.is_whole, -one.confidence

    left = sorted(findings, key=rank)
    found: list[Finding] = []
    while left:
        lead, rest = left[0], left[1:]
        same = [one for one in rest if abs(one.since - lead.since) <= AROUND]
        left = [one for one in rest if abs(one.since - lead.since) > AROUND]
        found.append(_with(lead, same))
    return found


def _with(lead: Finding, same: Sequence[Finding]) -> Finding:
    if not same:
        return lead
    related = [Related(one.kpi_id, one.dim, one.key, one.title) for one in same[:MOST_RELATED]]
    return replace(
        lead,
        title=f"{lead.title}; {plural(len(same), 'other figure')} with it",
        aliases=[one.subject for one in same],
        evidence=replace(lead.evidence, related=related),
    )


def near(notes: Sequence[Note], line: Line, at: datetime) -> list[Happening]:
    """Return what was noted within two hours of *at* about everything, or about what *line* may belong to.

    Deployments come first, then the nearest.
    """
    found = [
        note
        for note in notes
        if abs(note.at - at) <= AROUND and (note.service is None or not line.key or note.service == line.key)
    ]
    found.sort(key=lambda note: (note.kind != "deploy", abs(note.at - at)))
    return [Happening(note.at, note.title, note.kind, note.service) for note in found[:5]]


def _evidence(
    line: Line,
    place: int,
    *,
    how: str,
    low: Floats | None = None,
    high: Floats | None = None,
    expected: Floats | None = None,
    numbers: Sequence[Number] = (),
    happened: Sequence[Happening] = (),
    bound: float | None = None,
    other: Line | None = None,
) -> Evidence:
    """Return the evidence, with the part of the course about *place*."""
    n = len(line.values)
    first = max(0, min(place - SHOWN_STEPS // 2, n - SHOWN_STEPS))
    last = min(n, first + SHOWN_STEPS)

    def shown(values: Floats | None) -> Values:
        return () if values is None else [_known(value) for value in values[first:last].tolist()]

    return Evidence(
        unit=line.kpi.unit,
        start=line.at(first),
        step=line.step,
        values=shown(line.values),
        samples=line.samples,
        how=how,
        low=shown(low),
        high=shown(high),
        expected=shown(expected),
        numbers=numbers,
        happened=happened,
        bound=bound,
        other_kpi_id=None if other is None else other.kpi.id,
        other_values=() if other is None else shown(other.values),
        includes_demo=line.includes_demo or (other is not None and other.includes_demo),
    )


def _known(value: float) -> float | None:
    """Return *value* to six digits; None when it is not known."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _is_good(kpi: Kpi, *, is_rise: bool) -> bool | None:
    if kpi.direction is Direction.NEITHER:
        return None
    return is_rise is (kpi.direction is Direction.HIGHER)


def _change(before: float, after: float, unit: str) -> str:
    if unit == "ratio" or before == 0:
        return ""
    return f" ({'+' if after > before else '-'}{percent(abs(after - before) / abs(before), places=0)})"


def _least_sigma(kpi: Kpi) -> float:
    """Return the smallest deviation of a figure that matters."""
    match kpi.unit:
        case "ratio":
            return 0.005
        case "count":
            return 2.0 if isinstance(kpi.measure, CellSource) else 1.0
        case _:
            return 0.0


def _hours(length: timedelta) -> str:
    hours = max(1, round(length.total_seconds() / 3600))
    return f"{hours} hour{'' if hours == 1 else 's'}" if hours < 2 * DAY_STEPS else f"{round(hours / DAY_STEPS)} days"
