"""OpenSLO ``v1alpha`` read into objectives; rules of those that name Prometheus are made as Sloth makes them."""

from dataclasses import dataclass

from analytics.slo.model import AlertRouting, Budgeting, Objective, PromIndicator, RollingWindow, Window
from analytics.slo.rules.model import RuleSlo
from analytics.slo.specs.fields import Fields
from analytics.slo.specs.found import Found
from analytics.slo.specs.native import ID
from analytics.slo.specs.openslo_parts import (
    OPERATORS,
    PROMETHEUS,
    Shorthand,
    method_of,
    prometheus_events,
    slices_of,
    target_of,
    threshold_events,
    window_of,
    windowed,
)
from analytics.slo.specs.problems import nearest
from analytics.slo.specs.queries import checked

API_VERSION = "openslo/v1alpha"
KINDS = ("SLO", "Service")

_UNITS = {"minute": "m", "hour": "h", "day": "d", "week": "w", "month": "M", "quarter": "Q", "year": "Y"}
_QUIET = AlertRouting(is_enabled=False)


@dataclass(frozen=True, slots=True)
class _Frame:
    """What the objectives of one document have in common."""

    name: str
    title: str
    service: str
    description: str
    window: Window | None
    budgeting: Budgeting
    threshold: str | None
    """Query that objectives compare with a value."""


def read(root: Fields) -> Found:
    """Return what *root* defines; problems are left with it."""
    kind = root.text("kind")
    root.ignore("apiVersion")
    metadata, spec = root.mapping("metadata", required=True), root.mapping("spec", required=True)
    root.close(is_lenient=True)
    name = metadata.text("name", required=True) if metadata else None
    title = (metadata.text("displayName") if metadata else None) or name
    if metadata:
        metadata.ignore("labels", "annotations")
        metadata.close(is_lenient=True)
    found = Found()
    if spec is None or kind == "Service":
        return found
    frame = _Frame(
        name=name or "slo",
        title=title or "slo",
        service=spec.text("service", required=True) or "service",
        description=spec.text("description") or "",
        window=_read_window(spec),
        budgeting=method_of(spec) if spec.has("budgetingMethod") else Budgeting.OCCURRENCES,
        threshold=_read_threshold(spec),
    )
    objectives = spec.items("objectives", required=True)
    spec.close(is_lenient=True)
    for place, item in enumerate(objectives):
        _read_objective(item, place, frame, found)
    return Found() if root.problems.errors else found


def _read_objective(item: Fields, place: int, frame: _Frame, found: Found) -> None:
    indicator, ratio = _read_indicator(item, frame)
    target, slices = target_of(item), slices_of(item, frame.budgeting)
    item.ignore("displayName", "op", "value")
    item.close(is_lenient=True)
    name = f"{frame.name}-{place}"
    slo_id = f"{frame.service}-{name}".lower()
    if not ID.fullmatch(slo_id):
        item.problems.error("metadata.name", f"{slo_id[:100]!r} cannot be an id", "letters, digits, -, _ and .")
    if not (indicator and target):
        return
    objective = Objective(
        id=slo_id,
        title=frame.title if not place else f"{frame.title} ({place + 1})",
        service=frame.service,
        target=target,
        indicator=indicator,
        description=frame.description,
        window=frame.window or RollingWindow(),
        budgeting=frame.budgeting,
        slices=slices,
    )
    found.objectives.append((item.path, objective))
    if ratio:
        found.rules.append(
            RuleSlo(
                name=name,
                service=frame.service,
                objective=float(target) * 100,
                ratio=ratio,
                alert_name="",
                page=_QUIET,
                ticket=_QUIET,
                spec=API_VERSION,
                mode="cli-gen-openslo",
                period=frame.window.length if frame.window else None,
            )
        )


def _read_window(spec: Fields) -> Window | None:
    windows = spec.items("timeWindows")
    if not windows:
        return None
    if len(windows) > 1:
        spec.error("timeWindows", "there is more than one", "an objective has one window")
    part = windows[0]
    unit, count = part.text("unit", required=True), part.whole("count", least=1)
    if not part.has("count"):
        part.error("count", "it is missing")
    letter = _UNITS.get((unit or "").lower().removesuffix("s"))
    if unit and letter is None:
        part.error("unit", f"{unit[:40]!r} is not known", nearest(unit.lower(), _UNITS))
    window = window_of(part, "count", Shorthand(count, letter)) if letter and count else None
    part.close(is_lenient=True)
    return window


def _read_threshold(spec: Fields) -> str | None:
    indicator = spec.mapping("indicator")
    metric = indicator.mapping("thresholdMetric", required=True) if indicator else None
    return _read_query(metric) if metric else None


def _read_indicator(item: Fields, frame: _Frame) -> tuple[PromIndicator | None, str | None]:
    """Return the indicator, and the share of bad events as Sloth writes it where Sloth would."""
    ratio = item.mapping("ratioMetrics")
    if ratio is None:
        return _read_comparison(item, frame), None
    is_counter = ratio.flag("incremental", default=False) or ratio.flag("counter", default=False)
    good_part, total_part = ratio.mapping("good", required=True), ratio.mapping("total", required=True)
    ratio.close(is_lenient=True)
    if good_part is None or total_part is None:
        return None, None
    good_text, total_text = _read_query(good_part), _read_query(total_part)
    if not (good_text and total_text):
        return None, None
    good = windowed(good_part, "query", good_text, is_counter=is_counter)
    total = windowed(total_part, "query", total_text, is_counter=is_counter)
    if not (good and total):
        return None, None
    indent = "\n      "
    query = f"1 - (\n    ({indent}{good_text}\n    )\n    /\n    ({indent}{total_text}\n    )\n  )"
    return prometheus_events(ratio, total=total, good=good, bad=None), f"(\n  {query}\n)"


def _read_comparison(item: Fields, frame: _Frame) -> PromIndicator | None:
    if frame.threshold is None:
        if not item.problems.errors:
            item.problems.forgive(item.at("ratioMetrics"), "it is missing; the objective was left out")
        return None
    operator, value = item.text("op", required=True), item.number("value", required=True)
    if operator and operator not in OPERATORS:
        item.error("op", f"{operator[:40]!r} is not known", nearest(operator, OPERATORS))
        return None
    if not operator or value is None:
        return None
    query = checked(item, "value", frame.threshold)
    return threshold_events(query, OPERATORS[operator], value) if query else None


def _read_query(metric: Fields) -> str | None:
    """Return the query of *metric*; None, with a warning, when it is not Prometheus that is asked."""
    source, _ = metric.text("source", required=True), metric.text("queryType")
    query = metric.text("query", required=True)
    metric.close(is_lenient=True)
    if source and source.lower() not in PROMETHEUS:
        metric.problems.warn(metric.at("source"), f"{source[:40]} is not read here, only Prometheus; it was left out")
        return None
    return query
