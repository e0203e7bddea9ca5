"""Input and output, from ``pg_stat_io``."""

from sqlalchemy.orm import Session

from analytics.database.model import IoReport
from analytics.database.section import Section


def io_report(session: Session) -> Section[IoReport]:
    """Return what was read and written, by kind of process."""
    raise NotImplementedError
