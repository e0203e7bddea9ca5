"""Lengths of time as specifications write them, and shares."""

import re
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal, InvalidOperation

from analytics.core.errors import InputError

_UNITS = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
_PART = re.compile(r"(\d{1,9})(ms|[wdhms])", re.ASCII)
_WHOLE = re.compile(r"(?:\d{1,9}(?:ms|[wdhms]))+", re.ASCII)
_LONGEST = timedelta(days=3660)
_HUNDRED = 100
_MOST_DIGITS = 40


def duration(text: str) -> timedelta:
    """Return the length that *text* writes the way Prometheus does: ``30d``, ``1h30m``, ``500ms``.

    Raises:
        InputError: If it writes none, or more than ten years.
    """
    if not _WHOLE.fullmatch(text):
        raise InputError(f"{text[:_MOST_DIGITS]!r} is no length of time; write it like 30d, 6h, 5m or 1h30m.")
    seconds = sum(int(count) * _UNITS[unit].total_seconds() for count, unit in _PART.findall(text))
    if seconds > _LONGEST.total_seconds():
        raise InputError(f"{text[:_MOST_DIGITS]} is longer than ten years.")
    return timedelta(seconds=seconds)


def duration_text(length: timedelta) -> str:
    """Return *length* in the fewest units, such as ``30d``, ``1h30m`` or ``0s``; weeks are written as days."""
    rest, parts = length, []
    for unit in ("d", "h", "m", "s", "ms"):
        count, rest = divmod(rest, _UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def share(value: object) -> Decimal:
    """Return the share that *value* writes: ``"99.9%"``, ``0.999`` or ``"0.999"``.

    Raises:
        InputError: If it writes none from 0 to 1.
    """
    if isinstance(value, str) and value.endswith("%"):
        found = number(value.removesuffix("%").strip()) / _HUNDRED
    else:
        found = number(value)
        if found > 1:
            raise InputError(f"{value} is not a share: write '{value}%' for per cent, or a number up to 1.")
    if not 0 <= found <= 1:
        raise InputError(f"{value} is not a share from 0 % to 100 %.")
    return found


def percent(value: Decimal) -> str:
    """Return the share *value* in per cent, exactly: ``99.9%``."""
    return f"{plain(value * _HUNDRED)}%"


def number(value: object) -> Decimal:
    """Return the finite number that *value* is or writes, as it is written.

    Raises:
        InputError: If it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise InputError(f"A number is needed, not {kind_of(value)}.")
    text, found = "", None
    with suppress(InvalidOperation, ValueError):  # Python refuses to write out very long numbers.
        text = str(value)
        found = Decimal(text) if len(text) <= _MOST_DIGITS else None
    if found is None or not found.is_finite() or abs(found.adjusted()) > _MOST_DIGITS:
        raise InputError(f"{text[:_MOST_DIGITS]!r} is not a number.")
    return found


def plain(value: Decimal) -> str:
    """Return *value* without an exponent and without zeros that say nothing."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def kind_of(value: object) -> str:
    """Return what *value* is, in the words of YAML."""
    names: dict[type, str] = {dict: "a mapping", list: "a list", str: "text", bool: "true or false"}
    return "nothing" if value is None else names.get(type(value), "a number")
