"""One event as it is taken in: what it may hold, checked field by field, so that the rest of a batch goes in."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

CLOCK_SLACK = timedelta(minutes=5)
"""So far the clock of a sender may be ahead of ours."""
MOST_SHOWN = 100
"""Rejected rows that an answer names; the others are counted."""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that can be stored."""

    id: uuid.UUID
    """Made of the source and of what the source calls it: the same event has the same id, however often it is told."""
    at: datetime
    kind: str
    """Dotted, such as ``web.page_view``."""
    source: str
    subject: str | None = None
    """The person, lead or context it is about."""
    project_id: uuid.UUID | None = None
    props: Mapping[str, Any] = field(default_factory=dict)
    service: str | None = None
    duration_ms: float | None = None
    cost_usd: float | None = None
    """None when it is not known; never 0 for that."""
    is_timed: bool = True
    """False when its sender did not say when it happened, so that *at* is when we were told."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was not taken, and why."""

    index: int
    """Its place in the batch, from 0; of a file the line it begins in, from 1."""
    id: str | None
    """What its sender calls it, shortened; None when that cannot be read."""
    path: str
    """The field, such as ``data.duration_ms``; empty for the whole row."""
    reason: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch: ``received == stored + known + rejected``."""

    received: int
    stored: int
    known: int
    """Told before, in this batch or an earlier one; nothing was changed by them."""
    rejected: int
    problems: Sequence[Rejected] = ()
    """The first :data:`MOST_SHOWN` of those rejected."""
    leads: int = 0
    """Leads that were added or changed."""
    contexts: int = 0
    """Contexts that were added or changed."""
