"""What each kind of Prometheus indicator asks, as expressions. Pure.

The expressions of :func:`compiled` keep the labels they are given by, so that :func:`summed` can take them together
over everything or over each group.
"""

import re
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from analytics.core.errors import InputError
from analytics.slo.model import (
    BooleanEvents,
    LatencyEvents,
    NativeLatencyEvents,
    PromEvents,
    PromIndicator,
    RawRatio,
)
from analytics.sources.prometheus import matcher

_RANGE = re.compile(r"\[\s*(?:\{\{\s*\.\s*[wW]indow\s*\}\}|\{window\}|window)\s*\]")
_LENGTH = re.compile(r"\{\{\s*\.\s*[wW]indow\s*\}\}|\{window\}")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_SMALLEST_PLAIN, _GREATEST_PLAIN = Decimal("0.0001"), Decimal(1_000_000)


def compiled(indicator: PromIndicator) -> PromEvents:
    """Return *indicator* as good or bad and total events; ``{window}`` stands for the length in all of them.

    The parts of a raw ratio are the ratio and 1: each bucket weighs the same.
    """
    match indicator:
        case PromEvents():
            return indicator
        case LatencyEvents(histogram, threshold, matchers):
            within = ",".join(part for part in (matchers, bucket_matcher(threshold)) if part)
            return PromEvents(
                total=f"sum(increase({histogram}_count{{{matchers}}}[{{window}}]))",
                present=f"count({histogram}_count{{{matchers}}})",
                good=f"sum(increase({histogram}_bucket{{{within}}}[{{window}}]))",
            )
        case _:
            raise NotImplementedError


def with_window(expression: str, window: timedelta) -> str:
    """Return *expression* for a window of whole seconds, at least one.

    ``{window}``, ``{{.window}}`` and ``[window]`` are filled in, the spellings that objectives are written with.
    """
    raise NotImplementedError


def summed(expression: str, group_by: Sequence[str] = (), *, operator: str = "sum") -> str:
    """Return *expression* taken together by the labels of *group_by*; over everything when there are none.

    Raises:
        InputError: If a name cannot be that of a label.
    """
    raise NotImplementedError


def bucket_matcher(threshold: Decimal) -> str:
    """Return a matcher of ``le`` for the bucket at *threshold*, however its bound is spelled.

    Prometheus 3 and OpenMetrics write ``2.0`` where older ones kept ``2``; small and great bounds may have exponents.
    """
    raise NotImplementedError


def has_window(expression: str) -> bool:
    """Return whether the length of a bucket has a place in *expression*."""
    return _LENGTH.search(expression) is not None or _RANGE.search(expression) is not None


def is_label(name: str) -> bool:
    """Return whether *name* can be that of a label."""
    return _LABEL.fullmatch(name) is not None
