"""Read the rollup: totals, rankings, courses over time, and the raw rows behind them.

What is read, by the length of the interval:

* up to six hours: the raw rows, with the select that fills the cells, exact at both ends and in steps of any length;
* up to 48 hours: cells by hour, both ends moved outward to the full hour;
* beyond: cells by day (UTC), the start moved to the beginning of its day, and cells by hour for days not closed yet.

Hours of a single key are kept for ``tiers.KEEP_ALL_HOURS``; where older ones are asked for, raw rows answer.
:func:`window` says what a reading really covers. Nothing seen is no cell, never a cell of zeros.
"""

import functools
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, TextClause, text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, floor_time, utc_now
from analytics.core.errors import InputError
from analytics.rollup.cell import Cell, cell_of, summed
from analytics.rollup.cuts import CUTS, FACTS, LONGEST_PART, fact_of, parts
from analytics.rollup.sums import CELL, MEASURES, OF_CELLS, cells_select, dimension
from analytics.rollup.tiers import DAY, HOUR, KEEP_HOURS, MINUTE, ceil_time, closed_by, thinned_by

RAW_UP_TO = timedelta(hours=6)
HOURS_UP_TO = timedelta(hours=48)
MOST_STEPS = 10_000
MOST_ROWS = 1_000

__all__ = [
    "DAY",
    "HOUR",
    "Course",
    "Covered",
    "Want",
    "drill",
    "keys",
    "read_many",
    "series",
    "total",
    "totals",
    "window",
]

_RAW, _HOURS, _DAYS = "raw", "hours", "days"


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
    if interval.length <= RAW_UP_TO:
        return _covered(interval, interval.length, MINUTE)
    if interval.length <= HOURS_UP_TO:
        return _by_hour(interval)
    since = floor_time(interval.since, DAY)
    until = ceil_time(interval.until, HOUR if interval.until > closed_by(now) else DAY)
    whole_days = max(1, round((until - since) / DAY)) * DAY
    return _covered(Interval(since, until), whole_days, DAY)


def totals(
    session: Session,
    cut: str,
    interval: Interval,
    *,
    keys: Sequence[str] | None = None,
    most: int | None = None,
    order: str = "n",
    now: datetime | None = None,
) -> dict[str, Cell]:
    """Return the cell of every key of *cut*, greatest first: one query, one pass.

    Args:
        session: The open transaction.
        cut: Such as ``agent_run.agent``.
        interval: From when to when; see :func:`window`.
        keys: Only these.
        most: Only so many.
        order: The number to rank by: ``n``, ``failed``, ``duration_s``, ``cost_usd``, ``input_tokens``,
            ``output_tokens`` or ``value_sum``.
        now: The present; default: the clock.

    Raises:
        InputError: If there is no such cut or order.
    """
    if order not in _ORDERS:
        raise InputError(f"Keys are not ranked by {order!r}; choose one of {', '.join(sorted(_ORDERS))}.")
    how, values = _across(cut, interval, now or utc_now())
    chosen = {"keys": None if keys is None else list(keys), "most": most}
    statement = _totals_statement(how, cut, order, is_narrowed=keys is not None)
    return {row[0]: cell_of(row[1:]) for row in session.execute(statement, {**values, **chosen}).all()}


def total(session: Session, want: Want, interval: Interval, *, now: datetime | None = None) -> Cell | None:
    """Return the cell of one line over *interval*; None when nothing was seen."""
    return read_many(session, [want], interval, with_before=False, now=now)[want].total


def series(
    session: Session, want: Want, interval: Interval, *, step: timedelta, now: datetime | None = None
) -> list[tuple[datetime, Cell | None]]:
    """Return one line step by step, each step at its start, oldest first; None where nothing was seen.

    Args:
        session: The open transaction.
        want: The line.
        interval: From when to when; moved outward to whole steps.
        step: A minute or more for up to six hours, else a multiple of an hour or of a day.
        now: The present; default: the clock.

    Raises:
        InputError: If there is no such cut, or the step is not one of those.
    """
    return list(read_many(session, [want], interval, step=step, with_before=False, now=now)[want].steps)


