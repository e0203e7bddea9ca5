"""Keep the rollup in step with the facts: sum hours that were marked, close days that are over.

Whoever writes facts marks their hours in the same transaction (triggers of the store). The upkeep takes marks and sums
their hours from the raw rows in one transaction, so that nothing is lost or counted twice when it is killed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Engine

CLOSE_AFTER = timedelta(hours=26)
"""A day is closed so long after its end; later facts of it have the whole day summed again."""
LATE_EVERY = timedelta(minutes=10)
"""Closed days with late facts are summed again no more often than this, for each source."""


@dataclass(frozen=True, slots=True)
class UpkeepReport:
    """What one upkeep did."""

    hours: Mapping[str, int] = field(default_factory=dict)
    """Hours summed, by source."""
    closed_days: int = 0
    """Days closed, over all sources."""
    late_days: int = 0
    """Closed days that were summed again."""
    dropped_marks: int = 0
    """Marks of times of which no raw rows are kept any more; their cells stay as they are."""


def keep_up(
    engine: Engine,
    *,
    now: datetime,
    late_every: timedelta = LATE_EVERY,
    keep_hours: timedelta = timedelta(days=100),
) -> UpkeepReport:
    """Bring the cells in step with the facts.

    Safe to run twice, at once, and after having been killed at any point: marks are deleted in the transaction that
    writes the cells. A backlog goes day by day, a transaction each.

    Args:
        engine: The store.
        now: The present.
        late_every: How long to wait before a closed day is summed again; zero does it at once.
        keep_hours: Cells by hour are not written for days older than this.

    Raises:
        DependencyError: If PostgreSQL is away; what was summed before stays.
    """
    raise NotImplementedError


def rebuild(
    engine: Engine, *, since: datetime, until: datetime, sources: Sequence[str] | None = None, now: datetime
) -> UpkeepReport:
    """Sum all hours of ``[since, until)`` again from the raw rows, as if all of them had been marked.

    Raises:
        InputError: If there is no such source, or the interval is reversed.
        DependencyError: If PostgreSQL is away; what was summed before stays.
    """
    raise NotImplementedError
