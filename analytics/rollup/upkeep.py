"""Keep the rollup in step with the facts: sum hours that were marked, close days that are over.

Whoever writes facts marks their hours in the same transaction (triggers of the store). The upkeep takes marks and sums
their hours from the raw rows in one transaction, so that nothing is lost or counted twice when it is killed.
"""

import functools
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine, TextClause, text

from analytics.core.clock import Interval, floor_time
from analytics.core.errors import InputError
from analytics.core.logging import get_logger
from analytics.rollup.cuts import FACTS, SOURCES, Fact
from analytics.rollup.sums import MEASURES, cells_select
from analytics.rollup.tiers import DAY, DENSE, HOUR, KEEP_HOURS, ceil_time, closed_by, thinned_by
from analytics.store.engine import session_scope
from analytics.store.partitions import PARTITIONED, ensure_month, months_between, partitions_of

DROPPING = "helmsight.facts"
"""The advisory lock of whoever drops raw rows; the upkeep shares it, so that it never sums what is being dropped."""
LATE_EVERY = timedelta(minutes=10)
"""Closed days with late facts are summed again no more often than this, for each source."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_DAYS = 31
_SHORT_S = 0.5
"""A transaction may sum more days than the last one, at most so many, if that one was shorter than this."""
_TOLD_EVERY_S = 10
"""How often a backlog that takes long is worth a line in the log."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class UpkeepReport:
    """What one upkeep did."""

    hours: Mapping[str, int] = field(default_factory=dict)
    """Hours summed, by source."""
    closed_days: int = 0
    """Days closed, over all sources."""
    late_days: int = 0
    """Closed days that were summed again."""
    dropped_marks: int = 0
    """Marks of times of which no raw rows are kept any more; their cells stay as they are."""

    def __add__(self, other: "UpkeepReport") -> "UpkeepReport":
        """Return what both did."""
        both = self.hours.keys() | other.hours.keys()
        return UpkeepReport(
            {source: self.hours.get(source, 0) + other.hours.get(source, 0) for source in both},
            self.closed_days + other.closed_days,
            self.late_days + other.late_days,
            self.dropped_marks + other.dropped_marks,
        )


def keep_up(
    engine: Engine, *, now: datetime, late_every: timedelta = LATE_EVERY, keep_hours: timedelta = KEEP_HOURS
) -> UpkeepReport:
    """Bring the cells in step with the facts.

    Safe to run twice, at once, and after having been killed at any point: marks are deleted in the transaction that
    writes the cells. A backlog goes day by day, the newest first, a transaction each.

    Args:
        engine: The store.
        now: The present.
        late_every: How long to wait before closed days are summed again; zero does it at once.
        keep_hours: Cells by hour are not written for days older than this.

    Raises:
        DependencyError: If PostgreSQL is away; what was summed before stays.
    """
    done = UpkeepReport()
    for source, work in _begin(engine, now, late_every).items():
        upkeep = _Upkeep(engine, source, now, keep_hours)
        for span in _spans(source, work.days):
            done += upkeep.sum_marked(span)
        for span in _spans(source, work.to_close):
            done += upkeep.close(span)
        if work.is_to_thin or work.to_close:
            upkeep.thin()
    return done


def rebuild(
    engine: Engine,
    *,
    since: datetime,
    until: datetime,
    sources: Sequence[str] | None = None,
    now: datetime,
    keep_hours: timedelta = KEEP_HOURS,
) -> UpkeepReport:
    """Sum all hours that ``[since, until)`` touches again from the raw rows, as if all of them had been marked.

    Raises:
        InputError: If there is no such source, or the interval is reversed.
        DependencyError: If PostgreSQL is away; what was summed before stays.
    """
    span = Interval(since, until)
    unknown = set(sources or ()) - set(SOURCES)
    if unknown:
        raise InputError(
            f"The rollup has no source {min(unknown)!r}, so nothing was rebuilt. There are: {', '.join(SOURCES)}."
        )
    values = {
        "sources": list(sources or SOURCES),
        "since": floor_time(span.since, HOUR),
        "until": ceil_time(span.until, HOUR) - HOUR,
    }
    with session_scope(engine) as session:
        session.execute(_MARK, values)
    return keep_up(engine, now=now, late_every=timedelta(0), keep_hours=keep_hours)


@dataclass(frozen=True, slots=True)
class _Work:
    """What is to be done for one source."""

    days: Sequence[datetime]
    """Days with marks that are to be summed now, newest first."""
    to_close: Sequence[datetime]
    """Days that are over and not closed, oldest first."""
    is_to_thin: bool


