"""What policies and targets are tried on: what the ledger holds of objectives, and what is known to have gone wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from analytics.core.clock import Interval, floor_time
from analytics.slo import ledger
from analytics.slo.backtest import Incident
from analytics.slo.history import History
from analytics.slo.model import BUCKET, AlertPolicy, Objective
from analytics.slo.windows import windows_of
from analytics.store.paging import MAX_LIMIT
from analytics.store.queries.annotations import list_annotations

_MOMENT = timedelta(hours=1)
"""How long an incident counts for that is noted as a moment."""


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """The past of one objective."""

    history: History
    """By five minutes; longer than what is judged, so that the first windows are full."""
    since: datetime
    """From when to judge."""
    incidents: Sequence[Incident]
    """What is known to have gone wrong with its service, oldest first."""


def trials(
    session: Session,
    objectives: Sequence[Objective],
    *,
    now: datetime,
    days: int = 30,
    policy: AlertPolicy | None = None,
) -> dict[str, Trial]:
    """Return what to try on, by objective.

    Args:
        session: The open transaction.
        objectives: Whose past.
        now: Its end.
        days: How much of it to judge.
        policy: One whose windows are to be full from the start, besides the objectives' own.
    """
    until = floor_time(now, BUCKET)
    since = until - timedelta(days=days)
    own = (window for objective in objectives for window in windows_of(objective))
    tried = (pair.long for pair in (policy.pairs if policy is not None else None) or ())
    lead = max((*own, *tried), default=timedelta(0))
    histories = ledger.histories(session, objectives, Interval(since - lead, until))
    return {
        item.id: Trial(histories[item.id], since, known_incidents(session, item.service, Interval(since, until)))
        for item in objectives
        if item.id in histories
    }


def known_incidents(session: Session, service: str, interval: Interval) -> list[Incident]:
    """Return the incidents noted of *service* or of everything in *interval*, oldest first; at most the newest 100."""
    return [
        Incident(Interval(item.at, item.until or item.at + _MOMENT), item.title)
        for item in list_annotations(session, interval, service=service, limit=MAX_LIMIT)
        if item.kind == "incident"
    ]
