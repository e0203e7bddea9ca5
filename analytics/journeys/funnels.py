"""Funnels: how many people take the steps of a way in order and in time, where they leave, what each step costs."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from analytics.core.clock import Interval


@dataclass(frozen=True, slots=True)
class Step:
    """What an event has to be to count as a step."""

    kind: str
    """Of the event; ``web.*`` means all that begin so."""
    label: str = ""
    """What it is called; empty: its kind."""
    where: Mapping[str, str] = field(default_factory=dict)
    """What else it must be: ``source``, ``service`` or ``props.<name>``, by value."""


@dataclass(frozen=True, slots=True)
class FunnelSpec:
    """Two to ten steps in order, and how long people have from the first to the last."""

    steps: Sequence[Step]
    window: timedelta


@dataclass(frozen=True, slots=True)
class SavedFunnel:
    """A funnel that somebody defined."""

    id: uuid.UUID
    name: str
    spec: FunnelSpec
    updated_at: datetime
    updated_by: str
    origin: str


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
    by: str | None
    groups: Sequence[Group]
    sample_ratio: float
    """1: everybody was counted; less: that share of people, chosen by a hash, and counts are scaled up."""
    demo: int
    """How many of those who entered are of the demo history."""
    lost_cost_usd: float | None
    """What was spent on people after the last step they took, when they did not convert."""

    @property
    def conversion(self) -> float | None:
        """Return the share that took all steps; None when nobody took the first."""
        return self.steps[-1].of_first


def measure(
    session: Session, spec: FunnelSpec, interval: Interval, *, now: datetime, by: str | None = None, most: int = 10
) -> FunnelResult:
    """Return how *spec* went for those who took its first step in *interval*.

    Of several tries of a person the one that came furthest counts, of those the first. Steps count up to the end of
    the window, also after the interval.

    Args:
        session: The caller's transaction.
        spec: The funnel.
        interval: In which the first step was taken.
        now: The present.
        by: Property of the first step to compare by: ``source``, ``service``, ``project``, ``props.<name>``,
            ``lead.score``, ``lead.source``, ``lead.owner`` or ``lead.status``.
        most: Groups that are told apart; the others have the key ``other``.
    """
    raise NotImplementedError


def list_funnels(session: Session) -> list[SavedFunnel]:
    """Return the funnels that are saved, by name."""
    raise NotImplementedError


def save_funnel(
    session: Session, name: str, spec: FunnelSpec, *, actor: str, funnel_id: uuid.UUID | None = None
) -> SavedFunnel:
    """Store a new funnel, or change *funnel_id*.

    Raises:
        InputError: If it cannot be one; nothing was stored.
        ConflictError: If another has the name.
        NotFoundError: If there is no *funnel_id*.
    """
    raise NotImplementedError


def delete_funnel(session: Session, funnel_id: uuid.UUID, *, actor: str) -> None:
    """Remove a funnel.

    Raises:
        NotFoundError: If there is none.
    """
    raise NotImplementedError
