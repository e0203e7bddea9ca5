"""Objectives written as OpenSLO ``v1``, so that reading them again loses nothing.

What OpenSLO has no words for, such as alert policies of pairs of windows, groups and how a histogram is asked, stands
in an annotation: the native form of the whole objective.
"""

import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from analytics.slo.model import (
    Budgeting,
    CalendarUnit,
    CompositeEvents,
    Indicator,
    Objective,
    RawRatio,
    RollingWindow,
    SqlEvents,
    Window,
)
from analytics.slo.rules.model import WINDOW
from analytics.slo.sources.compile import compiled
from analytics.slo.specs.native import dump_document, plain_number

API_VERSION = "openslo/v1"
EXTRAS = "helmsight.dev/objective"

_METHODS = {
    Budgeting.OCCURRENCES: "Occurrences",
    Budgeting.TIMESLICES: "Timeslices",
    Budgeting.RATIO_TIMESLICES: "RatioTimeslices",
}
_SPANS = {
    CalendarUnit.DAY: "1d",
    CalendarUnit.WEEK: "1w",
    CalendarUnit.MONTH: "1M",
    CalendarUnit.QUARTER: "1Q",
    CalendarUnit.YEAR: "1Y",
}
_START = "2024-01-01 00:00:00"
"""A Monday, and the first day of a month, a quarter and a year."""
_LONGEST_NAME = 63


def dump_openslo(objectives: Sequence[Objective]) -> Iterator[dict[str, Any]]:
    """Yield a document for each of *objectives*, and one for each indicator that a composite of them refers to."""
    wanted = {
        member.slo_id
        for item in objectives
        if isinstance(item.indicator, CompositeEvents)
        for member in item.indicator.members
    }
    for objective in objectives:
        if objective.id in wanted and not isinstance(objective.indicator, CompositeEvents):
            metadata = {"name": name_of(objective.id), "displayName": objective.title}
            spec = _metrics(objective.indicator)
            yield {"apiVersion": API_VERSION, "kind": "SLI", "metadata": metadata, "spec": spec}
        yield dump_slo(objective)


def dump_slo(objective: Objective) -> dict[str, Any]:
    """Return *objective* as one document of kind SLO."""
    metadata = {
        "name": name_of(objective.id),
        "displayName": objective.title,
        "labels": dict(objective.labels),
        "annotations": {EXTRAS: json.dumps(dump_document(objective), ensure_ascii=False)},
    }
    target: dict[str, Any] = {"displayName": objective.title, "target": plain_number(objective.target)}
    if objective.budgeting is not Budgeting.OCCURRENCES:
        target["timeSliceWindow"] = _shorthand(objective.slices.length)
    if objective.budgeting is Budgeting.TIMESLICES:
        target["timeSliceTarget"] = plain_number(objective.slices.target)
    spec: dict[str, Any] = {
        "description": objective.description,
        "service": objective.service,
        "timeWindow": [_window(objective.window)],
        "budgetingMethod": _METHODS[objective.budgeting],
    }
    if isinstance(objective.indicator, CompositeEvents):
        spec["objectives"] = [
            target | {"indicatorRef": name_of(member.slo_id), "compositeWeight": plain_number(member.weight)}
            for member in objective.indicator.members
        ]
    else:
        indicator = {"metadata": {"name": name_of(objective.id)}, "spec": _metrics(objective.indicator)}
        spec |= {"indicator": indicator, "objectives": [target]}
    return {"apiVersion": API_VERSION, "kind": "SLO", "metadata": metadata, "spec": spec}


def name_of(slo_id: str) -> str:
    """Return *slo_id* as OpenSLO allows names: small letters, digits and dashes, at most 63."""
    return re.sub(r"[^a-z0-9]+", "-", slo_id)[:_LONGEST_NAME].strip("-") or "slo"


def _window(window: Window) -> dict[str, Any]:
    if isinstance(window, RollingWindow):
        return {"duration": _shorthand(window.length), "isRolling": True}
    calendar = {"startTime": _START, "timeZone": window.zone}
    return {"duration": _SPANS[window.unit], "isRolling": False, "calendar": calendar}


def _shorthand(length: timedelta) -> str:
    """Return *length* in one unit, as OpenSLO writes it."""
    for unit, size in (("d", timedelta(days=1)), ("h", timedelta(hours=1))):
        if not length % size:
            return f"{length // size}{unit}"
    return f"{length // timedelta(minutes=1)}m"


def _metrics(indicator: Indicator) -> dict[str, Any]:
    if isinstance(indicator, SqlEvents):
        return {"ratioMetric": {"counter": True, "good": _rows(indicator, "good"), "total": _rows(indicator, "all")}}
    if isinstance(indicator, RawRatio):
        kind = "success" if indicator.is_success else "failure"
        return {"ratioMetric": {"rawType": kind, "raw": _metric(indicator.query)}}
    if isinstance(indicator, CompositeEvents):
        return {}
    events = compiled(indicator)
    part = {"good": _metric(events.good)} if events.good else {"bad": _metric(events.bad or "")}
    return {"ratioMetric": {"counter": True, **part, "total": _metric(events.total)}}


def _metric(query: str) -> dict[str, Any]:
    return {"metricSource": {"type": "Prometheus", "spec": {"query": query.replace("{window}", WINDOW)}}}


def _rows(indicator: SqlEvents, which: str) -> dict[str, Any]:
    spec = {"rows": textwrap.dedent(indicator.rows).strip(), "count": which}
    return {"metricSource": {"type": "PostgreSQL", "spec": spec}}
