"""How a span of time recurs: the part of RFC 5545 that maintenance needs, by the clock of a time zone.

A rule that could search the calendar without end is refused, so that expanding one is bounded.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rrulestr

from analytics.core.clock import Interval
from analytics.core.errors import InputError

LONGEST_RULE = 200
_DAY = timedelta(days=1)
_DAYS = "(?:MO|TU|WE|TH|FR|SA|SU)"
_MONTH_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A span that comes once, or again by a rule; make it with :func:`recurrence`."""

    first: Interval
    zone: ZoneInfo
    rule: str | None
    """None for once."""

    def within(self, interval: Interval) -> list[Interval]:
        """Return the occurrences within *interval*, oldest first, cut to it."""
        if self.rule is None:
            return _cut([self.first], interval)
        begin = _wall(self.first.since, self.zone)
        length = _wall(self.first.until, self.zone) - begin
        if length <= timedelta(0):  # it ends in the hour that came twice
            length = self.first.length
        since, until = (_wall(moment, self.zone) for moment in (interval.since, interval.until))
        starts = _rule(self.rule, begin).between(since - length - _DAY, until + _DAY, inc=True)
        return _cut([self._occurrence(start, length, is_first=start == begin) for start in starts], interval)

    def _occurrence(self, start: datetime, length: timedelta, *, is_first: bool) -> Interval:
        if is_first:
            return self.first
        since, until = self._moment(start), self._moment(start + length)
        return Interval(since, until if until > since else since + self.first.length)

    def _moment(self, wall: datetime) -> datetime:
        """Return when the zone's clock shows *wall*: the first time if twice; if never, as without the change."""
        return wall.replace(tzinfo=self.zone).astimezone(UTC)


def recurrence(first: Interval, *, rule: str | None, zone: str) -> Recurrence:
    """Return how *first* recurs.

    Args:
        first: The first occurrence; it must be one of the rule's.
        rule: As in RFC 5545, without ``RRULE:``; None for once.
        zone: IANA name of the time zone in whose clock it recurs.

    Raises:
        InputError: If the zone or the rule cannot be used, with what may be written.
    """
    try:
        found = ZoneInfo(zone)
    except (KeyError, ValueError, OSError) as error:
        raise InputError(f"There is no time zone {zone[:100]!r}; name one like Europe/Berlin.") from error
    if rule is None:
        return Recurrence(first, found, None)
    checked = _checked(rule, found)
    begin = _wall(first.since, found)
    comes: datetime | None = _rule(checked, begin).after(begin, inc=True)
    if comes != begin:
        when = "never" if comes is None else f"first on {comes:%A %Y-%m-%d at %H:%M}"
        raise InputError(
            f"The rule {checked} comes {when}, not at the start, {begin:%A %Y-%m-%d at %H:%M} in {zone}. Start with an"
            " occurrence of the rule."
        )
    return Recurrence(first, found, checked)


