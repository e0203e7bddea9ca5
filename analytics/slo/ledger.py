"""The ledger: good and total events of every objective and its groups, by five minutes and by hour.

Everything shown is computed from it when it is read, without the time that corrections take out. Buckets are written
again when a source has late data; those of the demo history are never written over. Hours are kept for good.
"""

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, floor_time
from analytics.slo import catalogue, corrections
from analytics.slo.history import History, composite_of, history_of
from analytics.slo.model import BUCKET, WHOLE, Budgeting, CompositeEvents, Objective
from analytics.slo.timeslices import Counts
from analytics.store.tables import LIVE

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
KEEP_BUCKETS = timedelta(days=90)
"""How long five-minute buckets stay, unless slices need them for longer."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Events of one objective in one piece of time."""

    slo_id: str
    start: datetime
    good: float
    total: float
    measured_s: float
    """Seconds in which the source was seen."""
    group_key: str = WHOLE
    """Of a group: a JSON object of its labels, sorted by name."""


@dataclass(frozen=True, slots=True)
class Want:
    """What is to be read of one objective."""

    objective: Objective
    interval: Interval
    step: timedelta = BUCKET
    """:data:`BUCKET`, :data:`HOUR` or :data:`DAY`."""
    group_key: str = WHOLE


@dataclass(frozen=True, slots=True)
class Reading:
    """How far an objective was measured."""

    measured_at: datetime | None
    """End of its newest bucket; None when it has none."""
    error: str | None
    """Why its source could not be read last time; None when it could."""
    warnings: Sequence[str]
    """What the source warned of at the last reading."""


def upsert(session: Session, buckets: Sequence[Bucket], *, origin: str = LIVE) -> int:
    """Write *buckets*, over earlier ones of the same origin; return how many were written.

    Safe to run twice: the second run writes the same numbers.
    """
    if not buckets:
        return 0
    written: Any = session.execute(
        _UPSERT,
        {
            "ids": [bucket.slo_id for bucket in buckets],
            "keys": [bucket.group_key for bucket in buckets],
            "starts": [bucket.start for bucket in buckets],
            "goods": [bucket.good for bucket in buckets],
            "totals": [bucket.total for bucket in buckets],
            "seconds": [bucket.measured_s for bucket in buckets],
            "origin": origin,
        },
    )
    return int(written.rowcount)


def roll_up(session: Session, slo_ids: Sequence[str], *, since: datetime, until: datetime) -> None:
    """Sum the hours that ``[since, until)`` touches again, from the five-minute buckets there are."""
    session.execute(_ROLL_UP, {"ids": list(slo_ids), "since": since, "until": until})


def drop_empty_hours(session: Session, slo_ids: Sequence[str], *, since: datetime, until: datetime) -> None:
    """Delete the hours in ``[since, until)`` that have no five-minute bucket left.

    Not for times before the five-minute buckets were pruned: there the hours are all that is kept.
    """
    session.execute(_DROP_EMPTY, {"ids": list(slo_ids), "since": since, "until": until})


def histories(
    session: Session,
    objectives: Sequence[Objective],
    interval: Interval,
    *,
    step: timedelta = BUCKET,
    group_key: str = WHOLE,
) -> dict[str, History]:
    """Return what was counted of each of *objectives* over *interval*, corrections taken out, by id.

    Exact to five minutes at both ends: ends that are no bounds of buckets are taken at the bound before. Steps of an
    hour are read from the hours, those of a day from the days, except where a correction or an end cuts one.
    Objectives that budget time come as slices, composites with the histories of their members as parts.

    Args:
        session: The open transaction.
        objectives: Stored or not; those that are not have no numbers.
        interval: From when to when.
        step: :data:`BUCKET` (for what is at most 90 days old), :data:`HOUR` or :data:`DAY`, of UTC.
        group_key: One group of the objectives, instead of the whole.
    """
    found = read(session, [Want(item, interval, step, group_key) for item in objectives])
    return {item.id: history for item, history in zip(objectives, found, strict=True)}


