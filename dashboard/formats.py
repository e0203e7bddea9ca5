"""How values read: units, durations, ages, compact numbers, and the words for what is not known.

Pure functions; nothing here draws or fetches. A value that is not known is None, and reads as :data:`NO_DATA`.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from analytics.core.words import NO_DATA, change, duration, money, number, percent, plural, quantity, size_bytes

__all__ = [
    "DASH",
    "NO_DATA",
    "age",
    "change",
    "duration",
    "escaped",
    "moment",
    "money",
    "number",
    "percent",
    "percent_against",
    "plural",
    "quantity",
    "size_bytes",
    "zone_named",
]

DASH = "\N{EN DASH}"

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+!|~:$@&-])")
_ADDRESS = re.compile(r"(@|://|\bwww\b)", re.IGNORECASE)
_JOINER = "\N{WORD JOINER}"
"""Has no width; what follows an @ or :// is no address then, which Markdown would otherwise make a link."""
_MOST_PLACES = 6
_MINUTE_S = 60
_HOUR_S = 3600
_DAY_S = 86400


def percent_against(ratio: float | None, target: float | Decimal) -> str:
    """Return *ratio* as per cent, with as many digits as tell it from *target* when the two differ."""
    text, goal = percent(ratio), percent(target)
    if ratio is None or text != goal or ratio == float(target):
        return text
    for places in range(2, _MOST_PLACES):
        if percent(ratio, places=places) != percent(target, places=places):
            return percent(ratio, places=places)
    return text


def age(moment: datetime | None, *, now: datetime) -> str:
    """Return how long ago *moment* was, in one unit; ``never`` when it is None."""
    if moment is None:
        return "never"
    seconds = (now - moment).total_seconds()
    if seconds < 0:
        return f"in {_one_unit(-seconds)}" if seconds <= -1 else "just now"
    return f"{_one_unit(seconds)} ago" if seconds >= 1 else "just now"


def _one_unit(seconds: float) -> str:
    for size, name in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {name}"
    return f"{int(seconds)} s"


def zone_named(name: str | None) -> ZoneInfo:
    """Return the time zone called *name*, or UTC when there is none of that name."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def moment(value: datetime | None, zone: ZoneInfo | None = None, *, seconds: bool = True) -> str:
    """Return *value* as a reader in *zone* writes it, with the zone; a dash when it is None."""
    if value is None:
        return DASH
    local = value.astimezone(zone or UTC)
    clock = "%H:%M:%S" if seconds else "%H:%M"
    return local.strftime(f"%d %b %Y {clock} %Z")


def escaped(text: str | None) -> str:
    """Return *text* that people or programs gave us so that Markdown shows it as it is: no link, no colour."""
    return _MARKDOWN.sub(r"\\\1", _ADDRESS.sub(rf"\1{_JOINER}", text or ""))