def read_many(
    session: Session,
    wants: Sequence[Want],
    interval: Interval,
    *,
    step: timedelta | None = None,
    with_before: bool = True,
    now: datetime | None = None,
) -> dict[Want, Course]:
    """Return how each of *wants* went, all with one query.

    Args:
        session: The open transaction.
        wants: The lines; each has a course in the answer.
        interval: From when to when; see :func:`window`.
        step: As for :func:`series`; None reads no steps.
        with_before: Whether to read the time before, too.
        now: The present; default: the clock.

    Raises:
        InputError: If there is no such cut, or the step cannot be had.
    """
    now = now or utc_now()
    covered = _stepped(window(interval, now=now), interval, step)
    start = covered.before.since if with_before else covered.interval.since
    ways: dict[str, list[Want]] = {}
    for want in dict.fromkeys(wants):
        has_key = bool(fact_of(want.cut).cuts[want.cut])
        ways.setdefault(_how(covered, start, has_key=has_key, now=now), []).append(want)
    found: dict[Want, _Line] = {}
    for how, lines in ways.items():
        values = {
            "since": start,
            "until": covered.interval.until,
            "origin": covered.interval.since,
            "step": step or max(covered.interval.length, MINUTE),
        }
        found |= _raw_lines(session, lines, values) if how == _RAW else _cell_lines(session, how, lines, values)
    starts = _starts(covered.interval, step)
    return {want: _course(found.get(want, {}), covered, starts, with_before=with_before) for want in wants}


def keys(session: Session, cut: str, interval: Interval, *, now: datetime | None = None) -> list[str]:
    """Return the keys of *cut* that were seen in *interval*, in alphabetical order."""
    how, values = _across(cut, interval, now or utc_now())
    return list(session.scalars(_keys_statement(how, cut), values).all())


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
    fact = fact_of(cut)
    if not 1 <= limit <= MOST_ROWS:
        raise InputError(f"At most {MOST_ROWS:,} rows are read at once, at least 1, not {limit}; nothing was read.")
    given = dict(zip(fact.cuts[cut], parts(key), strict=False))
    plain = tuple(0 < len(part) < LONGEST_PART for part in given.values())
    statement = _drill_statement(cut, plain, is_first=after is None)
    values: dict[str, Any] = {**given, "until": interval.until, "limit": limit}
    values |= {"at": after[0], "id": after[1]} if after else {}
    newest = interval.until if after is None else min(interval.until, after[0])
    found: Sequence[RowMapping] = []
    for length in (RAW_UP_TO, HOURS_UP_TO, interval.length):  # most keys fill a page from the newest of their rows
        since = max(interval.since, newest - length) if length < interval.length else interval.since
        found = session.execute(statement, {**values, "since": since}).mappings().all()
        if len(found) == limit or since == interval.since:
            break
    return [dict(row) for row in found]


@functools.lru_cache(maxsize=256)
def _drill_statement(cut: str, plain: tuple[bool, ...], *, is_first: bool) -> TextClause:
    """Return the select of raw rows; parts of the key that are *plain* can be found by an index on their column."""
    fact = fact_of(cut)
    conditions = [f"{fact.time} >= :since", f"{fact.time} < :until", fact.where]
    for dim, is_plain in zip(fact.cuts[cut], plain, strict=False):
        conditions.append(f"{f'({fact.dims[dim]})::text' if is_plain else dimension(fact, dim)} = :{dim}")
    if not is_first:
        conditions.append(f"({fact.time}, id) < (:at, :id)")
    where = " AND ".join(f"({condition})" for condition in conditions)
    return text(
        f"SELECT id, {fact.time} AS at, {', '.join(fact.shown)} FROM {fact.table} WHERE {where}"  # noqa: S608
        f" ORDER BY {fact.time} DESC, id DESC LIMIT :limit"
    )


def _covered(interval: Interval, compared: timedelta, step: timedelta) -> Covered:
    return Covered(interval, Interval(interval.since - compared, interval.since), step)


def _by_hour(interval: Interval) -> Covered:
    since, until = floor_time(interval.since, HOUR), ceil_time(interval.until, HOUR)
    return _covered(Interval(since, until), max(1, round(interval.length / HOUR)) * HOUR, HOUR)


def _stepped(covered: Covered, interval: Interval, step: timedelta | None) -> Covered:
    """Return what is covered when it is read in steps of *step*."""
    if step is None:
        return covered
    if covered.step == DAY and step % DAY and not step % HOUR:
        covered = _by_hour(interval)
    if step < MINUTE or (covered.step != MINUTE and step % covered.step):
        raise InputError(
            f"An interval of {interval.length} is not read in steps of {step}; choose a minute or more for up to"
            " six hours, else whole hours or days."
        )
    if covered.interval.length / step > MOST_STEPS:
        raise InputError(f"More than {MOST_STEPS:,} steps are not read; choose a longer step than {step}.")
    return covered


