"""Paths: what people do next, step by step, and what steps and services cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

from analytics.core.clock import Interval

SESSION_GAP = timedelta(minutes=30)
"""After so long without an event, what a person does next begins a new visit."""


@dataclass(frozen=True, slots=True)
class Link:
    """How many visits went from one kind of event to the next at one place of the way."""

    depth: int
    """Place of the first of the two, from 0."""
    source: str
    """Kind of event; ``other`` for those that are rare."""
    target: str | None
    """None: the visit ended here."""
    n: int
    people: int
    took_s: float | None
    """Median between the two, seconds; None at an end."""


@dataclass(frozen=True, slots=True)
class Paths:
    """What people did after a first event, or from the beginning of their visits."""

    interval: Interval
    start: str | None
    links: Sequence[Link]
    """By depth, those with most visits first."""
    visits: int
    people: int
    sample_ratio: float
    demo: int


def paths(
    session: Session,
    interval: Interval,
    *,
    start: str | None = None,
    depth: int = 4,
    most: int = 6,
    gap: timedelta = SESSION_GAP,
) -> Paths:
    """Return the ways that visits took in *interval*.

    Args:
        session: The caller's transaction.
        interval: In which the events happened.
        start: Kind of event from which on visits are looked at; None: from their beginning.
        depth: Steps that are followed, 1 to 8.
        most: Kinds told apart at each step; the others are one.
        gap: So long without an event ends a visit.
    """
    raise NotImplementedError
