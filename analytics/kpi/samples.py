"""Metrics that programs send: each sample with name, value, unit, time and tags, checked one by one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

MOST_SAMPLES = 1_000
"""In one call."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A sample that was not taken."""

    index: int
    """Its place in the call, from 0."""
    path: str
    """The field that is wrong; empty for the whole."""
    reason: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a call."""

    accepted: int
    rejected: Sequence[Rejected]


def take_samples(session: Session, rows: Sequence[Any], *, now: datetime) -> Taken:
    """Keep the samples that can be used, and say what is wrong with each of the others.

    A sample has ``name`` (lower case, dots and underscores), ``value`` (a finite number), and may have ``unit``, ``at``
    (with a time zone; the present when missing), ``tags`` (texts), ``warning`` and ``critical`` (numbers), ``id`` (a
    UUID; sent again with the same time, it counts once).

    Raises:
        InputError: If there are more than 1,000; nothing was kept.
    """
    raise NotImplementedError
