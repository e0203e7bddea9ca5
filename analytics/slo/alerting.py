"""When objectives alert: from when an alert fires, through silence of its source, until it is resolved."""

import enum
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from analytics.slo.model import Objective
from analytics.store.queries.slo_alerts import SloAlertRow


class AlertKind(enum.StrEnum):
    """What an alert is about."""

    BURN = "burn"
    """A pair of windows burns faster than its factor."""
    EXHAUSTED = "exhausted"
    """The budget of the window, or of the calendar span to date, is used up."""
    VIOLATED = "violated"
    """A calendar span has spent more than its whole budget at present traffic, so the target cannot be met any more."""
    NO_DATA = "no_data"
    """Nothing was measured for longer than the policy allows."""


class Change(enum.StrEnum):
    """What became of an alert."""

    FIRING = "firing"
    """It began, or what inhibited it is over."""
    RESOLVED = "resolved"
    FROZEN = "frozen"
    """Its data have stopped: it is neither confirmed nor resolved."""
    THAWED = "thawed"
    """Its data have come back and it still fires."""


@dataclass(frozen=True, slots=True)
class AlertChange:
    """What became of one alert."""

    change: Change
    alert: SloAlertRow
    """As it is now."""
    objective: Objective | None
    """None when it was taken out of use."""
    is_told: bool
    """Whether somebody is to be told: not of what is inhibited, and not of the end of what was never told."""


def advance(session: Session, *, now: datetime) -> list[AlertChange]:
    """Begin, freeze and resolve alerts of all objectives, by the ledger at *now*; return what changed.

    Safe to run twice and at once: whoever comes second while another is at it does nothing. Objectives whose window
    holds demo history are left as they are.

    Raises:
        DependencyError: If PostgreSQL is away.
    """
    raise NotImplementedError
