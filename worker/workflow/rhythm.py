"""When something recurs: cron in a time zone, or every so often. No rows, no clock of its own.

Clocks that change: a local time that does not exist that night counts once, at the moment of the change; one that
exists twice counts once, the first time. Only a rhythm for every hour goes by hours that pass, not by their names.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterError, croniter

from analytics.core.clock import require_aware
from analytics.core.errors import InputError

SHORTEST = timedelta(seconds=1)
LONGEST = timedelta(days=366)
WORDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_FIELDS = 5
_FIELD = re.compile(r"[0-9A-Za-z*/,#-]+", re.ASCII)
_HASHED = re.compile(r"(?<![A-Za-z])[HhRr](?![A-Za-z])")
_LAST_YEARS = 50
_BETWEEN_CHANGES = timedelta(hours=2)
"""No zone changes its clock twice within this."""
_LONGEST_REPETITION = timedelta(hours=3)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Either ``cron``, five fields, or ``every``; made by :func:`parse_rhythm`."""

    cron: str | None = None
    every: timedelta | None = None
    anchor: datetime = _EPOCH
    """Where ``every`` counts from."""

    @property
    def is_hourly(self) -> bool:
        """Tell whether it goes by hours that pass: every hour has its turn, also one that a clock shows twice."""
        return self.cron is not None and self.cron.split()[1] in {"*", "*/1"}


def parse_rhythm(*, cron: str | None = None, every_s: float | None = None, anchor: datetime | None = None) -> Rhythm:
    """Return the rhythm that *cron* or *every_s* says.

    Args:
        cron: ``minute hour day-of-month month day-of-week`` with names, ranges, lists, steps, ``L`` and ``5#2``, or
            a word such as ``@daily``.
        every_s: Seconds from one time to the next instead, 1 to 366 days.
        anchor: A time of *every_s* from which the others count; default: 1970-01-01 UTC.

    Raises:
        InputError: If not exactly one of them is given, it cannot be read, or it never comes.
    """
    if (cron is None) == (every_s is None):
        raise InputError("A schedule has either `cron` or `every_s`; nothing was stored.")
    if every_s is not None:
        if not SHORTEST.total_seconds() <= every_s <= LONGEST.total_seconds():
            raise InputError(f"`every_s` is from 1 second to {LONGEST.days} days; nothing was stored.")
        return Rhythm(every=timedelta(seconds=every_s), anchor=require_aware(anchor) if anchor else _EPOCH)
    written = (cron or "").strip()
    fields = WORDS.get(written.lower(), written).split()
    if len(fields) != _FIELDS or not all(_FIELD.fullmatch(part) for part in fields) or _HASHED.search(" ".join(fields)):
        raise InputError(
            f"{written[:80]!r} is not a cron expression: it has five fields, minute hour day month weekday, such as"
            f" `30 6 * * mon-fri`, or is one of {', '.join(WORDS)}. Nothing was stored."
        )
    expression = " ".join(fields)
    try:
        croniter(expression, datetime(2024, 1, 1), max_years_between_matches=_LAST_YEARS).get_next(datetime)  # noqa: DTZ001
    except (CroniterError, ValueError, KeyError) as error:
        raise InputError(
            f"The cron expression {written[:80]!r} cannot be used ({error}); nothing was stored."
        ) from None
    return Rhythm(cron=expression)


def find_zone(name: str) -> ZoneInfo:
    """Return the time zone *name*.

    Raises:
        InputError: If there is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError(
            f"There is no time zone {name[:80]!r}; use an IANA name such as Europe/Berlin. Nothing was stored."
        ) from None


def next_times(rhythm: Rhythm, zone: str | ZoneInfo, after: datetime, count: int) -> list[datetime]:
    """Return the next *count* times after *after*, in UTC, rising; fewer if there are no more."""
    return list(islice(times_after(rhythm, zone, after), count))


def next_time(rhythm: Rhythm, zone: str | ZoneInfo, after: datetime) -> datetime | None:
    """Return the first time after *after*, or None."""
    return next(times_after(rhythm, zone, after), None)


def newest_times(rhythm: Rhythm, zone: str | ZoneInfo, since: datetime, until: datetime, count: int) -> list[datetime]:
    """Return the newest *count* times of ``[since, until]``, rising."""
    span = timedelta(hours=1)
    while True:
        begin = max(since, until - span)
        found = list(_until(times_after(rhythm, zone, begin - timedelta(microseconds=1)), until))
        if len(found) >= count or begin <= since:
            return found[-count:]
        span *= 4


def times_after(rhythm: Rhythm, zone: str | ZoneInfo, after: datetime) -> Iterator[datetime]:
    """Yield the times after *after*, in UTC, rising, without end or until the calendar's."""
    after = require_aware(after)
    if rhythm.every is not None:
        yield from _interval_times(rhythm.every, rhythm.anchor, after)
        return
    cron = rhythm.cron
    if cron is None:
        return
    found = find_zone(zone) if isinstance(zone, str) else zone
    last: datetime | None = None
    for moment in _cron_times(cron, found, after, hourly=rhythm.is_hourly):
        if moment > after and moment != last:
            last = moment
            yield moment