def _begin(engine: Engine, now: datetime, late_every: timedelta) -> dict[str, _Work]:
    """Return what is to be done, by source."""
    with session_scope(engine) as session:
        first = {"": closed_by(now), ".thin": thinned_by(now), ".late": _EPOCH}
        names = {f"rollup.{source}{suffix}": position for suffix, position in first.items() for source in SOURCES}
        session.execute(_FIRST, {"names": list(names), "positions": list(names.values())})
        cursors: dict[str, datetime] = {row.name: row.position for row in session.execute(_POSITIONS)}
        marked: dict[str, list[datetime]] = {}
        for source, day in session.execute(_MARKED_DAYS):
            marked.setdefault(source, []).append(day)
        found = {}
        for source in SOURCES:
            position, name = cursors[f"rollup.{source}"], f"rollup.{source}.late"
            days = marked.get(source, [])
            if any(day < position for day in days):
                if now - cursors[name] < late_every:
                    days = [day for day in days if day >= position]
                else:
                    session.execute(_MOVE, {"name": name, "position": now})
            to_close = [position + place * DAY for place in range((closed_by(now) - position) // DAY)]
            found[source] = _Work(days, to_close, cursors[f"rollup.{source}.thin"] < thinned_by(now))
    return found


def _spans(source: str, days: Sequence[datetime]) -> Iterator[Interval]:
    """Yield spans of *days* to be worked off, each in a transaction: more days at once as long as that is quick."""
    most, place, told = 1, 0, time.monotonic()
    while place < len(days):
        end = place + 1
        while end < len(days) and end - place < most and abs(days[end] - days[end - 1]) == DAY:
            end += 1
        first, last = sorted((days[place], days[end - 1]))
        began = time.monotonic()
        yield Interval(first, last + DAY)
        ended = time.monotonic()
        most = min(_MOST_DAYS, most * 2) if ended - began < _SHORT_S else max(1, most // 2)
        place = end
        if ended - told > _TOLD_EVERY_S:
            told = ended
            _log.info("rollup catches up", source=source, day=first.date().isoformat(), left=len(days) - place)


@dataclass(frozen=True, slots=True)
class _Upkeep:
    """The upkeep of the facts of one source; each method is a transaction, under the lock of the source."""

    engine: Engine
    source: str
    now: datetime
    keep_hours: timedelta

    @property
    def facts(self) -> list[Fact]:
        """Return the facts whose hours are marked with the source."""
        return [fact for fact in FACTS.values() if fact.source == self.source]

    def sum_marked(self, span: Interval) -> UpkeepReport:
        """Sum the marked hours of the days of *span*; of days that are closed, all of it."""
        report = UpkeepReport()
        with session_scope(self.engine) as session:
            connection = session.connection()
            position, thin = self._lock(connection)
            thin = min(position, thin)
            bounds = sorted({span.since, span.until, *(at for at in (thin, position) if span.since < at < span.until)})
            for since, until in itertools.pairwise(bounds):
                report += self._sum(
                    connection, Interval(since, until), is_closed=since < position, is_thin=since < thin
                )
        return report

    def close(self, span: Interval) -> UpkeepReport:
        """Give the days of *span*, the first ones that are not closed, their cells by day.

        Nothing is done if another process has closed some of them.
        """
        with session_scope(self.engine) as session:
            connection = session.connection()
            position, _ = self._lock(connection)
            if position != span.since:
                return UpkeepReport()
            report = self._sum(connection, span, is_closed=False, is_thin=False)
            since = max(span.since, self._oldest(connection))
            if since < span.until:
                self._write(connection, "rollup_day", Interval(since, span.until))
            self._move(connection, "", span.until)
        return replace(report, closed_days=span.length // DAY)

    def thin(self) -> None:
        """Delete cells by hour of sparse keys of closed days that are old enough."""
        with session_scope(self.engine) as session:
            connection = session.connection()
            position, since = self._lock(connection)
            until = min(position, thinned_by(self.now))
            if since < until:
                keyed = [cut for fact in self.facts for cut, dims in fact.cuts.items() if dims]
                connection.execute(_THIN, {"cuts": keyed, "since": since, "until": until, "dense": DENSE})
                self._move(connection, ".thin", until)

    def _sum(self, connection: Connection, span: Interval, *, is_closed: bool, is_thin: bool) -> UpkeepReport:
        """Take the marks of *span*, whole days, and sum their hours; and the days themselves if they are closed."""
        times = {"source": self.source, "since": span.since, "until": span.until}
        marked = connection.execute(_TAKE_MARKS, times).scalars().all()
        oldest = self._oldest(connection)
        hours = sorted({hour for hour in marked if hour >= oldest})
        dropped = sum(hour < oldest for hour in marked)
        if not hours:
            return UpkeepReport(dropped_marks=dropped)
        span = Interval(floor_time(hours[0], DAY), floor_time(hours[-1], DAY) + DAY)
        if is_closed:
            self._write(connection, "rollup_day", span)
        kept_since = floor_time(self.now - self.keep_hours, DAY)
        for piece in [span] if is_thin else _joined(hours):
            if piece.until > kept_since:
                self._write(
                    connection, "rollup_hour", Interval(max(piece.since, kept_since), piece.until), of_dense=is_thin
                )
        late_days = len({floor_time(hour, DAY) for hour in hours}) if is_closed else 0
        return UpkeepReport({self.source: len(hours)}, late_days=late_days, dropped_marks=dropped)

    def _write(self, connection: Connection, table: str, span: Interval, *, of_dense: bool = False) -> None:
        """Write the cells of *span* again, from the raw rows; with *of_dense*, no keys that were sparse that day."""
        for month in months_between(span.since, span.until - HOUR):
            ensure_month(connection, ["rollup_hour", "rollup_day"], month)
        step = HOUR if table == "rollup_hour" else DAY
        times = {"since": span.since, "until": span.until, "origin": span.since, "step": step}
        for fact in self.facts:
            connection.execute(_clear_statement(table), {"cuts": list(fact.cuts), **times})
            dense = {"dense": DENSE, "whole": _whole_cuts(fact)} if of_dense else {}
            connection.execute(_write_statement(table, fact, of_dense=of_dense), {**times, **dense})

    def _oldest(self, connection: Connection) -> datetime:
        """Return from when on raw rows are kept."""
        tables = {fact.table for fact in self.facts} & set(PARTITIONED)
        months = [item.month for table in tables for item in partitions_of(connection, table) if item.is_attached]
        return min(months, default=self.now) if tables else _EPOCH

    def _lock(self, connection: Connection) -> tuple[datetime, datetime]:
        """Wait until nobody else keeps up this source or drops months.

        Returns:
            The first day that is not closed, and the first one that has its cells by hour of sparse keys.
        """
        connection.execute(_LIMITS)
        connection.execute(_LOCK, {"dropping": DROPPING, "name": f"helmsight.rollup.{self.source}"})
        closed, thinned = f"rollup.{self.source}", f"rollup.{self.source}.thin"
        found = {row.name: row.position for row in connection.execute(_POSITIONS_OF, {"names": [closed, thinned]})}
        return found[closed], found[thinned]

    def _move(self, connection: Connection, suffix: str, position: datetime) -> None:
        connection.execute(_MOVE, {"name": f"rollup.{self.source}{suffix}", "position": position})


def _joined(hours: Sequence[datetime]) -> Iterator[Interval]:
    """Yield the spans that *hours*, in order, make up."""
    since = until = hours[0]
    for hour in hours:
        if hour > until:
            yield Interval(since, until)
            since = hour
        until = hour + HOUR
    yield Interval(since, until)


def _whole_cuts(fact: Fact) -> list[str]:
    return [cut for cut, dims in fact.cuts.items() if not dims]


@functools.cache
def _write_statement(table: str, fact: Fact, *, of_dense: bool) -> TextClause:
    columns = f"cut, key, bucket_start, {', '.join(MEASURES)}"
    kept = (
        "WHERE cut = ANY(CAST(:whole AS text[])) OR EXISTS (SELECT FROM rollup_day AS day WHERE day.cut = cells.cut"
        " AND day.key = cells.key AND day.bucket_start = date_bin('1 day', cells.bucket_start, 'epoch')"
        " AND day.n >= :dense)"
    )
    return text(
        f"INSERT INTO {table} ({columns}) SELECT {columns} FROM ({cells_select(fact, tuple(fact.cuts))}) AS cells"  # noqa: S608
        f" {kept if of_dense else ''}"
    )


@functools.cache
def _clear_statement(table: str) -> TextClause:
    return text(
        f"DELETE FROM {table} WHERE cut = ANY(CAST(:cuts AS text[]))"  # noqa: S608 - one of our two tables
        " AND bucket_start >= :since AND bucket_start < :until"
    )


_LIMITS = text("SELECT set_config('statement_timeout', '600s', true), set_config('work_mem', '64MB', true)")
_LOCK = text("SELECT pg_advisory_xact_lock_shared(hashtext(:dropping)), pg_advisory_xact_lock(hashtext(:name))")
_FIRST = text(
    "INSERT INTO job_cursor (name, position)"
    " SELECT * FROM unnest(CAST(:names AS text[]), CAST(:positions AS timestamptz[])) ON CONFLICT DO NOTHING"
)
_POSITIONS = text("SELECT name, position FROM job_cursor WHERE name LIKE 'rollup.%'")
_POSITIONS_OF = text("SELECT name, position FROM job_cursor WHERE name = ANY(CAST(:names AS text[]))")
_MOVE = text("UPDATE job_cursor SET position = :position, updated_at = now() WHERE name = :name")
_MARKED_DAYS = text(
    "SELECT DISTINCT source, date_bin('1 day', hour, 'epoch') AS day FROM rollup_dirty"
    " WHERE hour BETWEEN '1970-01-01' AND '9000-01-01' ORDER BY source, day DESC"
)
_TAKE_MARKS = text(
    "DELETE FROM rollup_dirty WHERE source = :source AND hour >= :since AND hour < :until RETURNING hour"
)
_MARK = text("""
    INSERT INTO rollup_dirty
    SELECT source, hour FROM unnest(CAST(:sources AS text[])) AS source,
        generate_series(CAST(:since AS timestamptz), CAST(:until AS timestamptz), interval '1 hour') AS hour
""")
_THIN = text("""
    DELETE FROM rollup_hour AS hours USING rollup_day AS days
    WHERE hours.cut = ANY(CAST(:cuts AS text[])) AND hours.bucket_start >= :since AND hours.bucket_start < :until
        AND days.cut = hours.cut AND days.key = hours.key
        AND days.bucket_start = date_bin('1 day', hours.bucket_start, 'epoch') AND days.n < :dense
""")
