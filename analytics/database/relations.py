"""Tables: their size, growth, dead rows and bloat."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from analytics.database.model import TableState
from analytics.database.section import Section


def tables(session: Session, *, now: datetime, limit: int = 50) -> Section[Sequence[TableState]]:
    """Return the largest tables."""
    raise NotImplementedError


def sample_sizes(session: Session, *, now: datetime) -> int:
    """Store the size of each large table as a metric sample; return how many. For the scheduler, hourly."""
    raise NotImplementedError
