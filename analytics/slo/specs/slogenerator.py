"""slo-generator's files, version 2 and the one before, read into objectives; only those that ask Prometheus."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from analytics.core.errors import InputError
from analytics.slo.model import LatencyEvents, Objective, PromEvents, PromIndicator, RawRatio
from analytics.slo.specs.fields import Fields
from analytics.slo.specs.found import Found
from analytics.slo.specs.native import ID
from analytics.slo.specs.promql import selector
from analytics.slo.specs.queries import checked

API_VERSION = "sre.google.com/v2"
KIND = "ServiceLevelObjective"

_WINDOW = re.compile(r"\[\s*window\b")
_OPERATORS = ("increase", "sum")


def read(root: Fields) -> Found:
    """Return what *root* defines; problems are left with it."""
    if "slo_name" in root.values:
        root = Fields(_as_version_2(root.values), root.path, root.problems)
    before = root.problems.errors
    root.ignore("apiVersion", "kind")
    metadata, spec = root.mapping("metadata", required=True), root.mapping("spec", required=True)
    root.close(is_lenient=True)
    if metadata is None or spec is None:
        return Found()
    name = metadata.text("name", required=True)
    labels = metadata.labels("labels")
    metadata.close(is_lenient=True)
    target, description = _read_goal(spec), spec.text("description") or ""
    spec.ignore("exporters", "error_budget_policy")
    backend, method = spec.text("backend", required=True), spec.text("method", required=True)
    indicator = None
    if backend and not _is_prometheus(backend):
        spec.ignore("service_level_indicator")
        spec.problems.warn(
            spec.at("backend"), f"{backend} is not read here, only Prometheus; the objective was left out"
        )
    elif method:
        indicator = _read_indicator(spec, method)
    spec.close(is_lenient=True)
    slo_id = (name or "").lower()
    if name and not ID.fullmatch(slo_id):
        metadata.error("name", f"{name[:100]!r} cannot be an id", "letters, digits, -, _ and .")
    if spec.problems.errors > before or not (indicator and target and name):
        return Found()
    objective = Objective(
        id=slo_id,
        title=name,
        service=labels.get("service") or labels.get("service_name") or "default",
        target=target,
        indicator=indicator,
        description=description,
        labels=labels,
    )
    return Found([(metadata.at("name"), objective)])


def _read_goal(spec: Fields) -> Decimal | None:
    goal = spec.share("goal", required=True)
    if goal == 0:
        spec.error("goal", "it is 0", "write a share above 0, such as 0.999")
    return goal


def _is_prometheus(backend: str) -> bool:
    return backend.partition("/")[0].lower() in {"prometheus", "prometheusremotewrite"}


def _read_indicator(spec: Fields, method: str) -> PromIndicator | None:
    body = spec.mapping("service_level_indicator", required=True)
    if body is None:
        return None
    if method not in _METHODS:
        spec.error("method", f"{method[:100]!r} is not known", f"there are {', '.join(_METHODS)}")
        return None
    indicator = _METHODS[method](body)
    body.close(is_lenient=True)
    return indicator


def _read_ratio(body: Fields) -> PromIndicator | None:
    operators = body.texts("operators") or _OPERATORS
    good, bad = _events(body, "filter_good", operators), _events(body, "filter_bad", operators)
    valid = _events(body, "filter_valid", operators)
    if body.has("filter_bad") == body.has("filter_valid"):
        body.problems.error(body.path, "exactly one of filter_bad and filter_valid is needed")
    if not body.has("filter_good"):
        body.error("filter_good", "it is missing")
    if good and valid:
        return PromEvents(valid, good=good)
    return PromEvents(f"({good}) + ({bad})", bad=bad) if good and bad else None


def _read_share(body: Fields) -> PromIndicator | None:
    query = _expression(body, "expression", operators=())
    return RawRatio(query, is_success=True) if query else None


def _read_cut(body: Fields) -> PromIndicator | None:
    text, threshold = body.text("expression", required=True), body.number("threshold_bucket", required=True)
    if text is None or threshold is None:
        return None
    try:
        found = selector(text)
    except InputError as error:
        body.error("expression", error.message)
        return None
    if not found.metric.endswith("_bucket"):
        body.error("expression", f"{found.metric} is no histogram", "name the series that ends in _bucket")
        return None
    return LatencyEvents(found.metric.removesuffix("_bucket"), threshold, found.matchers)


_METHODS = {"good_bad_ratio": _read_ratio, "query_sli": _read_share, "distribution_cut": _read_cut}


def _events(body: Fields, name: str, operators: tuple[str, ...]) -> str | None:
    return _expression(body, name, operators=operators) if body.has(name) else None


def _expression(body: Fields, name: str, *, operators: tuple[str, ...]) -> str | None:
    """Return the query of a field as slo-generator would ask it: a window behind it, and operators around."""
    query = body.text(name, required=True)
    if query is None:
        return None
    query = _WINDOW.sub("[{window}", query) if _WINDOW.search(query) else f"{query}[{{window}}]"
    for operator in operators:
        query = f"{operator}({query})"
    return checked(body, name, query)


def _as_version_2(old: Mapping[str, Any]) -> dict[str, Any]:
    """Return a file of version 1 in the shape of version 2."""
    backend = old.get("backend")
    backend = backend if isinstance(backend, Mapping) else {}
    names = {part: old.get(f"{part}_name") for part in ("service", "feature", "slo")}
    labels = {"service": names["service"], "feature": names["feature"], "slo_name": names["slo"]}
    return {
        "metadata": {
            "name": "-".join(str(part) for part in names.values() if part),
            "labels": {name: text for name, text in labels.items() if text},
        },
        "spec": {
            "description": old.get("slo_description"),
            "backend": backend.get("class"),
            "method": backend.get("method"),
            "goal": old.get("slo_target"),
            "service_level_indicator": backend.get("measurement"),
        },
    }
