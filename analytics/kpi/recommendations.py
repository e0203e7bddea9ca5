"""What to do for a better score: rules with a measured trigger, the evidence and what they would bring.

The expected gain is the score's own formula with the figure as it would be afterwards, so it is in points of the
score. Nothing is recommended without a number that says why.

The rules: ``below_target`` for a figure that earns less than 90 points; ``worst_part`` where one agent, model or other
part of a figure does worse than the rest beyond chance; ``not_measured`` where a source is not there; and whatever was
found elsewhere, handed in as a :class:`Cause`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.core.words import duration, number, percent, plural, quantity
from analytics.kpi.model import Direction, Kpi, KpiReading, KpiState
from analytics.kpi.score import HEADROOM, TARGET, Part, Score, gain_of
from analytics.kpi.split import MOST_KEYS, read_by
from analytics.sources.prometheus import PromClient

LEAST_GAIN = 0.05
"""Points; what brings less is not worth a line."""
LEAST_SAMPLES = 30
"""A part with fewer is not judged."""
BEYOND_CHANCE = 3.0
"""Standard errors that a part must lie off the rest to be named."""
_MOST_SPLIT = 3
_MOST_NAMED = 3
_MOST_DIMS = 2
_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class Cause:
    """Something measured elsewhere that explains a figure: a finding, advice on the database, one bad agent."""

    rule: str
    """Id of the rule, such as ``regression`` or ``missing_index``."""
    kpi_id: str
    """Of the figure; empty when it is not about one."""
    title: str
    """What to do, as an order: ``Look at release 1.4``."""
    evidence: str
    """What was measured, with its numbers and units."""
    page: str
    """Key of the page where it can be done or looked at."""
    params: Mapping[str, str] = field(default_factory=dict)
    value_after: float | None = None
    """What the figure would be; None when that is not known."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """The evidence for programs."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One thing to do."""

    rule: str
    kpi_id: str
    title: str
    evidence: str
    gain: float | None
    """Points of the score; None when the effect cannot be computed."""
    value: float | None
    """What the figure is now."""
    value_after: float | None
    """What it would be."""
    unit: str
    page: str
    params: Mapping[str, str]
    numbers: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Advice:
    title: str
    page: str
    params: Mapping[str, str] = field(default_factory=dict)


_ADVICE: Mapping[str, _Advice] = {
    "run_success": _Advice("Find out why runs fail", "runs", {"status": "failed"}),
    "run_p95": _Advice("Shorten the longest step of the runs that take long", "runs"),
    "agents": _Advice("Look at the agents that fail or take long", "agents"),
    "models": _Advice("Look at the models whose calls fail or take long", "analytics"),
    "business": _Advice("Look at what keeps people from getting to the end", "journeys"),
    "http": _Advice("Look at the endpoints that fail or answer slowly", "performance"),
    "cache": _Advice("Let answers stand longer, or keep more of them", "performance"),
    "database": _Advice("Look at slow statements and at the pools", "database"),
    "workflows": _Advice("Find out which workflows fail or take long", "workflows"),
    "jobs": _Advice("Start more workers, or look at what holds them up", "queue"),
    "mcp": _Advice("Look at the servers that fail or do not answer", "mcp"),
    "system": _Advice("Give the host more, or let it do less", "operations"),
}
"""What to look at, by figure or by group."""


def recommend(score: Score, causes: Sequence[Cause] = (), *, most: int = 10) -> list[Recommendation]:
    """Return what to do, what brings most first; nothing when all figures with data are on target.

    What brings a known gain stands before what does not.

    Args:
        score: The score, with its parts.
        causes: What is known besides the figures.
        most: How many at most.
    """
    made = [
        _recommendation(score, cause)
        for cause in chain(
            (_below_target(score, part) for part in score.parts if part.points is not None and part.points < TARGET),
            causes,
            _not_measured(score),
        )
    ]
    worth = [item for item in made if item.gain is None or item.gain >= LEAST_GAIN]
    return sorted(worth, key=lambda item: (item.gain is None, -(item.gain or 0.0)))[:most]


def worst_parts(session: Session, prom: PromClient | None, score: Score, interval: Interval) -> list[Cause]:
    """Return the agents, models and so on that drag down the figures that cost the score most; one query a split.

    Args:
        session: The open transaction.
        prom: Where counters are asked for, or None.
        score: The score over *interval*.
        interval: The time to look at.
    """
    dear = [
        part.reading
        for part in score.parts
        if part.points is not None and part.points < TARGET and part.kpi.unit == "ratio" and part.kpi.dims
    ]
    found = [
        worst_part(whole, dim, read_by(session, prom, whole.kpi.id, dim, interval, most=MOST_KEYS))
        for whole in dear[:_MOST_SPLIT]
        for dim in _simple(whole.kpi)
    ]
    return [cause for cause in found if cause is not None]


