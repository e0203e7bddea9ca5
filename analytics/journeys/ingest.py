"""Taking events in: CloudEvents and plain ones, each once however often it is told, leads and contexts with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from analytics.journeys.events import NewEvent, Rejected, Taken


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of events that were fit to be stored."""

    new: Sequence[NewEvent]
    """Those that were not there yet, for what waits for them."""
    known: int
    leads: int
    contexts: int


def take_in(
    session: Session,
    rows: Sequence[Mapping[str, Any]],
    *,
    now: datetime,
    oldest: datetime,
    rejected: Sequence[Rejected] = (),
) -> tuple[Taken, Sequence[NewEvent]]:
    """Check *rows*, CloudEvents or plain ones, store those that are fit, and tell what became of each.

    Safe to run twice, also at once: an event is known by its source and id.

    Args:
        session: The caller's transaction; nothing is half-applied.
        rows: As they came.
        now: The present.
        oldest: Events before it are refused, because their month is not kept.
        rejected: Rows that could not even be read, to be told of with the others.

    Returns:
        The report, and the events that are new.
    """
    raise NotImplementedError


def store(session: Session, events: Sequence[NewEvent]) -> Stored:
    """Store *events* in the caller's transaction, with the leads and contexts they tell of."""
    raise NotImplementedError
