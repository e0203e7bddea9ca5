"""Indicators of OpenSLO ``v1``: ratios, raw ratios and thresholds, as far as Prometheus is asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analytics.core.errors import InputError
from analytics.slo.model import PromIndicator, RawRatio
from analytics.slo.specs.fields import Fields
from analytics.slo.specs.openslo_parts import (
    OPERATORS,
    PROMETHEUS,
    prometheus_events,
    threshold_events,
    windowed,
)
from analytics.slo.specs.problems import nearest
from analytics.slo.specs.promql import check_promql
from analytics.slo.specs.queries import checked, with_placeholder

_QUERIES = ("query", "promql", "expr", "expression")
_RAW = {"success": True, "failure": False}


@dataclass(frozen=True, slots=True)
class Sources:
    """The data sources there are, by name."""

    specs: Mapping[str, Mapping[str, Any]]

    def type_of(self, source: Fields) -> str | None:
        """Return the type of what a metric source names; None when it cannot be told."""
        kind, reference = source.text("type"), source.text("metricSourceRef")
        if kind is None and reference is not None:
            kind = str(self.specs.get(reference, {}).get("type") or "") or None
        return kind


def read_metrics(metrics: Fields, sources: Sources, objective: Fields | None) -> PromIndicator | None:
    """Return the indicator of *metrics*; None when there is none that can be read.

    Args:
        metrics: The fields of an SLI's specification.
        sources: What data sources there are.
        objective: The objective it is for, which says what a threshold is compared with; None to check it only.
    """
    metrics.ignore("description")
    kind = metrics.only({"ratioMetric": None, "thresholdMetric": None})
    body = metrics.mapping(kind[0]) if kind else None
    metrics.close(is_lenient=True)
    if kind is None or body is None:
        return None
    if kind[0] == "ratioMetric":
        if objective and objective.has("op"):
            objective.problems.forgive(objective.at("op"), "it says nothing with a ratioMetric; it was not read")
        return _read_ratio(body, sources)
    return _read_threshold(body, sources, objective)


def _read_ratio(body: Fields, sources: Sources) -> PromIndicator | None:
    if body.has("raw") or body.has("rawType"):
        return _read_raw(body, sources)
    if not body.has("counter"):
        body.problems.forgive(body.at("counter"), "it is missing; false was taken")
    is_counter = body.flag("counter", default=False)
    part = body.only({"good": None, "bad": None})
    if not body.has("total"):
        body.error("total", "it is missing")
    if part is None or not body.has("total"):
        return None
    queries = {name: _read_metric(body, name, sources, is_counter=is_counter) for name in (part[0], "total")}
    body.close(is_lenient=True)
    total, events = queries["total"], queries[part[0]]
    if total is None or events is None:
        return None
    good, bad = (events, None) if part[0] == "good" else (None, events)
    return prometheus_events(body, total=total, good=good, bad=bad)


def _read_raw(body: Fields, sources: Sources) -> PromIndicator | None:
    kind = body.text("rawType", required=True)
    if kind and kind not in _RAW:
        body.error("rawType", f"{kind[:40]!r} is not known", nearest(kind, _RAW))
    body.ignore("counter")
    query = _read_metric(body, "raw", sources, is_counter=None)
    body.close(is_lenient=True)
    return RawRatio(query, is_success=_RAW[kind]) if query and kind in _RAW else None


def _read_threshold(body: Fields, sources: Sources, objective: Fields | None) -> PromIndicator | None:
    found = _read_source(body, sources)
    body.close(is_lenient=True)
    query = checked(body, "metricSource", found[1].replace("{{.window}}", "5m")) if found else None
    if objective is None or query is None:
        return None
    operator, value = objective.text("op", required=True), objective.number("value", required=True)
    if operator and operator not in OPERATORS:
        objective.error("op", f"{operator[:40]!r} is not known", nearest(operator, OPERATORS))
        return None
    return threshold_events(query, OPERATORS[operator], value) if operator and value is not None else None


def _read_metric(body: Fields, name: str, sources: Sources, *, is_counter: bool | None) -> str | None:
    """Return the query of a metric with ``{window}`` in it; *is_counter* is None where a ratio is asked for."""
    part = body.mapping(name, required=True)
    found = _read_source(part, sources) if part else None
    if part:
        part.close(is_lenient=True)
    if found is None:
        return None
    spec, query = found
    if is_counter is None and "window" not in query and "[" not in query:
        return checked(spec, "query", query)
    return windowed(spec, "query", query, is_counter=bool(is_counter))


def _read_source(part: Fields, sources: Sources) -> tuple[Fields, str] | None:
    """Return the query of a metric source, and the fields it stands in; None, with a warning, when it is another's."""
    source = part.mapping("metricSource", required=True)
    if source is None:
        return None
    kind, spec = sources.type_of(source), source.mapping("spec")
    source.close(is_lenient=True)
    if spec is None or not spec.values:
        source.problems.forgive(source.at("spec"), "it is empty; what it is of was left out")
        return None
    if kind is not None and kind.lower() not in PROMETHEUS:
        source.problems.warn(source.at("type"), f"{kind[:40]} is not read here, only Prometheus; it was left out")
        return None
    query = next((text for name in _QUERIES if (text := spec.text(name))), None)
    if query is None or (kind is None and not _is_promql(query)):
        source.problems.warn(spec.path, "it has no query of Prometheus; it was left out")
        return None
    return spec, query


def _is_promql(query: str) -> bool:
    try:
        check_promql(with_placeholder(query).replace("{window}", "5m"))
    except InputError:
        return False
    return True
