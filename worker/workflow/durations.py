"""Durations in definitions: a number of seconds, or a text such as ``250ms``, ``30s``, ``5m``, ``1h`` or ``7d``."""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from analytics.core.errors import InputError

DURATION_SCHEMA: dict[str, Any] = {
    "type": ["number", "string"],
    "minimum": 0,
    "pattern": r"^\d{1,9}(\.\d{1,9})?(ms|s|m|h|d)$",
}
DAY_S = 86_400.0
MAX_S = 36_525 * DAY_S
"""A hundred years: beyond, moments cannot be told any more."""

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|d)", re.ASCII)
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY_S}


def parse_duration(value: float | str) -> timedelta:
    """Return *value* as a duration.

    Raises:
        InputError: If it is not one.
    """
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        if match is None:
            raise InputError(f"{value[:40]!r} is not a duration such as 250ms, 30s, 5m, 1h or 7d.")
        value = float(match[1]) * _UNITS_S[match[2]]
    if not abs(value) <= MAX_S:  # also not a number
        raise InputError(f"{value:g} s is no duration that can be counted.")
    return timedelta(seconds=value)


def duration_problems(
    config: Mapping[str, Any], name: str, *, least_s: float = 0.0, most_s: float
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield what is wrong with the duration *name* of *config*, which may be missing or hold a template.

    Args:
        config: What may hold it.
        name: Its key.
        least_s: The shortest allowed, in seconds; 0 allows any above nothing.
        most_s: The longest allowed, in seconds.
    """
    value = config.get(name)
    if value is None or isinstance(value, bool) or (isinstance(value, str) and "{{" in value):
        return
    try:
        seconds = parse_duration(value).total_seconds()
    except (InputError, TypeError) as error:
        yield (name,), error.message if isinstance(error, InputError) else f"{value!r} is not a duration"
        return
    if not (least_s <= seconds <= most_s and seconds > 0):
        lower = f"from {_shown(least_s)}" if least_s else "above 0"
        yield (name,), f"a duration {lower} to {_shown(most_s)} is needed, not {_shown(seconds)}"


def _shown(seconds: float) -> str:
    for unit, size in (("d", DAY_S), ("h", 3600.0), ("m", 60.0)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"
