"""How contexts are used: creation and access, hierarchy, lifecycle."""

from datetime import datetime

from sqlalchemy.orm import Session

from analytics.contexts.model import ContextUsage


def usage(
    session: Session, *, days: int = 30, include_patterns: bool = True, now: datetime | None = None
) -> ContextUsage:
    """Return how contexts were used in the last *days* days.

    Raises:
        InputError: If *days* is not 1 to 400.
    """
    raise NotImplementedError
