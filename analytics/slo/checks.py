"""What is doubtful about an objective when its source is asked: refused queries, missing series, wrong bounds."""

import enum
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from analytics.slo.model import Objective
from analytics.sources.prometheus import PromClient


class Level(enum.StrEnum):
    """How bad it is."""

    ERROR = "error"
    """The objective cannot be measured."""
    WARNING = "warning"
    """It can be, but perhaps not what is meant."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is doubtful."""

    path: str
    """Field of the native form, such as ``indicator.events.total``."""
    message: str
    hint: str
    """What to do about it; empty when that is clear."""
    level: Level


def check(objective: Objective, *, session: Session, prom: PromClient | None, now: datetime) -> list[Problem]:
    """Return what is doubtful about *objective*, errors first; empty when all is well.

    It asks the source, which takes a few queries of the last day. A source that is away is one warning: nothing was
    checked then. Composites have no source and no problems here.
    """
    raise NotImplementedError
