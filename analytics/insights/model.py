"""What a finding is: something in the course of a key figure, with what it rests on. Nothing here reads anything."""

import enum
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

Values = Sequence[float | None]
"""One value for each step of a course; None where nothing was measured."""


class InsightKind(enum.StrEnum):
    """What kind of thing was found."""

    ANOMALY = "anomaly"
    """A value unlike all before it."""
    REGRESSION = "regression"
    """A level that changed and stayed."""
    FORECAST = "forecast"
    """A threshold that will be passed if it goes on like this."""
    CORRELATION = "correlation"
    """Two figures whose changes go together; no proof that one causes the other."""
    CAPACITY = "capacity"
    """A resource that comes to its end."""
    THRESHOLD = "threshold"
    """Thresholds that do not fit what is measured."""


@dataclass(frozen=True, slots=True)
class Number:
    """One number of the evidence."""

    label: str
    value: float | None
    """None when it is not known."""
    unit: str
    """As of a key figure (``ratio``, ``s``, ``usd``, ``count``…), or empty for a plain number."""


@dataclass(frozen=True, slots=True)
class Happening:
    """A deployment or another noted thing near a finding."""

    at: datetime
    title: str
    kind: str
    service: str | None


@dataclass(frozen=True, slots=True)
class Related:
    """Another course in which the same was seen at the same time."""

    kpi_id: str
    dim: str
    key: str
    title: str
    """What was seen there."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a finding rests on: the course it was seen in, numbers, what happened, and how sure it is by what."""

    unit: str
    start: datetime
    """Start of the first step."""
    step: timedelta
    values: Values
    samples: int
    """On how many rows or events the course rests."""
    how: str
    """How the confidence was computed, in a sentence or two."""
    low: Values = ()
    """Lower edge of what was expected at each step; empty when nothing was."""
    high: Values = ()
    """Upper edge."""
    expected: Values = ()
    """The middle of it: the usual value, the level, or the forecast."""
    numbers: Sequence[Number] = ()
    happened: Sequence[Happening] = ()
    bound: float | None = None
    """The threshold it is about, or None."""
    other_kpi_id: str | None = None
    """The second figure of a correlation."""
    other_values: Values = ()
    related: Sequence[Related] = ()
    """Where else it was seen within two hours, the surest first."""
    includes_demo: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values for a column of JSON."""
        found: dict[str, Any] = _EVIDENCE.dump_python(self, mode="json")
        return found

    @classmethod
    def from_json(cls, stored: Any) -> "Evidence":
        """Return what :meth:`to_json` gave."""
        return _EVIDENCE.validate_python(stored)


_EVIDENCE = TypeAdapter(Evidence)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was found in the course of one key figure."""

    kind: InsightKind
    kpi_id: str
    title: str
    """One sentence with its numbers."""
    confidence: float
    """0 to 1; ``evidence.how`` says by what."""
    since: datetime
    """When it began; for a forecast, when the threshold will be passed."""
    evidence: Evidence
    dim: str = ""
    """How the figure was split, such as ``agent``; empty for the whole."""
    key: str = ""
    """Which part of it."""
    until: datetime | None = None
    """None while it lasts."""
    is_good: bool | None = None
    """Whether it is for the better; None where that makes no sense."""
    aliases: Sequence[str] = ()
    """Subjects of what was seen with it: stored as one of them, it is the same finding."""

    @property
    def subject(self) -> str:
        """Return what it is about: all findings of one kind about the same have the same subject."""
        parts = (self.kind, self.kpi_id, self.dim, self.key, self.evidence.other_kpi_id or "")
        return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()
