"""The global filters: a time range and a refresh rhythm, both kept in the URL.

``?range=24h&refresh=30s``, or ``?range=custom&from=2026-11-20T08:00Z&to=2026-11-20T12:00Z``. A relative range stays
relative: it is resolved when numbers are read, so that a shared link shows the reader's present. The widgets that
change them are in ``components/head.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from analytics.core.clock import Interval, utc_now

RANGE_KEY = "range"
REFRESH_KEY = "refresh"
FROM_KEY = "from"
TO_KEY = "to"

CUSTOM = "custom"
DEFAULT_RANGE = "24h"
DEFAULT_REFRESH = "30s"
LONGEST = timedelta(days=366)

RANGES: Mapping[str, timedelta] = {
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
REFRESHES: Mapping[str, timedelta | None] = {
    "off": None,
    "10s": timedelta(seconds=10),
    "30s": timedelta(seconds=30),
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
}
_WORDS = {"1h": "last hour", "6h": "last 6 hours", "24h": "last 24 hours", "7d": "last 7 days", "30d": "last 30 days"}
_STAMP = "%Y-%m-%dT%H:%MZ"


@dataclass(frozen=True, slots=True)
class Span:
    """A time range as a reader chose it: relative to now, or fixed."""

    name: str
    """A key of :data:`RANGES`, or ``custom``."""
    since: datetime | None = None
    """Ends of a fixed range, ``[since, until)``; None for a relative one."""
    until: datetime | None = None

    @property
    def is_fixed(self) -> bool:
        """Return whether the range stands still."""
        return self.since is not None and self.until is not None

    @property
    def length(self) -> timedelta:
        """Return how long the range is."""
        if self.since is not None and self.until is not None:
            return self.until - self.since
        return RANGES[self.name]

    @property
    def words(self) -> str:
        """Return the range as it reads in a sentence."""
        if self.since is not None and self.until is not None:
            return f"{self.since:%d %b %Y %H:%M} to {self.until:%d %b %Y %H:%M} UTC"
        return _WORDS[self.name]

    def interval(self, *, now: datetime | None = None) -> Interval:
        """Return the span of time it stands for at *now* (default: the present)."""
        if self.since is not None and self.until is not None:
            return Interval(self.since, self.until)
        return Interval.last(RANGES[self.name], now=now)

    def fresh_for(self) -> timedelta:
        """Return how long numbers of this range may be shown again: a long range changes slowly."""
        if self.length <= RANGES["1h"]:
            return timedelta(seconds=10)
        return timedelta(seconds=30) if self.length <= RANGES["24h"] else timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Filters:
    """What the reader chose for all pages."""

    span: Span
    refresh: str = DEFAULT_REFRESH
    """A key of :data:`REFRESHES`."""

    @property
    def rhythm(self) -> timedelta | None:
        """Return how often pages renew themselves; None when paused, and always for a fixed range."""
        return None if self.span.is_fixed else REFRESHES[self.refresh]

    def params(self) -> dict[str, str]:
        """Return the filters as query parameters; defaults are left out, so that links stay short."""
        params: dict[str, str] = {}
        if self.span.since is not None and self.span.until is not None:
            params |= {RANGE_KEY: CUSTOM, FROM_KEY: stamp(self.span.since), TO_KEY: stamp(self.span.until)}
        elif self.span.name != DEFAULT_RANGE:
            params[RANGE_KEY] = self.span.name
        if self.refresh != DEFAULT_REFRESH:
            params[REFRESH_KEY] = self.refresh
        return params


def stamp(value: datetime) -> str:
    """Return *value* as it stands in a URL: UTC, to the minute."""
    return value.astimezone(UTC).strftime(_STAMP)


def parse_stamp(text: str | None) -> datetime | None:
    """Return the time written in *text*, or None when it is not one; a time without zone counts as UTC."""
    if not text:
        return None
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def parse_span(name: str | None, since: str | None = None, until: str | None = None) -> Span:
    """Return the range that URL values stand for.

    A value that cannot be used gives the default range: a mangled link still opens. A fixed range longer than
    :data:`LONGEST` is cut at its beginning.
    """
    if name == CUSTOM:
        start, end = parse_stamp(since), parse_stamp(until)
        if start is not None and end is not None and start < end:
            return Span(CUSTOM, max(start, end - LONGEST), end)
    return Span(name if name is not None and name in RANGES else DEFAULT_RANGE)


def parse_refresh(text: str | None) -> str:
    """Return the refresh rhythm that a URL value stands for; the default when there is none of that name."""
    return text if text is not None and text in REFRESHES else DEFAULT_REFRESH


def fixed(since: datetime, until: datetime, *, now: datetime | None = None) -> Span:
    """Return the fixed range ``[since, until)``, not reaching beyond *now*."""
    return Span(CUSTOM, since, min(until, now or utc_now()))