def read(session: Session, wants: Sequence[Want]) -> list[History]:
    """Return the history of each of *wants*, as :func:`histories` does, with one reading of the ledger for all."""
    wants = [replace(want, interval=to_buckets(want.interval)) for want in wants]
    members = _members(session, wants)
    excluded = _excluded(session, wants, members)
    leaves = [_leaves(want, members, excluded) for want in wants]
    counted = iter(_count(session, [leaf for group in leaves for leaf in group]))
    found = []
    for want, group in zip(wants, leaves, strict=True):
        parts = [next(counted) for _ in group]
        if isinstance(want.objective.indicator, CompositeEvents):
            found.append(composite_of(want.objective, parts, interval=want.interval, step=want.step))
        else:
            found.append(parts[0])
    return found


def to_buckets(interval: Interval) -> Interval:
    """Return *interval* with both ends at the bound of a bucket, the one before where they are none."""
    return Interval(floor_time(interval.since, BUCKET), floor_time(interval.until, BUCKET))


def groups(session: Session, slo_ids: Sequence[str], *, since: datetime) -> dict[str, list[str]]:
    """Return the keys of the groups of each objective that have an hour from *since* on, in order."""
    found: dict[str, list[str]] = {}
    for row in session.execute(_GROUPS, {"ids": list(slo_ids), "since": floor_time(since, HOUR)}):
        found.setdefault(row.slo_id, []).append(row.group_key)
    return found


def readings(session: Session, slo_ids: Sequence[str], *, until: datetime) -> dict[str, Reading]:
    """Return how far each of the objectives was measured before *until*, and what went wrong last."""
    return {row.slo_id: Reading(*row[1:]) for row in session.execute(_READINGS, {"ids": list(slo_ids), "until": until})}


def prune(session: Session, objectives: Sequence[Objective], *, now: datetime) -> int:
    """Delete the five-minute buckets of *objectives* that are older than 90 days; their hours stay.

    Where a budget counts slices of less than an hour, which hours cannot tell, those of two windows stay.

    Returns:
        How many went.
    """
    before = [floor_time(now - _kept_for(item), HOUR) for item in objectives]
    deleted: Any = session.execute(_PRUNE, {"ids": [item.id for item in objectives], "before": before})
    return int(deleted.rowcount)


def _kept_for(objective: Objective) -> timedelta:
    return max(KEEP_BUCKETS, 2 * objective.period) if _is_cut_finely(objective) else KEEP_BUCKETS


def _is_cut_finely(objective: Objective) -> bool:
    """Return whether the budget counts slices of less than an hour."""
    return objective.budgeting is not Budgeting.OCCURRENCES and objective.slices.length < HOUR


# ---- What to read ----


def _members(session: Session, wants: Sequence[Want]) -> dict[str, Objective]:
    """Return the members of the composites among *wants* by id, without those that are not in use."""
    ids = {
        member.slo_id
        for want in wants
        if isinstance(want.objective.indicator, CompositeEvents)
        for member in want.objective.indicator.members
    }
    return {item.id: item for item in catalogue.load(session, ids=sorted(ids))} if ids else {}


def _excluded(
    session: Session, wants: Sequence[Want], members: Mapping[str, Objective]
) -> Mapping[str, Sequence[Interval]]:
    if not wants:
        return {}
    everything = {**members, **{want.objective.id: want.objective for want in wants}}
    hull = Interval(min(want.interval.since for want in wants), max(want.interval.until for want in wants))
    return corrections.exclusions(session, list(everything.values()), hull)


def _leaves(
    want: Want, members: Mapping[str, Objective], excluded: Mapping[str, Sequence[Interval]]
) -> list[tuple[Want, list[Interval]]]:
    """Return what to count for *want*, with what not to count: one thing, or one for each member of a composite."""
    own = excluded.get(want.objective.id, ())
    events = want.objective.indicator
    if not isinstance(events, CompositeEvents):
        return [(want, _merged(own, want.interval))]
    there = [members[member.slo_id] for member in events.members if member.slo_id in members]
    return [
        (replace(want, objective=item), _merged([*own, *excluded.get(item.id, ())], want.interval)) for item in there
    ]


