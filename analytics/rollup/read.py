"""Read the rollup: totals, rankings, courses over time, and the raw rows behind them.

What is read, by the length of the interval:

* up to six hours: the raw rows, with the select that fills the cells, exact at both ends and in steps of any length;
* up to 48 hours: cells by hour, both ends moved outward to the full hour;
* beyond: cells by day (UTC), the start moved to the beginning of its day, and cells by hour for days not closed yet.

Hours of a single key are kept for :data:`KEEP_ALL_HOURS`; before that, and where hours are asked for, raw rows answer.
:func:`window` says what a reading really covers. Nothing seen is no cell, never a cell of zeros.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.rollup.cell import Cell

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
RAW_UP_TO = timedelta(hours=6)
HOURS_UP_TO = timedelta(hours=48)
KEEP_ALL_HOURS = timedelta(days=8)


@dataclass(frozen=True, slots=True)
class Want:
    """One line to be read: a cut and one of its keys."""

    cut: str
    key: str = ""
    """Empty for all, or, in a cut with a dimension, for those without it."""


@dataclass(frozen=True, slots=True)
class Covered:
    """What a reading over some interval really covers."""

    interval: Interval
    """At least what was asked for."""
    before: Interval
    """The time of the same length before it, which a reading is compared with."""
    step: timedelta
    """The finest step it can be read in without touching raw rows; a minute where raw rows are read anyway."""


@dataclass(frozen=True, slots=True)
class Course:
    """How one line went."""

    total: Cell | None
    """Of the whole interval; None when nothing was seen."""
    before: Cell | None
    """Of the time of the same length before."""
    steps: Sequence[tuple[datetime, Cell | None]] = field(default_factory=tuple)
    """Every step of the interval at its start, oldest first; None where nothing was seen."""


def window(interval: Interval, *, now: datetime) -> Covered:
    """Return what a reading over *interval* really covers."""
    raise NotImplementedError


def totals(
    session: Session,
    cut: str,
    interval: Interval,
    *,
    keys: Sequence[str] | None = None,
    most: int | None = None,
    order: str = "n",
) -> dict[str, Cell]:
    """Return the cell of every key of *cut*, greatest first: one query, one pass.

    Args:
        session: The open transaction.
        cut: Such as ``agent_run.agent``.
        interval: From when to when.
        keys: Only these.
        most: Only so many.
        order: The number to rank by: ``n``, ``failed``, ``duration_s``, ``cost_usd``, ``input_tokens``,
            ``output_tokens`` or ``value_sum``.

    Raises:
        InputError: If there is no such cut or order.
    """
    raise NotImplementedError


def total(session: Session, want: Want, interval: Interval) -> Cell | None:
    """Return the cell of one line over *interval*; None when nothing was seen."""
    raise NotImplementedError


def series(session: Session, want: Want, interval: Interval, *, step: timedelta) -> list[tuple[datetime, Cell | None]]:
    """Return one line step by step, each step at its start, oldest first; None where nothing was seen.

    Args:
        session: The open transaction.
        want: The line.
        interval: From when to when; moved outward to whole steps.
        step: A minute or more for up to six hours, else a multiple of an hour or of a day.

    Raises:
        InputError: If there is no such cut, or the step is not one of those.
    """
    raise NotImplementedError


def read_many(
    session: Session,
    wants: Sequence[Want],
    interval: Interval,
    *,
    step: timedelta | None = None,
    with_before: bool = True,
) -> dict[Want, Course]:
    """Return how each of *wants* went, all with one query.

    Args:
        session: The open transaction.
        wants: The lines; each has a course in the answer.
        interval: From when to when; see :func:`window`.
        step: As for :func:`series`; None reads no steps.
        with_before: Whether to read the time before, too.

    Raises:
        InputError: If there is no such cut, or the step cannot be had.
    """
    raise NotImplementedError


def keys(session: Session, cut: str, interval: Interval) -> list[str]:
    """Return the keys of *cut* that were seen in *interval*, in alphabetical order."""
    raise NotImplementedError


def drill(
    session: Session,
    cut: str,
    key: str,
    interval: Interval,
    *,
    limit: int = 50,
    after: tuple[datetime, uuid.UUID] | None = None,
) -> list[Mapping[str, Any]]:
    """Return the raw rows behind a cell, newest first.

    Args:
        session: The open transaction.
        cut: The cut.
        key: The key.
        interval: From when to when, exactly.
        limit: The most rows.
        after: ``(row["at"], row["id"])`` of the last row of the page before.

    Returns:
        Rows with ``id``, ``at`` and what tells this kind of fact; see ``Fact.shown``.

    Raises:
        InputError: If there is no such cut, or the limit is not 1 to 1,000.
    """
    raise NotImplementedError
