"""What to do for a better score: rules with a measured trigger, the evidence and what they would bring.

The expected gain is the score's own formula with the figure as it would be afterwards, so it is in points of the
score. Nothing is recommended without a number that says why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from analytics.kpi.score import Score


@dataclass(frozen=True, slots=True)
class Cause:
    """Something measured elsewhere that explains a figure: a finding, advice on the database, one bad agent."""

    rule: str
    """Id of the rule, such as ``regression`` or ``missing_index``."""
    kpi_id: str
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
    page: str
    params: Mapping[str, str]
    numbers: Mapping[str, float]


def recommend(score: Score, causes: Sequence[Cause] = ()) -> list[Recommendation]:
    """Return what to do, what brings most first; nothing when all figures with data are on target.

    Args:
        score: The score, with its parts.
        causes: What is known besides the figures.
    """
    raise NotImplementedError
