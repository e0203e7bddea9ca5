"""How values read in sentences: units, durations, shares, money, and the words for what is not known.

A value that is not known is None, and reads as :data:`NO_DATA`.
"""

import math
from datetime import timedelta
from decimal import Decimal

NO_DATA = "No data"

_THOUSANDS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k"))
_BYTES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_MINUTE_S = 60
_HOUR_S = 3600
_DAY_S = 86400


def number(value: float | Decimal | None, *, digits: int = 3) -> str:
    """Return *value* with about *digits* significant digits; 10,000 and more in k, M, G or T."""
    if value is None or not math.isfinite(value):
        return NO_DATA
    value = float(value)
    for size, letter in _THOUSANDS:
        if abs(value) >= size:
            scaled = value / (1e3 if letter == "k" else size)
            return f"{_significant(scaled, digits)}{letter}"
    if value == int(value):
        return f"{int(value):,}"
    return _significant(value, digits)


def _significant(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(places, 6)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(ratio: float | Decimal | None, *, places: int | None = None) -> str:
    """Return a share of 0 to 1 as per cent.

    Args:
        ratio: The share; may lie outside of 0 to 1, as an overspent budget does.
        places: Digits after the point; None takes as many as tell the value from 100 %, at most three.
    """
    if ratio is None or not math.isfinite(ratio):
        return NO_DATA
    value = float(ratio) * 100
    if places is None:
        gap = abs(100 - value)
        close_to_full = 0 < gap < 1
        places = min(3, math.ceil(-math.log10(gap)) + 1) if close_to_full else 1
        text = f"{value:.{places}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
        if text in {"100", "-0"} and value != round(value):
            text = f"{math.floor(value * 1000) / 1000:.3f}" if value > 0 else "0"
        return f"{text} %"
    return f"{value:.{places}f} %"


def duration(seconds: float | timedelta | None) -> str:
    """Return a length of time in its two largest units, for example ``340 ms``, ``1.2 s``, ``3 min 20 s``."""
    if isinstance(seconds, timedelta):
        seconds = seconds.total_seconds()
    if seconds is None or not math.isfinite(seconds):
        return NO_DATA
    sign = "-" if seconds < 0 else ""
    seconds = abs(float(seconds))
    if seconds == 0:
        return "0 s"
    if seconds < 1:
        return f"{sign}{_significant(seconds * 1000, 2 if seconds < 0.01 else 3)} ms"  # noqa: PLR2004 - 10 ms
    if seconds < _MINUTE_S:
        return f"{sign}{seconds:.1f} s".replace(".0 s", " s")
    return sign + _two_units(round(seconds))


def _two_units(seconds: int) -> str:
    units = ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min"), (1, "s"))
    for index, (size, name) in enumerate(units[:-1]):
        if seconds >= size:
            whole, rest = divmod(seconds, size)
            next_size, next_name = units[index + 1]
            part = rest // next_size
            return f"{whole} {name} {part} {next_name}" if part else f"{whole} {name}"
    return f"{seconds} s"


def size_bytes(value: float | None) -> str:
    """Return a size in the binary unit that leaves one to four digits."""
    if value is None or not math.isfinite(value):
        return NO_DATA
    step = 1024.0
    size = float(value)
    for unit in _BYTES[:-1]:
        if abs(size) < step:
            return f"{size:.0f} {unit}" if unit == "B" else f"{_significant(size, 3)} {unit}"
        size /= step
    return f"{_significant(size, 3)} {_BYTES[-1]}"


def money(value: float | Decimal | None, *, currency: str = "$") -> str:
    """Return an amount with two decimals; four below one cent's precision, compact above 10,000."""
    if value is None or not math.isfinite(value):
        return NO_DATA
    amount = float(value)
    if abs(amount) >= 1e4:  # noqa: PLR2004 - from here cents say nothing
        return f"{currency}{number(amount)}"
    return f"{currency}{amount:,.2f}" if abs(amount) >= 0.1 or amount == 0 else f"{currency}{amount:.4f}"  # noqa: PLR2004


def quantity(value: float | Decimal | None, unit: str) -> str:
    """Return *value* with its *unit*, as our KPI and metric names spell units."""
    plain = None if value is None else float(value)
    match unit:
        case "ratio":
            text = percent(value)
        case "s" | "seconds":
            text = duration(plain)
        case "ms":
            text = duration(None if plain is None else plain / 1000)
        case "bytes" | "B":
            text = size_bytes(plain)
        case "usd" | "USD" | "$":
            text = money(value)
        case _:
            text = number(value)
            if text != NO_DATA and unit not in {"", "count", "1"}:
                text = f"{text} {unit.replace('_', ' ')}"
    return text


def change(value: float, previous: float, unit: str) -> str | None:
    """Return how *value* differs from *previous*, signed; points for shares, per cent for the rest.

    None when there is nothing to compare with, because *previous* is 0 and the unit is not a share.
    """
    difference = value - previous
    if unit == "ratio":
        return f"{difference * 100:+.1f} points" if abs(difference) >= 0.0005 else "0"  # noqa: PLR2004 - 0.05 points
    if previous == 0:
        return None if difference else "0"
    share = difference / abs(previous) * 100
    return f"{share:+.1f} %" if abs(share) >= 0.05 else "0"  # noqa: PLR2004 - what one decimal can show


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return *count* with its noun, for example ``1 run`` and ``2 runs``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