def _interval_times(every: timedelta, anchor: datetime, after: datetime) -> Iterator[datetime]:
    steps = max(0, (after - anchor) // every + 1)
    while True:
        try:
            yield anchor + steps * every
        except OverflowError:
            return
        steps += 1


def _cron_times(cron: str, zone: ZoneInfo, after: datetime, *, hourly: bool) -> Iterator[datetime]:
    """Go through stretches of time without a change of the clock; what a change leaves out comes at its moment."""
    start = after
    try:
        while True:
            start = _nearer(cron, zone, start)
            for stretch in _stretches(zone, start, start + _DAY):
                yield from _stretch_times(cron, stretch, hourly=hourly)
            start += _DAY
    except (OverflowError, CroniterError):
        return


@dataclass(frozen=True, slots=True)
class _Stretch:
    """``[begin, end)`` with one offset to UTC."""

    begin: datetime
    end: datetime
    offset: timedelta
    changed_at: datetime
    """When the clock was last changed, if that was just before; else ``begin``."""
    before: timedelta
    """The offset until then."""


def _stretch_times(cron: str, stretch: _Stretch, *, hourly: bool) -> Iterator[datetime]:
    begin, offset, before = stretch.begin, stretch.offset, stretch.before
    local = _local(begin, offset)
    left_out = offset > before and stretch.changed_at == begin
    if left_out and not hourly and next(_matches(cron, _local(begin, before))) < local:
        yield begin
    repeated_until = stretch.changed_at + max(before - offset, timedelta(0))
    for match in _matches(cron, local):
        moment = (match - offset).replace(tzinfo=UTC)
        if moment >= stretch.end:
            return
        if hourly or moment >= repeated_until:
            yield moment


def _nearer(cron: str, zone: ZoneInfo, start: datetime) -> datetime:
    """Return a moment up to two days before the next time, so that a yearly rhythm need not go by days."""
    local = _local(start, _offset(zone, start))
    return start + max(timedelta(0), next(_matches(cron, local - _DAY)) - local - 2 * _DAY)


def _stretches(zone: ZoneInfo, begin: datetime, end: datetime) -> Iterator[_Stretch]:
    changed_at, before = _last_change(zone, begin)
    while begin < end:
        offset = _offset(zone, begin)
        change = _first_change(zone, begin, end)
        yield _Stretch(begin, change, offset, changed_at, before)
        begin, changed_at, before = change, change, offset


def _last_change(zone: ZoneInfo, moment: datetime) -> tuple[datetime, timedelta]:
    """Return when the clock was changed within the longest repetition before *moment*, and the offset before that."""
    back = moment - _LONGEST_REPETITION
    before = _offset(zone, back)
    return (moment if before == _offset(zone, moment) else _first_change(zone, back, moment)), before


def _first_change(zone: ZoneInfo, begin: datetime, end: datetime) -> datetime:
    """Return the first second after *begin* that has another offset, or *end*."""
    offset = _offset(zone, begin)
    low = begin
    while low < end:
        high = min(end, low + _BETWEEN_CHANGES)
        if _offset(zone, high) != offset:
            return _search(zone, low, high, offset)
        low = high
    return end


def _search(zone: ZoneInfo, low: datetime, high: datetime, offset: timedelta) -> datetime:
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
        if _offset(zone, middle) == offset:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)


def _matches(cron: str, local: datetime) -> Iterator[datetime]:
    """Yield the local times of *cron* from *local* on."""
    found = croniter(cron, local - timedelta(seconds=1), ret_type=datetime, max_years_between_matches=_LAST_YEARS)
    while True:
        match: datetime = found.get_next(datetime)
        if match >= local.replace(microsecond=0):
            yield match


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)


def _local(moment: datetime, offset: timedelta) -> datetime:
    return (moment + offset).replace(tzinfo=None)


def _until(moments: Iterable[datetime], until: datetime) -> Iterator[datetime]:
    for moment in moments:
        if moment > until:
            return
        yield moment
