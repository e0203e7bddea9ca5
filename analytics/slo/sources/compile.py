"""What each kind of Prometheus indicator asks, as expressions. Pure."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from analytics.core.errors import InputError
from analytics.slo.model import (
    BUCKET,
    BooleanEvents,
    LatencyEvents,
    NativeLatencyEvents,
    PromEvents,
    PromIndicator,
    RawRatio,
)
from analytics.sources.prometheus import matcher

_RANGE = re.compile(r"\[\s*window\s*\]")
_LENGTH = re.compile(r"\{\{\s*\.\s*[wW]indow\s*\}\}|\{window\}")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_WINDOW = "[{window}]"
_SELECTOR = r"""[a-zA-Z_:][\w:]*(?:\s*\{(?:[^{}"']|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')*\})?"""
_RANGE_OF = re.compile(rf"({_SELECTOR})\s*\[\s*\{{window\}}\s*\]")
_GROWTH = re.compile(rf"\b(increase|rate)\s*\(\s*({_SELECTOR})\s*\[\s*\{{window\}}\s*\]\s*\)")
_JUST = timedelta(milliseconds=1)
_SMALLEST_PLAIN, _GREATEST_PLAIN = Decimal("0.0001"), Decimal(1_000_000)


def compiled(indicator: PromIndicator, group_by: Sequence[str] = ()) -> PromEvents:
    """Return *indicator* as good or bad and total events, with ``{window}`` for the length in all of them.

    With *group_by* every expression has one series for each set of these labels; expressions that somebody wrote must
    have kept the labels for that. A raw ratio becomes the ratio of 1, so that each bucket weighs the same.

    Raises:
        InputError: If a name in *group_by* cannot be that of a label.
    """
    match indicator:
        case PromEvents():
            return _grouped(indicator, group_by) if group_by else indicator
        case LatencyEvents(histogram, threshold, matchers):
            within = ",".join(part for part in (matchers, bucket_matcher(threshold)) if part)
            return PromEvents(
                total=together("sum", f"increase({histogram}_count{{{matchers}}}{_WINDOW})", group_by),
                good=together("sum", f"increase({histogram}_bucket{{{within}}}{_WINDOW})", group_by),
            )
        case NativeLatencyEvents(histogram, threshold, matchers):
            events = together("sum", f"increase({histogram}{{{matchers}}}{_WINDOW})", group_by)
            # Of no events the fraction is NaN; the comparison leaves that out.
            return PromEvents(
                total=f"histogram_count({events})",
                good=f"histogram_fraction(0, {threshold:f}, {events}) * histogram_count({events}) >= 0",
            )
        case BooleanEvents(metric, matchers):
            return PromEvents(
                total=together("sum", f"count_over_time({metric}{{{matchers}}}{_WINDOW})", group_by),
                good=together("sum", f"sum_over_time({metric}{{{matchers}}}{_WINDOW})", group_by),
            )
        case RawRatio(query, is_success):
            ratio = together("avg", f"\n{query}\n", group_by)
            total = f"0 * {ratio} + 1"
            return PromEvents(total, good=ratio) if is_success else PromEvents(total, bad=ratio)


def together(operator: str, expression: str, group_by: Sequence[str]) -> str:
    """Return *expression* aggregated by the labels of *group_by*, over everything when there are none.

    Raises:
        InputError: If a name cannot be that of a label.
    """
    for name in group_by:
        if not _LABEL.fullmatch(name):
            raise InputError(f"{name!r} cannot be the name of a label; the objective cannot be grouped by it.")
    by = f" by ({', '.join(group_by)}) " if group_by else ""
    return f"{operator}{by}({expression})"


def with_window(expression: str, window: timedelta) -> str:
    """Return *expression* for a window of whole milliseconds, at least one.

    ``{window}``, ``{{.window}}`` and ``[window]`` are filled in: the spellings that objectives are written with.
    """
    return _plain(expression).replace("{window}", as_length(window))


def as_length(length: timedelta) -> str:
    """Return *length* as PromQL writes it, to the millisecond, at least one."""
    milliseconds = max(1, length // timedelta(milliseconds=1))
    return f"{milliseconds}ms" if milliseconds % 1000 else f"{milliseconds // 1000}s"


def in_bucket(expression: str) -> str:
    """Return *expression* for one bucket, so that the buckets of an interval add up to it.

    The growth of a counter is that between the bounds of the bucket, restarts seen through to the minute, with
    nothing extrapolated: a subquery that takes both bounds in, whether or not Prometheus counts the left end of a
    range (it did before version 3). Other functions take the samples after the left bound, up to the right one.
    """
    whole = as_length(BUCKET + _JUST)
    text = _GROWTH.sub(lambda found: f"{found[1]}({found[2]}[{whole}:1m])", _plain(expression))
    return text.replace("{window}", as_length(BUCKET - _JUST))


def selector_of(expression: str) -> str | None:
    """Return the first selector that *expression* takes over the window; None when there is none to be seen."""
    found = _RANGE_OF.search(_plain(expression))
    return None if found is None else found[1]


def has_window(expression: str) -> bool:
    """Return whether the length of a window has a place in *expression*."""
    return "{window}" in _plain(expression)


def bucket_matcher(threshold: Decimal) -> str:
    r"""Return a matcher of ``le`` for the bucket at *threshold*, however its bound is spelled.

    Prometheus 3 and OpenMetrics write ``2.0`` where older ones kept ``2``; small and great bounds may have an
    exponent, such as ``1e-05``.
    """
    plain = format(threshold.normalize(), "f")
    spellings = [plain + r"(\.0)?" if "." not in plain else plain.replace(".", r"\.")]
    if not _SMALLEST_PLAIN <= threshold < _GREATEST_PLAIN:
        first, *rest = (str(digit) for digit in threshold.normalize().as_tuple().digits)
        mantissa = f"{first}.{''.join(rest)}" if rest else first
        spellings.append(re.escape(f"{mantissa}e{threshold.adjusted():+03d}"))
    elif "." in plain:
        return matcher("le", plain)
    return matcher("le", "|".join(spellings), "=~")


def _plain(expression: str) -> str:
    return _LENGTH.sub("{window}", _RANGE.sub("[{window}]", expression))


def _grouped(events: PromEvents, group_by: Sequence[str]) -> PromEvents:
    """Return *events* by group; line ends keep a comment in an expression from swallowing the bracket."""
    asked: dict[str, str | None] = {name: getattr(events, name) for name in ("total", "present", "good", "bad")}
    grouped: dict[str, Any] = {
        name: together("sum", f"\n{text}\n", group_by) for name, text in asked.items() if text is not None
    }
    return replace(events, **grouped)