def _merged(spans: Sequence[Interval], within: Interval) -> list[Interval]:
    """Return *spans* cut to *within*, in order and apart from each other."""
    found: list[Interval] = []
    for span in sorted(spans, key=lambda span: span.since):
        since, until = max(span.since, within.since), min(span.until, within.until)
        if since >= until:
            continue
        if found and since <= found[-1].until:
            found[-1] = Interval(found[-1].since, max(until, found[-1].until))
        else:
            found.append(Interval(since, until))
    return found


def _without(interval: Interval, excluded: Sequence[Interval]) -> Iterator[Interval]:
    """Yield what is left of *interval*."""
    since = interval.since
    for span in excluded:
        if since < span.since:
            yield Interval(since, span.since)
        since = span.until
    if since < interval.until:
        yield Interval(since, interval.until)


# ---- Reading ----


class _Kind(enum.StrEnum):
    """Which table a span is read from."""

    DAY = "d"
    HOUR = "h"
    EDGE = "e"
    """The buckets of an hour that is cut, or the hour itself when they were pruned."""
    BUCKET = "b"


@dataclass(slots=True)
class _Pieces:
    """Spans to be read, as the columns of parameters."""

    places: list[int] = field(default_factory=list)
    """What each is for."""
    kinds: list[str] = field(default_factory=list)
    since: list[float] = field(default_factory=list)
    until: list[float] = field(default_factory=list)

    def add(self, place: int, kind: _Kind, since: datetime, until: datetime) -> None:
        if since < until:
            self.places.append(place)
            self.kinds.append(kind.value)
            self.since.append(since.timestamp())
            self.until.append(until.timestamp())


def _pieces(leaves: Sequence[tuple[Want, Sequence[Interval]]]) -> _Pieces:
    """Return the spans of each of *leaves* from the table that has them in the fewest rows."""
    pieces = _Pieces()
    for place, (want, excluded) in enumerate(leaves):
        for span in _without(want.interval, excluded):
            if want.step < HOUR or _is_cut_finely(want.objective):
                pieces.add(place, _Kind.BUCKET, span.since, span.until)
                continue
            first, last = _ceil(span.since, HOUR), floor_time(span.until, HOUR)
            pieces.add(place, _Kind.EDGE, span.since, min(first, span.until))
            pieces.add(place, _Kind.EDGE, max(first, last), span.until)
            first_day, last_day = _ceil(first, DAY), floor_time(last, DAY)
            if want.step < DAY or want.objective.budgeting is not Budgeting.OCCURRENCES or first_day >= last_day:
                pieces.add(place, _Kind.HOUR, first, last)
                continue
            pieces.add(place, _Kind.HOUR, first, first_day)
            pieces.add(place, _Kind.DAY, first_day, last_day)
            pieces.add(place, _Kind.HOUR, last_day, last)
    return pieces


def _count(session: Session, leaves: Sequence[tuple[Want, Sequence[Interval]]]) -> list[History]:
    """Return the history of each of *leaves*, all by one query.

    Rows come as one string of bytes for each span, which is ten times faster than row by row.
    """
    packed: list[list[bytes]] = [[] for _ in leaves]
    demo = [0.0] * len(leaves)
    pieces = _pieces(leaves)
    if pieces.places:
        parameters = {
            "ids": [want.objective.id for want, _ in leaves],
            "keys": [want.group_key for want, _ in leaves],
            "places": pieces.places,
            "kinds": pieces.kinds,
            "since": pieces.since,
            "until": pieces.until,
        }
        for place, rows, part in session.execute(_PACKED, parameters):
            packed[place].append(rows)
            demo[place] += part
    return [
        history_of(
            want.objective,
            want.interval,
            _unpacked(packed[place]),
            step=want.step,
            exclusions=excluded,
            group_key=want.group_key,
            demo_total=demo[place],
        )
        for place, (want, excluded) in enumerate(leaves)
    ]


def _unpacked(packed: Sequence[bytes]) -> Counts:
    rows = np.frombuffer(b"".join(packed), _ROW)
    starts = rows["at"].astype(np.int64) // 1_000_000 + _POSTGRES_EPOCH_S
    good, total, measured_s = (rows[name].astype(np.float64) for name in ("good", "total", "measured_s"))
    return Counts(starts, good, total, measured_s)


