"""Indexes that cost more than they bring."""

from sqlalchemy.orm import Session

from analytics.database.model import IndexReport
from analytics.database.section import Section


def index_findings(session: Session) -> Section[IndexReport]:
    """Return unused, duplicate and invalid indexes."""
    raise NotImplementedError
