"""Buckets counted exactly, by rows of PostgreSQL."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any, cast

import numpy as np
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.core.errors import InputError, PolicyError
from analytics.slo.model import BUCKET, WHOLE, Objective, SqlEvents
from analytics.slo.sources.reading import BUCKET_S, Reading, group_key, kept_groups
from analytics.slo.timeslices import Counts
from analytics.store.guarded import guarded_rows

TIMEOUT = timedelta(seconds=20)


def read(
    session: Session,
    objective: Objective,
    interval: Interval,
    *,
    is_first: bool = False,
    groups: Collection[str] = (),
) -> Reading:
    """Return what the rows of *objective* say in *interval*, whose ends are bounds of buckets.

    A bucket without rows is one without events: PostgreSQL answered, so the time was measured.

    Args:
        session: A session; nothing is written, and what is open in it stays as it is.
        objective: One with :class:`SqlEvents`.
        interval: From when to when.
        is_first: Whether the objective was not read before. Then the time before the first row does not count as
            measured, but for the last two buckets: nobody may have written rows then.
        groups: Keys of groups that are known; they count as measured even when they have no row.

    Raises:
        DependencyError: If PostgreSQL is away.
    """
    events = cast("SqlEvents", objective.indicator)
    try:
        rows = _rows(session, events, interval, objective.group_by)
    except (InputError, PolicyError) as error:
        return Reading(error=error)
    first_s = int(interval.since.timestamp())
    length = interval.length // BUCKET
    counted = {WHOLE: np.zeros((2, length)), **{key: np.zeros((2, length)) for key in groups}}
    for start, good, total, *labels in rows:
        place = (int(start.timestamp()) - first_s) // BUCKET_S
        key = group_key(dict(zip(objective.group_by, labels, strict=True)), objective.group_by)
        for target in {WHOLE, key}:
            counted.setdefault(target, np.zeros((2, length)))[:, place] += (good, total)
    first = 0
    if is_first:
        first = min(int(np.argmax(counted[WHOLE][1] > 0)) if rows else length, max(0, length - 2))
    kept, warnings = kept_groups(counted)
    starts = first_s + np.arange(first, length) * BUCKET_S
    seconds = np.full(length - first, float(BUCKET_S))
    return Reading(
        {key: Counts(starts, counted[key][0, first:], counted[key][1, first:], seconds) for key in (WHOLE, *kept)},
        warnings,
    )


def measure(session: Session, events: SqlEvents, interval: Interval) -> tuple[float, float]:
    """Return good and total events of *interval*, of any length.

    Raises:
        InputError: If PostgreSQL refuses the statement.
        PolicyError: If it reads a table that holds secrets.
        DependencyError: If PostgreSQL is away.
    """
    rows = _rows(session, events, interval)
    return float(sum(row[1] for row in rows)), float(sum(row[2] for row in rows))


def _rows(session: Session, events: SqlEvents, interval: Interval, labels: Sequence[str] = ()) -> Sequence[Any]:
    """Return start, good and total of every bucket with a row and every set of *labels*, with their values."""
    columns = "".join(f", CAST({_quoted(name)} AS text)" for name in labels)
    # The line ends keep a comment at the end of the statement from swallowing the bracket.
    statement = _COUNT.format(
        rows=_escaped(events.rows.strip().removesuffix(";")),
        labels=_escaped(columns),
        places="".join(f", {place}" for place in range(4, 4 + len(labels))),
    )
    values = {"slo_since": interval.since, "slo_until": interval.until, "slo_bucket": BUCKET}
    return guarded_rows(session, statement, values, timeout=TIMEOUT)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _escaped(sql: str) -> str:
    """Return *sql* with its colons told apart from those of our parameters."""
    return sql.replace(":", "\\:")


_COUNT = """
    SELECT date_bin(CAST(:slo_bucket AS interval), at, CAST('epoch' AS timestamptz)) AS bucket_start,
           count(*) FILTER (WHERE good) AS good, count(*) AS total{labels}
    FROM (
{rows}
    ) AS slo_event
    WHERE at >= :slo_since AND at < :slo_until
    GROUP BY 1{places}
"""