def _ceil(moment: datetime, step: timedelta) -> datetime:
    floor = floor_time(moment, step)
    return floor if floor == moment else floor + step


_UPSERT = text("""
    INSERT INTO slo_bucket_5m AS kept (slo_id, group_key, bucket_start, good, total, measured_s, origin)
    SELECT b.slo_id, b.group_key, b.start, b.good, b.total, b.measured_s, :origin
    FROM unnest(CAST(:ids AS text[]), CAST(:keys AS text[]), CAST(:starts AS timestamptz[]), CAST(:goods AS float8[]),
                CAST(:totals AS float8[]), CAST(:seconds AS float8[]))
         AS b (slo_id, group_key, start, good, total, measured_s)
    ON CONFLICT (slo_id, group_key, bucket_start) DO UPDATE
    SET good = excluded.good, total = excluded.total, measured_s = excluded.measured_s
    WHERE kept.origin = excluded.origin
""")

_KEYS = """
    WITH RECURSIVE w AS (SELECT * FROM unnest(CAST(:ids AS text[])) AS w (slo_id)), found AS (
        SELECT w.slo_id, n.group_key
        FROM w CROSS JOIN LATERAL (
            SELECT group_key FROM {table} WHERE slo_id = w.slo_id ORDER BY group_key LIMIT 1) n
        UNION ALL
        SELECT f.slo_id, n.group_key
        FROM found f CROSS JOIN LATERAL (
            SELECT group_key FROM {table} WHERE slo_id = f.slo_id AND group_key > f.group_key
            ORDER BY group_key LIMIT 1) n
    )"""
"""The groups of objectives, by hopping from key to key in the index: PostgreSQL before 18 would read all of a table.

What follows looks up each of them for itself, too; OFFSET 0 keeps the planner from making one join of it."""

_ROLL_UP = text(
    _KEYS.format(table="slo_bucket_5m")  # noqa: S608 - a constant
    + """
    INSERT INTO slo_bucket_1h (slo_id, group_key, bucket_start, good, total, measured_s, demo_total)
    SELECT f.slo_id, f.group_key, b.hour, sum(b.good), sum(b.total), sum(b.measured_s),
           coalesce(sum(b.total) FILTER (WHERE b.origin = 'demo'), 0)
    FROM found f
    CROSS JOIN LATERAL (
        SELECT date_bin('1 hour', bucket_start, CAST('epoch' AS timestamptz)) AS hour, good, total, measured_s, origin
        FROM slo_bucket_5m
        WHERE slo_id = f.slo_id AND group_key = f.group_key
          AND bucket_start >= date_bin('1 hour', CAST(:since AS timestamptz), CAST('epoch' AS timestamptz))
          AND bucket_start < date_bin('1 hour', CAST(:until AS timestamptz), CAST('epoch' AS timestamptz))
                             + interval '1 hour'
        OFFSET 0) b
    GROUP BY 1, 2, 3
    ON CONFLICT (slo_id, group_key, bucket_start) DO UPDATE
    SET good = excluded.good, total = excluded.total, measured_s = excluded.measured_s,
        demo_total = excluded.demo_total
"""
)

_DROP_EMPTY = text("""
    DELETE FROM slo_bucket_1h h
    WHERE h.slo_id = ANY(:ids)
      AND h.bucket_start >= date_bin('1 hour', CAST(:since AS timestamptz), CAST('epoch' AS timestamptz))
      AND h.bucket_start < :until
      AND NOT EXISTS (SELECT FROM slo_bucket_5m b WHERE b.slo_id = h.slo_id AND b.group_key = h.group_key
                      AND b.bucket_start >= h.bucket_start AND b.bucket_start < h.bucket_start + interval '1 hour')
""")

_SPANS = """
    SELECT p.place, r.packed, r.demo
    FROM p
    CROSS JOIN LATERAL (
        SELECT string_agg(timestamptz_send(bucket_start) || float8send(good) || float8send(total)
                          || float8send(measured_s), '') AS packed, {demo} AS demo
        FROM {table}
        WHERE slo_id = p.slo_id AND group_key = p.group_key AND bucket_start >= p.since AND bucket_start < p.until) r
    WHERE p.kind IN ({kinds}) AND r.packed IS NOT NULL
    UNION ALL"""
