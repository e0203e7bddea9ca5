"""One key figure by agent, model, source, …, and the rows behind it."""

from typing import Any

from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.kpi.model import KpiReading
from analytics.sources.prometheus import PromClient

MOST_KEYS = 100


def read_by(
    session: Session, prom: PromClient | None, kpi_id: str, dim: str, interval: Interval, *, most: int = 20
) -> list[KpiReading]:
    """Return a reading of *kpi_id* for each value of *dim* (``key``), those with the most samples first.

    They have neither trend nor earlier value. Parts of a pair, such as agent and task kind, are joined by U+001F.
    Without an answer of the source there are none.

    Args:
        session: The open transaction.
        prom: Where counters are asked for, or None.
        kpi_id: The figure.
        dim: One of its ``dims``.
        interval: The time to look at.
        most: How many at most; 1 to 100.

    Raises:
        NotFoundError: If there is no such figure, or it cannot be split by *dim*; says by what it can.
    """
    raise NotImplementedError


def kpi_rows(
    session: Session, kpi_id: str, interval: Interval, *, dim: str = "", key: str = "", limit: int, after: Any = None
) -> list[dict[str, Any]]:
    """Return the raw rows that a reading rests on, newest first.

    Raises:
        NotFoundError: If there is no such figure, or it comes from Prometheus, which keeps no rows.
    """
    raise NotImplementedError
