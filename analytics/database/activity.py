"""Who waits for whom."""

from sqlalchemy.orm import Session

from analytics.database.model import Activity
from analytics.database.section import Section


def activity(session: Session) -> Section[Activity]:
    """Return sessions that wait for locks, those that hold them, and old transactions."""
    raise NotImplementedError
