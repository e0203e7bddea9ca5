"""The history of an objective that nobody has saved, straight from its source."""

from datetime import datetime

from sqlalchemy.orm import Session

from analytics.slo.history import History
from analytics.slo.model import Objective
from analytics.sources.prometheus import PromClient


def preview(
    objective: Objective, *, session: Session, prom: PromClient | None, now: datetime, days: int = 30
) -> History:
    """Return the 5-minute history of *objective* over the last *days* closed at *now*; nothing is written.

    Corrections are taken out. The members of a composite come from the ledger. Groups are not told apart.

    Raises:
        DependencyError: If its source is away.
        InputError: If its source refuses what it asks.
    """
    raise NotImplementedError
