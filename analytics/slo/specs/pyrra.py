"""Pyrra's Kubernetes form read into objectives."""

from collections.abc import Sequence
from decimal import Decimal

from analytics.core.errors import InputError
from analytics.slo.model import (
    AlertPolicy,
    AlertRouting,
    BooleanEvents,
    LatencyEvents,
    NativeLatencyEvents,
    Objective,
    PromEvents,
    PromIndicator,
    RollingWindow,
)
from analytics.slo.specs.durations import number
from analytics.slo.specs.fields import Fields, label_name
from analytics.slo.specs.found import Found
from analytics.slo.specs.native import ID
from analytics.slo.specs.promql import Selector, selector
from analytics.slo.specs.sloth import read_metadata

API_VERSION = "pyrra.dev/v1alpha1"
KIND = "ServiceLevelObjective"
PROPAGATED = "pyrra.dev/"
"""Prefix of metadata labels that become labels of the objective."""

_HUNDRED = 100


def read(root: Fields) -> Found:
    """Return what *root* defines; problems are left with it."""
    before = root.problems.errors
    root.ignore("apiVersion", "kind", "status")
    metadata, spec = read_metadata(root), root.mapping("spec", required=True)
    root.close(is_lenient=True)
    if spec is None:
        return Found()
    percent = _read_target(spec)
    length = spec.duration("window", required=True)
    window = spec.problems.built(spec.at("window"), lambda: RollingWindow(length)) if length else None
    found = _read_indicator(spec)
    alerting, description = _read_alerting(spec), spec.text("description") or ""
    spec.ignore("partial_response_strategy")
    spec.close(is_lenient=True)
    name = str(metadata.get("name") or "")
    slo_id = name.lower()
    if name and not ID.fullmatch(slo_id):
        root.error("metadata.name", f"{name[:_HUNDRED]!r} cannot be an id")
    if root.problems.errors > before or not (percent and window and found):
        return Found()
    indicator, grouping = found
    objective = Objective(
        id=slo_id,
        title=name,
        service=str(metadata.get("namespace") or "default"),
        target=percent / _HUNDRED,
        indicator=indicator,
        description=description,
        window=window,
        alerting=alerting,
        group_by=grouping,
        labels=_labels(metadata.get("labels")),
    )
    return Found([(root.at("metadata.name"), objective)], kubernetes=metadata)


def _read_target(spec: Fields) -> Decimal | None:
    percent = spec.number("target", required=True)
    if percent is None:
        return None
    if not 0 < percent <= _HUNDRED:
        spec.error("target", f"{percent} is not above 0 and at most 100", "write per cent, such as '99.9'")
        return None
    if percent < 1:
        spec.problems.forgive(
            spec.at("target"), f"{percent} means {percent} per cent", f"did you mean '{percent * _HUNDRED:f}'?"
        )
    return percent


def _read_indicator(spec: Fields) -> tuple[PromIndicator, tuple[str, ...]] | None:
    part = spec.mapping("indicator", required=True)
    kind = part.only(_KINDS) if part else None
    body = part.mapping(kind[0]) if part and kind else None
    if part is None or kind is None or body is None:
        return None
    part.close(is_lenient=True)
    grouping = body.label_names("grouping")
    indicator = kind[1](body, grouping)
    body.close(is_lenient=True)
    return (indicator, grouping) if indicator else None


def _read_ratio(body: Fields, grouping: Sequence[str]) -> PromIndicator | None:
    bad, total = _metric(body, "errors"), _metric(body, "total")
    if not (bad and total):
        return None
    if bad == total:
        body.problems.forgive(body.at("errors"), "it is the same as total", "count only bad events")
    return _events(total, grouping, bad=bad)


def _read_latency(body: Fields, grouping: Sequence[str]) -> PromIndicator | None:
    good, total = _metric(body, "success"), _metric(body, "total")
    if not (good and total):
        return None
    bound = good.matcher_of("le")
    if bound is None:
        body.problems.forgive(body.at("success.metric"), "it has no bound", 'add a matcher such as le="0.5"')
        return _events(total, grouping, good=good)
    threshold = body.problems.built(body.at("success.metric"), lambda: number(bound))
    histogram = good.metric.removesuffix("_bucket")
    is_plain = total.metric == f"{histogram}_count" and good.without("le") == total.matchers and not good.offset
    if threshold is None or not is_plain or total.offset:
        return _events(total, grouping, good=good)
    return LatencyEvents(histogram, threshold, total.matchers)


def _read_native(body: Fields, _: Sequence[str]) -> PromIndicator | None:
    total, latency = _metric(body, "total"), body.duration("latency", required=True)
    if not (total and latency):
        return None
    return NativeLatencyEvents(total.metric, Decimal(str(latency.total_seconds())), total.matchers)


def _read_boolean(body: Fields, _: Sequence[str]) -> PromIndicator | None:
    metric = _selector(body)
    return BooleanEvents(metric.metric, metric.matchers) if metric else None


_KINDS = {"ratio": _read_ratio, "latency": _read_latency, "latencyNative": _read_native, "bool_gauge": _read_boolean}


def _read_alerting(spec: Fields) -> AlertPolicy:
    part = spec.mapping("alerting")
    if part is None:
        return AlertPolicy()
    is_on = part.flag("burnrates", default=True) and not part.flag("disabled", default=False)
    has_absent = part.flag("absent", default=True)
    default = AlertPolicy()
    routing = AlertRouting(is_on)
    policy = AlertPolicy(
        name=part.text("name"),
        no_data_after=default.no_data_after if has_absent else None,
        page=routing,
        ticket=routing,
    )
    part.ignore("absentName")
    part.close(is_lenient=True)
    return policy


def _metric(body: Fields, name: str) -> Selector | None:
    part = body.mapping(name, required=True)
    found = _selector(part) if part else None
    if part:
        part.close(is_lenient=True)
    return found


def _selector(part: Fields) -> Selector | None:
    text = part.text("metric", required=True)
    if text is None:
        return None
    try:
        return selector(text)
    except InputError as error:
        part.error("metric", error.message)
        return None


def _events(
    total: Selector, grouping: Sequence[str], *, good: Selector | None = None, bad: Selector | None = None
) -> PromEvents:
    """Return events of counters, with the labels kept that the objective is grouped by."""
    by = f" by ({', '.join(grouping)}) " if grouping else ""

    def counted(metric: Selector | None) -> str | None:
        return f"sum{by}(increase({_spelled(metric, '[{window}]')}))" if metric else None

    present = f"count{by}({_spelled(total)})"
    return PromEvents(counted(total) or "", present, good=counted(good), bad=counted(bad))


def _spelled(metric: Selector, window: str = "") -> str:
    matchers = f"{{{metric.matchers}}}" if metric.matchers else ""
    return f"{metric.metric}{matchers}{window}{f' {metric.offset}' if metric.offset else ''}"


def _labels(labels: object) -> dict[str, str]:
    if not isinstance(labels, dict):
        return {}
    return {
        label_name(name.removeprefix(PROPAGATED)): text for name, text in labels.items() if name.startswith(PROPAGATED)
    }
