"""What charts of the page Analytics share: what happened, as marks, and room for their bars."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from analytics.core.clock import Interval
from analytics.store.queries.annotations import AnnotationRow
from dashboard.components.charts import Mark

_LONGEST_LABEL = 28
_APART = 0.2
"""So much of the interval lies between two labels at least."""


def marks_of(happened: Sequence[AnnotationRow] | None, length: timedelta) -> list[Mark]:
    """Return deployments and incidents; deployments have a label, the newest first, where there is room.

    Args:
        happened: What is known, oldest first; None when it could not be read.
        length: Of the chart.
    """
    marks: list[Mark] = []
    labelled: list[datetime] = []
    for item in reversed(happened or ()):
        if item.kind == "incident":
            marks.append(Mark(item.at, "", item.until, "critical"))
        elif item.kind == "deploy":
            label = ""
            if all(abs(item.at - other) >= _APART * length for other in labelled):
                labelled.append(item.at)
                label = item.title if len(item.title) <= _LONGEST_LABEL else f"{item.title[: _LONGEST_LABEL - 1]}…"
            marks.append(Mark(item.at, label, item.until))
    return marks


def room_for_bars(interval: Interval, step: timedelta) -> Interval:
    """Return *interval* with half a step more at its start: a bar stands around the start of its step."""
    return Interval(interval.since - step / 2, interval.until)
