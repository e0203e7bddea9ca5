"""The history of an objective that nobody has saved, straight from its source."""

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from analytics.core.clock import Interval, floor_time
from analytics.core.errors import DependencyError
from analytics.slo import corrections, ledger
from analytics.slo.history import History, history_of
from analytics.slo.ingest import CLOSED_AFTER
from analytics.slo.model import BUCKET, CompositeEvents, Objective, SqlEvents
from analytics.slo.sources import postgres, prometheus
from analytics.slo.sources.reading import Reading
from analytics.sources.prometheus import PromClient


def preview(
    objective: Objective, *, session: Session, prom: PromClient | None, now: datetime, days: int = 30
) -> History:
    """Return the 5-minute history of *objective* over the last *days* closed at *now*; nothing is written.

    Corrections are taken out. The members of a composite come from the ledger. Groups are not told apart.

    Raises:
        DependencyError: If its source is away.
        InputError: If its source refuses what it asks.
        PolicyError: If it reads a table that holds secrets.
    """
    closed = floor_time(now - CLOSED_AFTER, BUCKET)
    interval = Interval(closed - timedelta(days=days), closed)
    if isinstance(objective.indicator, CompositeEvents):
        return ledger.histories(session, [objective], interval)[objective.id]
    reading = read_source(objective, interval, session=session, prom=prom)
    if reading.error is not None:
        raise reading.error
    excluded = corrections.exclusions(session, [objective], interval).get(objective.id, ())
    return history_of(objective, interval, reading.whole, exclusions=excluded)


def read_source(objective: Objective, interval: Interval, *, session: Session, prom: PromClient | None) -> Reading:
    """Return what the source of *objective*, which is no composite, says of *interval*.

    Raises:
        DependencyError: If PostgreSQL is away, or there is no Prometheus.
    """
    if isinstance(objective.indicator, SqlEvents):
        return postgres.read(session, objective, interval, is_first=True)
    if prom is None:
        raise DependencyError(
            "No Prometheus is set up, so nothing was read; set HELMSIGHT_PROMETHEUS__URL.", part="prometheus"
        )
    return prometheus.read(prom, [objective], interval)[objective.id]
