"""What people did, read as one packed column: a row of numbers for each event, in the order of people and times.

PostgreSQL packs, numpy reads: half a million events take a fraction of a second and 20 MB.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.rollup import read as rollup

SHARES = 4096
"""Into so many parts people are divided by a hash; ``ix_event_share`` finds the events of a part."""
MOST_ROWS = 60_000
"""Events that are looked at for one answer; where there are more, a share of the people is.

What a page can read and draw at once, whatever the table holds.
"""
MOST_ROWS_PATIENT = 2_000_000
"""The same for those who can wait some seconds."""

_DEMO_BIT = 30
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_ROW = np.dtype([("subject", ">i8"), ("at", ">i8"), ("mark", ">i4"), ("cost", ">f8"), ("own", ">i8")])

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Acts:
    """Events of people, sorted by person, time and mark."""

    subject: Ints
    """A hash of each person."""
    person: Ints
    """Number of the person, from 0 in the order of the hashes."""
    at: Ints
    """Microseconds since the beginning of 2000 (UTC)."""
    mark: Ints
    """What the question made of the event."""
    own: Ints
    """What the question took from it besides."""
    cost: Floats
    """USD; NaN where it is not known."""
    is_demo: Flags
    share: int
    """Of :data:`SHARES` that the people are."""

    @property
    def scale(self) -> float:
        """Return what counts are multiplied by to stand for everybody."""
        return SHARES / self.share


def read_acts(
    session: Session,
    span: Interval,
    *,
    mark: str,
    own: str = "0",
    parameters: Mapping[str, Any],
    most_rows: int = MOST_ROWS,
) -> Acts:
    """Return what people did in *span*; contexts are no people.

    Args:
        session: The caller's transaction.
        span: From when to when.
        mark: SQL of ours that gives an integer below 2**30 for an event, by which events of one instant are sorted.
        own: SQL of ours that gives another, of 64 bits.
        parameters: What both need.
        most_rows: Events that are looked at; where there are more, a share of the people is.
    """
    cell = rollup.total(session, rollup.Want("event"), span)
    expected = 0 if cell is None else cell.n
    share = SHARES if expected <= most_rows else max(1, SHARES * most_rows // expected)
    values = {**parameters, "since": span.since, "until": span.until}
    packed = session.scalar(text(_packed(mark, own, of_share(share, values))), values)
    rows = np.frombuffer(packed or b"", dtype=_ROW)
    marks = rows["mark"].astype(np.int64)
    demo, marks = marks >> _DEMO_BIT, marks & ((1 << _DEMO_BIT) - 1)
    order = np.lexsort((marks, rows["at"], rows["subject"]))
    subject = rows["subject"].astype(np.int64)[order]
    changes = np.concatenate(([False], subject[1:] != subject[:-1])) if len(subject) else np.zeros(0, dtype=bool)
    return Acts(
        subject,
        np.cumsum(changes, dtype=np.int64),
        rows["at"].astype(np.int64)[order],
        marks[order],
        rows["own"].astype(np.int64)[order],
        rows["cost"].astype(np.float64)[order],
        demo[order] > 0,
        share,
    )


def micros(moment: datetime) -> int:
    """Return *moment* as :attr:`Acts.at` tells it."""
    return (moment - _EPOCH) // _EPOCH.resolution


def quantiles(values: Floats, at: Sequence[float] = (0.25, 0.5, 0.75, 0.9)) -> list[float] | None:
    """Return the quantiles of *values* at the shares *at*; None when there are none."""
    return [float(value) for value in np.quantile(values, at)] if len(values) else None


def of_share(share: int, parameters: dict[str, Any]) -> str:
    """Return the condition, beginning with AND, that an event is of *share* of the people, and name its parameter."""
    if share >= SHARES:
        return ""
    parameters["shares"] = list(range(share))
    return f"AND CAST(abs(hashtextextended(subject, 11) % {SHARES}) AS smallint) = ANY(CAST(:shares AS smallint[]))"


def _packed(mark: str, own: str, sampled: str) -> str:
    return f"""
        SELECT string_agg(
            int8send(hashtextextended(subject, 0)) || timestamptz_send(at)
            || int4send(({mark}) | CASE WHEN origin = 'demo' THEN {1 << _DEMO_BIT} ELSE 0 END)
            || float8send(coalesce(CAST(cost_usd AS float8), 'NaN')) || int8send({own}), ''::bytea)
        FROM event
        WHERE at >= :since AND at < :until AND subject IS NOT NULL AND NOT kind ^@ 'context.' {sampled}
    """  # noqa: S608 - values are parameters
