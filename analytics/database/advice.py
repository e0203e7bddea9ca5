"""Which index statements would use, as their plans say."""

from sqlalchemy.orm import Session

from analytics.database.model import AdviceReport
from analytics.database.section import Section


def index_advice(session: Session, *, most: int = 50) -> Section[AdviceReport]:
    """Return indexes that the dearest statements of our role would use."""
    raise NotImplementedError
