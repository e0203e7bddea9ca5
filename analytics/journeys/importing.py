"""Events out of CSV files in whatever encoding: told apart, shown before, taken in row by row in bounded memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from analytics.journeys.events import Rejected, Taken

FIELDS = ("at", "kind", "source", "subject", "id", "service", "duration_ms", "cost_usd", "project_id")


@dataclass(frozen=True, slots=True)
class CsvForm:
    """How a file is written."""

    encoding: str
    """As Python calls it."""
    encoding_said: str
    """Why we think so, as a sentence."""
    delimiter: str
    columns: Sequence[str]


@dataclass(frozen=True, slots=True)
class Mapped:
    """What columns mean."""

    columns: Mapping[str, str]
    """Column by field of :data:`FIELDS`; the others become properties."""
    fixed: Mapping[str, str] = field(default_factory=dict)
    """Value by field, for fields that no column has."""
    zone: ZoneInfo | None = None
    """Of times without one; None: they are refused."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a file would be taken for."""

    form: CsvForm
    mapped: Mapped
    rows: Sequence[Mapping[str, str]]
    """The first rows, by column."""
    problems: Sequence[Rejected]
    """Of these rows."""


def look_at(
    file: BinaryIO, *, mapped: Mapped | None = None, most: int = 20, now: datetime, oldest: datetime
) -> Preview:
    """Return how *file* is written and what its first rows would become; stores nothing.

    Raises:
        InputError: If it is not a table of text.
    """
    raise NotImplementedError


def import_csv(
    engine: Engine, file: BinaryIO, *, mapped: Mapped, now: datetime, oldest: datetime, encoding: str | None = None
) -> Taken:
    """Take in the events of *file*, those that are fit, in one transaction.

    Raises:
        InputError: If it is not a table of text, or fields that every event needs have neither column nor value.
    """
    raise NotImplementedError