def worst_part(whole: KpiReading, dim: str, parts: Sequence[KpiReading]) -> Cause | None:
    """Return which of *parts* lowers a share most, if it lies off the rest beyond chance; else None.

    If it did as the others do together, the whole would be as they are: that is the expected effect.

    Args:
        whole: The share over all, 0 to 1.
        dim: By what it was split, such as ``agent``.
        parts: The share of each value of *dim*.
    """
    named = [(part, rest) for part in parts if (rest := _rest_of(whole, part)) is not None]
    worse = [(part, rest) for part, rest in named if _is_worse_beyond_chance(part, rest)]
    if not worse or whole.value is None:
        return None
    value = whole.value
    part, rest = max(worse, key=lambda pair: abs(pair[1] - value))
    kpi, key = whole.kpi, part.key.replace(_SEPARATOR, ", ") or "that is not named"
    name = dim.replace("_", " ")
    return Cause(
        rule="worst_part",
        kpi_id=kpi.id,
        title=f"Look at the {name} {key}",
        evidence=(
            f"{kpi.title}: {percent(part.value)} for the {name} {key} ({plural(part.samples, 'sample')}),"
            f" {percent(rest)} for all others ({plural(whole.samples - part.samples, 'sample')})."
        ),
        page="overview",
        params={"kpi": kpi.id, "by": dim},
        value_after=rest,
        numbers={"part": part.value or 0.0, "part_samples": part.samples, "others": rest, "whole": value},
    )


def _simple(kpi: Kpi) -> list[str]:
    """Return the first dimensions whose values have names: not projects, which have ids."""
    return [dim for dim in kpi.dims if dim != "project"][:_MOST_DIMS]


def _rest_of(whole: KpiReading, part: KpiReading) -> float | None:
    """Return the share of all but *part*; None when one of the two is too small to be judged."""
    others = whole.samples - part.samples
    if whole.value is None or part.value is None or part.samples < LEAST_SAMPLES or others < LEAST_SAMPLES:
        return None
    return min(1.0, max(0.0, (whole.value * whole.samples - part.value * part.samples) / others))


def _is_worse_beyond_chance(part: KpiReading, rest: float) -> bool:
    """Tell whether a part as good as the rest would hardly ever look like this one.

    The standard error of a share near 0 or 1 is taken as that of one event more, so that a perfect rest is no proof.
    """
    if part.value is None:
        return False
    share = min(max(rest, 1 / part.samples), 1 - 1 / part.samples)
    error = math.sqrt(share * (1 - share) / part.samples)
    worse_by = part.value - rest if part.kpi.direction is Direction.LOWER else rest - part.value
    return worse_by > BEYOND_CHANCE * error


def _below_target(score: Score, part: Part) -> Cause:
    kpi, reading = part.kpi, part.reading
    advice = _advice(kpi)
    sign = "at most" if kpi.direction is Direction.LOWER else "at least"
    evidence = (
        f"{kpi.title} is {quantity(reading.value, kpi.unit)} over {duration(reading.interval.length)}"
        f" ({plural(reading.samples, 'sample')}); the target is {sign} {quantity(kpi.target, kpi.unit)}."
        f" It costs {number(part.lost)} points."
    )
    if score.limited_by is part:
        evidence += (
            f" The score is held to {HEADROOM:.0f} above it, its worst figure: {number(score.limit_lost)} points more."
        )
    return Cause(
        rule="below_target",
        kpi_id=kpi.id,
        title=advice.title,
        evidence=evidence,
        page=advice.page,
        params=advice.params,
        value_after=kpi.target,
        numbers={"lost": part.lost, "samples": reading.samples},
    )


def _not_measured(score: Score) -> list[Cause]:
    missing = [part.kpi for part in score.parts if part.reading.state is KpiState.NO_SOURCE]
    if not missing:
        return []
    names = ", ".join(kpi.title for kpi in missing[:_MOST_NAMED])
    more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
    sources = " and ".join(sorted({kpi.source for kpi in missing}))
    return [
        Cause(
            rule="not_measured",
            kpi_id="",
            title=f"Let {sources} measure what is not measured",
            evidence=f"{percent(score.unsourced)} of the score's weight has no source: {names}{more}.",
            page="admin",
            numbers={"share": score.unsourced, "figures": len(missing)},
        )
    ]


def _advice(kpi: Kpi) -> _Advice:
    known = _ADVICE.get(kpi.id) or _ADVICE.get(kpi.group)
    return known or _Advice(f"Look at what moves {kpi.title}", "overview", {"kpi": kpi.id})


def _recommendation(score: Score, cause: Cause) -> Recommendation:
    part = next((part for part in score.parts if part.kpi.id == cause.kpi_id), None)
    return Recommendation(
        rule=cause.rule,
        kpi_id=cause.kpi_id,
        title=cause.title,
        evidence=cause.evidence,
        gain=None if cause.value_after is None else gain_of(score, cause.kpi_id, cause.value_after),
        value=None if part is None else part.reading.value,
        value_after=cause.value_after,
        unit="" if part is None else part.kpi.unit,
        page=cause.page,
        params=cause.params,
        numbers=cause.numbers,
    )
