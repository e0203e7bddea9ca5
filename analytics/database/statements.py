"""The statements that cost the most, from ``pg_stat_statements``."""

from sqlalchemy.orm import Session

from analytics.database.model import Order, Statements, Whose
from analytics.database.section import Section


def statements(
    session: Session, *, order: Order = "total", whose: Whose = "all", limit: int = 20
) -> Section[Statements]:
    """Return statements of this database, the dearest first."""
    raise NotImplementedError