"""Rows of one table, packed, for the spans that are read from it."""

_OF_BUCKETS = "coalesce(sum(total) FILTER (WHERE origin = 'demo'), 0)"

# An hour whose buckets were pruned stands in for a part of it, by its share of the hour.
_PACKED = text(
    """
    WITH p AS MATERIALIZED (
        SELECT s.place, s.kind, w.slo_id, w.group_key, to_timestamp(s.since) AS since, to_timestamp(s.until) AS until
        FROM unnest(CAST(:places AS int[]), CAST(:kinds AS text[]), CAST(:since AS float8[]),
                    CAST(:until AS float8[])) AS s (place, kind, since, until)
        JOIN unnest(CAST(:ids AS text[]), CAST(:keys AS text[])) WITH ORDINALITY AS w (slo_id, group_key, ordinal)
            ON w.ordinal = s.place + 1)"""  # noqa: S608 - of the names below
    + _SPANS.format(table="slo_bucket_1d", kinds="'d'", demo="sum(demo_total)")
    + _SPANS.format(table="slo_bucket_1h", kinds="'h'", demo="sum(demo_total)")
    + _SPANS.format(table="slo_bucket_5m", kinds="'b', 'e'", demo=_OF_BUCKETS)
    + """
    SELECT p.place,
           timestamptz_send(p.since) || float8send(h.good * s.share) || float8send(h.total * s.share)
           || float8send(h.measured_s * s.share), h.demo_total * s.share
    FROM p
    JOIN slo_bucket_1h h ON h.slo_id = p.slo_id AND h.group_key = p.group_key
        AND h.bucket_start = date_bin('1 hour', p.since, CAST('epoch' AS timestamptz))
    CROSS JOIN LATERAL (SELECT extract(epoch FROM p.until - p.since)::float8 / 3600 AS share) s
    WHERE p.kind = 'e'
      AND NOT EXISTS (SELECT FROM slo_bucket_5m b WHERE b.slo_id = h.slo_id AND b.group_key = h.group_key
                      AND b.bucket_start >= h.bucket_start AND b.bucket_start < h.bucket_start + interval '1 hour')
"""
)

_ROW = np.dtype([("at", ">i8"), ("good", ">f8"), ("total", ">f8"), ("measured_s", ">f8")])
"""A packed row; the time in microseconds since PostgreSQL's epoch."""

_POSTGRES_EPOCH_S = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())

_READINGS = text("""
    SELECT w.slo_id, b.bucket_start + interval '5 minutes', r.error, coalesce(r.warnings, '[]')
    FROM unnest(CAST(:ids AS text[])) AS w (slo_id)
    LEFT JOIN slo_reading r ON r.slo_id = w.slo_id
    LEFT JOIN LATERAL (SELECT bucket_start FROM slo_bucket_5m
                       WHERE slo_id = w.slo_id AND group_key = '' AND bucket_start < :until
                       ORDER BY bucket_start DESC LIMIT 1) b ON true
""")

_GROUPS = text(
    _KEYS.format(table="slo_bucket_1h")  # noqa: S608 - a constant
    + """
    SELECT f.slo_id, f.group_key FROM found f
    WHERE f.group_key <> ''
      AND EXISTS (SELECT FROM slo_bucket_1h h WHERE h.slo_id = f.slo_id AND h.group_key = f.group_key
                  AND h.bucket_start >= :since)
    ORDER BY 1, 2
"""
)

_PRUNE = text(
    _KEYS.format(table="slo_bucket_5m")  # noqa: S608 - a constant
    + """
    DELETE FROM slo_bucket_5m
    WHERE ctid = ANY (ARRAY(
        SELECT b.row
        FROM found f
        JOIN unnest(CAST(:ids AS text[]), CAST(:before AS timestamptz[])) AS kept (slo_id, since) USING (slo_id)
        CROSS JOIN LATERAL (SELECT ctid AS row FROM slo_bucket_5m
                            WHERE slo_id = f.slo_id AND group_key = f.group_key AND bucket_start < kept.since
                            OFFSET 0) b))
"""
)
