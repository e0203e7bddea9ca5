"""What somebody should look at."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from analytics.database.model import Finding


def database_findings(session: Session, *, now: datetime) -> Sequence[Finding]:
    """Return what is wrong with the database, the worst first; empty when nothing was found."""
    raise NotImplementedError