def _how(covered: Covered, since: datetime, *, has_key: bool, now: datetime) -> str:
    """Return where a reading from *since* on is answered from."""
    if covered.step == MINUTE:
        return _RAW
    if covered.step == DAY:
        return _DAYS
    return _RAW if since < (thinned_by(now) if has_key else floor_time(now - KEEP_HOURS, DAY)) else _HOURS


def _starts(interval: Interval, step: timedelta | None) -> list[datetime]:
    if step is None:
        return []
    count = -(-interval.length // step)
    return [interval.since + place * step for place in range(count)]


def _course(
    found: Mapping[datetime, Cell], covered: Covered, starts: Sequence[datetime], *, with_before: bool
) -> Course:
    since = covered.interval.since
    current = [cell for at, cell in found.items() if at >= since]
    return Course(
        total=summed(current),
        before=found.get(covered.before.since) if with_before else None,
        steps=[(start, found.get(start)) for start in starts],
    )


_Line = dict[datetime, Cell]
"""The cells of one line by the start of their step."""


def _raw_lines(session: Session, wants: Sequence[Want], values: Mapping[str, Any]) -> dict[Want, _Line]:
    lines: dict[Want, _Line] = {want: {} for want in wants}
    cuts = tuple(cut for cut in CUTS if any(want.cut == cut for want in wants))
    chosen = {f"keys_{place}": [want.key for want in wants if want.cut == cut] for place, cut in enumerate(cuts)}
    for row in session.execute(_raw_statement(cuts), {**values, **chosen}).all():
        line = lines.get(Want(row[0], row[1]))
        if line is not None:
            line[row[2]] = cell_of(row[3:])
    return lines


@functools.lru_cache(maxsize=256)
def _raw_statement(cuts: tuple[str, ...]) -> TextClause:
    """Return the select of *cuts*, as they stand in :data:`CUTS`, from raw rows; of each only its own keys."""
    places = {cut: place for place, cut in enumerate(cuts)}
    selects = []
    for fact in FACTS.values():
        own = tuple(cut for cut in cuts if cut in fact.cuts)
        if own:
            narrowed = " OR ".join(_key_is_one_of(cut, f"keys_{places[cut]}") for cut in own)
            cells = cells_select(fact, own, f"AND ({narrowed})")
            selects.append(f"SELECT cut, key, bucket_start, {CELL} FROM ({cells}) AS cells")  # noqa: S608
    return text(" UNION ALL ".join(f"({select})" for select in selects))


def _key_is_one_of(cut: str, name: str) -> str:
    fact = fact_of(cut)
    expressions = [dimension(fact, dim) for dim in fact.cuts[cut]]
    if not expressions:
        return f"CAST(:{name} AS text[]) IS NOT NULL"
    return f"concat_ws(chr(31), {', '.join(expressions)}) = ANY(CAST(:{name} AS text[]))"


def _cell_lines(session: Session, how: str, wants: Sequence[Want], values: Mapping[str, Any]) -> dict[Want, _Line]:
    if len(wants) == 1:
        want = wants[0]
        line = {"cut": want.cut, "key": want.key, "source": f"rollup.{CUTS[want.cut].source}"}
        rows = session.execute(_ONE_OF_HOURS if how == _HOURS else _ONE_OF_DAYS, {**values, **line}).all()
        return {want: {row[0]: cell_of(row[1:]) for row in rows}}
    chosen = {
        "cuts": [want.cut for want in wants],
        "keys": [want.key for want in wants],
        "sources": [f"rollup.{CUTS[want.cut].source}" for want in wants],
    }
    lines: list[_Line] = [{} for _ in wants]
    for row in session.execute(_OF_HOURS if how == _HOURS else _OF_DAYS, {**values, **chosen}).all():
        lines[row[0] - 1][row[1]] = cell_of(row[2:])
    return dict(zip(wants, lines, strict=True))


_STEP = """
    CASE WHEN cell.bucket_start < :origin THEN :since
        ELSE date_bin(CAST(:step AS interval), cell.bucket_start, :origin) END AS at
"""
# One line has a statement of its own because PostgreSQL plans it once for all: it takes a third of the time.
_ONE = f"SELECT {_STEP}, {OF_CELLS} FROM ({{cells}}) AS cell GROUP BY at"  # noqa: S608
_ONE_CELLS = f"""
    SELECT bucket_start, {", ".join(MEASURES)} FROM {{table}}
    WHERE cut = :cut AND key = :key AND bucket_start >= :since AND bucket_start < :until
"""  # noqa: S608
_CLOSED = "(SELECT coalesce(max(position), '-infinity') FROM job_cursor WHERE name = :source)"
_ONE_OF_HOURS = text(_ONE.format(cells=_ONE_CELLS.format(table="rollup_hour")))
_ONE_OF_DAYS = text(
    _ONE.format(
        cells=f"{_ONE_CELLS.format(table='rollup_day')} AND bucket_start < {_CLOSED}"
        f" UNION ALL {_ONE_CELLS.format(table='rollup_hour')} AND bucket_start >= {_CLOSED}"
    )
)
_LINES = """
    SELECT line.place, {step}, {of_cells}
    FROM (
        SELECT line.*, coalesce(cursor.position, '-infinity') AS closed
        FROM unnest(CAST(:cuts AS text[]), CAST(:keys AS text[]), CAST(:sources AS text[]))
            WITH ORDINALITY AS line (cut, key, source, place)
        LEFT JOIN job_cursor AS cursor ON cursor.name = line.source
    ) AS line
    CROSS JOIN LATERAL ({cells}) AS cell
    GROUP BY line.place, at
"""
_LINE_HOURS = """
    SELECT * FROM rollup_hour WHERE cut = line.cut COLLATE "C" AND key = line.key COLLATE "C"
        AND bucket_start >= :since AND bucket_start < :until
"""
_LINE_DAYS = """
    SELECT * FROM rollup_day WHERE cut = line.cut COLLATE "C" AND key = line.key COLLATE "C"
        AND bucket_start >= :since AND bucket_start < :until AND bucket_start < line.closed
"""
_OF_HOURS = text(_LINES.format(step=_STEP, of_cells=OF_CELLS, cells=_LINE_HOURS))
_OF_DAYS = text(
    _LINES.format(
        step=_STEP, of_cells=OF_CELLS, cells=f"{_LINE_DAYS} UNION ALL {_LINE_HOURS} AND bucket_start >= line.closed"
    )
)

_ORDERS = {"n", "failed", "duration_s", "cost_usd", "input_tokens", "output_tokens", "value_sum"}


def _across(cut: str, interval: Interval, now: datetime) -> tuple[str, dict[str, Any]]:
    """Return where a reading over all keys of *cut* is answered from, and the values of its statement."""
    fact = fact_of(cut)
    covered = window(interval, now=now)
    values = {
        "cut": cut,
        "source": f"rollup.{fact.source}",
        "since": covered.interval.since,
        "until": covered.interval.until,
        "origin": covered.interval.since,
        "step": max(covered.interval.length, MINUTE),
    }
    return _how(covered, covered.interval.since, has_key=bool(fact.cuts[cut]), now=now), values


@functools.lru_cache(maxsize=256)
def _totals_statement(how: str, cut: str, order: str, *, is_narrowed: bool) -> TextClause:
    return text(
        f"SELECT key, {OF_CELLS} FROM ({_all_cells(how, cut, is_narrowed=is_narrowed)}) AS cell GROUP BY key"  # noqa: S608
        f" ORDER BY sum({order}) DESC NULLS LAST, key LIMIT :most"
    )


@functools.lru_cache(maxsize=256)
def _keys_statement(how: str, cut: str) -> TextClause:
    return text(f"SELECT DISTINCT key FROM ({_all_cells(how, cut, is_narrowed=False)}) AS cell ORDER BY key")  # noqa: S608


def _all_cells(how: str, cut: str, *, is_narrowed: bool) -> str:
    """Return the select of the cells of every key of *cut*."""
    if how == _RAW:
        return cells_select(fact_of(cut), (cut,), f"AND {_key_is_one_of(cut, 'keys')}" if is_narrowed else "")
    narrowed = "AND key = ANY(CAST(:keys AS text[]))" if is_narrowed else ""
    where = f"cut = :cut AND bucket_start >= :since AND bucket_start < :until {narrowed}"
    hours = f"SELECT * FROM rollup_hour WHERE {where}"  # noqa: S608
    if how == _HOURS:
        return hours
    days = f"SELECT * FROM rollup_day WHERE {where}"  # noqa: S608
    return f"{days} AND bucket_start < {_CLOSED} UNION ALL {hours} AND bucket_start >= {_CLOSED}"