def _wall(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return what the clock of *zone* shows at *moment*, to the second."""
    return moment.astimezone(zone).replace(tzinfo=None, microsecond=0)


def _listed(item: str) -> re.Pattern[str]:
    return re.compile(f"{item}(?:,{item})*", re.ASCII)


_NUMBERED_DAYS = _listed(f"(?:-?[1-5])?{_DAYS}")
_MONTHDAYS = _listed(r"-?(?:3[01]|[12]\d|[1-9])")
_POSITION = re.compile("-?[1-4]")
_ALWAYS: Mapping[str, re.Pattern[str]] = {
    "INTERVAL": re.compile(r"[1-9]\d{0,3}", re.ASCII),
    "COUNT": re.compile(r"[1-9]\d{0,3}", re.ASCII),
    "UNTIL": re.compile(r"\d{8}(?:T\d{6}Z?)?", re.ASCII),
    "WKST": re.compile(_DAYS),
}
_PARTS: Mapping[str, Mapping[str, re.Pattern[str]]] = {
    "DAILY": _ALWAYS,
    "WEEKLY": {"BYDAY": _listed(_DAYS), **_ALWAYS},
    "MONTHLY": {"BYDAY": _NUMBERED_DAYS, "BYMONTHDAY": _MONTHDAYS, "BYSETPOS": _POSITION, **_ALWAYS},
    "YEARLY": {
        "BYMONTH": _listed("(?:1[0-2]|[1-9])"),
        "BYDAY": _NUMBERED_DAYS,
        "BYMONTHDAY": _MONTHDAYS,
        "BYSETPOS": _POSITION,
        **_ALWAYS,
    },
}
"""What each rhythm may be narrowed by, and how that is written."""


def _checked(rule: str, zone: ZoneInfo) -> str:
    """Return *rule* in capitals, its end by the clock of *zone*."""
    written = rule.strip().upper().removeprefix("RRULE:")
    if len(written) > LONGEST_RULE:
        raise InputError(f"A rule has at most {LONGEST_RULE} characters.")
    pairs = [part.partition("=")[::2] for part in written.split(";")]
    parts = dict(pairs)
    allowed = _PARTS.get(parts.get("FREQ", ""))
    if allowed is None:
        raise InputError(f"The rule {written!r} has no FREQ of {', '.join(_PARTS)}; write for example FREQ=WEEKLY.")
    if len(parts) < len(pairs):
        raise InputError(f"The rule {written} gives a part twice.")
    for name, value in parts.items():
        if name == "FREQ":
            continue
        if name not in allowed:
            raise InputError(f"A {parts['FREQ']} rule cannot have {name or value!r}; it may have {', '.join(allowed)}.")
        if not allowed[name].fullmatch(value):
            raise InputError(f"In the rule {written}, {name}={value} cannot be used.")
    _check_together(parts)
    if "UNTIL" in parts:
        parts["UNTIL"] = _wall_end(parts["UNTIL"], zone)
    return ";".join(f"{name}={value}" for name, value in parts.items())


def _check_together(parts: Mapping[str, str]) -> None:
    """Refuse parts that contradict each other or could leave a rule without any occurrence."""
    days, monthdays = parts.get("BYDAY"), parts.get("BYMONTHDAY")
    if "COUNT" in parts and "UNTIL" in parts:
        raise InputError("A rule ends by COUNT or by UNTIL, not by both.")
    if days is not None and monthdays is not None:
        raise InputError("A rule takes BYDAY or BYMONTHDAY, not both.")
    if "BYSETPOS" in parts and (days is None or re.search(r"\d", days)):
        raise InputError("BYSETPOS needs BYDAY with plain days, such as BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1.")
    if parts["FREQ"] != "YEARLY" or (days is None and monthdays is None):
        return
    if "BYMONTH" not in parts:
        raise InputError("A YEARLY rule with days needs BYMONTH.")
    longest = max(_MONTH_LENGTHS[int(month) - 1] for month in parts["BYMONTH"].split(","))
    if monthdays is not None and min(abs(int(day)) for day in monthdays.split(",")) > longest:
        raise InputError(f"No month of BYMONTH={parts['BYMONTH']} has a day {monthdays}.")


def _wall_end(until: str, zone: ZoneInfo) -> str:
    """Return the end of a rule by the clock of *zone*; a date is the end of that day."""
    try:
        if until.endswith("Z"):
            utc = datetime.strptime(until, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            return f"{utc.astimezone(zone):%Y%m%dT%H%M%S}"
        if "T" in until:
            return f"{datetime.strptime(until, '%Y%m%dT%H%M%S'):%Y%m%dT%H%M%S}"  # noqa: DTZ007 - what a clock shows
        day = datetime.strptime(until, "%Y%m%d").date()  # noqa: DTZ007 - a date
    except (ValueError, OverflowError) as error:
        raise InputError(f"UNTIL={until} is no date; write for example 20261231.") from error
    return f"{datetime.combine(day, time(23, 59, 59)):%Y%m%dT%H%M%S}"


@lru_cache(maxsize=256)
def _rule(rule: str, begin: datetime) -> rrule:
    """Return the rule from *begin* on; both without a zone, as a clock shows them. It remembers what it found."""
    return rrulestr(rule, dtstart=begin, cache=True)


def _cut(spans: Sequence[Interval], interval: Interval) -> list[Interval]:
    return [
        Interval(max(span.since, interval.since), min(span.until, interval.until))
        for span in spans
        if span.since < interval.until and span.until > interval.since
    ]
