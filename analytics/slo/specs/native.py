"""The native form of an objective: one flat mapping, read and written without loss."""

import re
import textwrap
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from analytics.slo.model import (
    AlertPolicy,
    AlertRouting,
    BooleanEvents,
    Budgeting,
    BurnPair,
    CalendarUnit,
    CalendarWindow,
    CompositeEvents,
    CompositeMode,
    Indicator,
    LatencyEvents,
    Member,
    NativeLatencyEvents,
    Objective,
    PromEvents,
    RawRatio,
    RollingWindow,
    Severity,
    Slices,
    SqlEvents,
    Window,
)
from analytics.slo.specs.durations import duration, duration_text, number, percent, plain
from analytics.slo.specs.fields import Fields, fields
from analytics.slo.specs.problems import Problems, SpecError, nearest
from analytics.slo.specs.queries import checked

VERSION = "v1"
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}", re.ASCII)


def parse_document(document: Mapping[str, Any]) -> Objective:
    """Return the objective that *document* writes in the native form.

    Raises:
        SpecError: If anything in it is wrong; it lists everything that is.
    """
    problems = Problems()
    root = fields(document, "", problems)
    found = read_objective(root) if root else None
    if found is None or problems.errors:
        raise SpecError.of(problems.found)
    return found


def dump_document(objective: Objective) -> dict[str, Any]:
    """Return *objective* in the native form, as plain values of JSON; what has its default value is left out.

    The revision is not part of it.
    """
    document = {
        "slo": VERSION,
        "id": objective.id,
        "title": objective.title,
        "service": objective.service,
        "owner": objective.owner,
        "description": objective.description,
        "labels": dict(objective.labels),
        "target": percent(objective.target),
        "window": _dump_window(objective.window),
        "budgeting": _dump_budgeting(objective),
        "indicator": _dump_indicator(objective.indicator),
        "group_by": list(objective.group_by),
        "alerting": _dump_policy(objective.alerting),
    }
    return _without_empty(document)


def read_objective(root: Fields) -> Objective | None:
    """Return the objective that *root* writes; None when it cannot be built. Problems are left with *root*."""
    version = root.text("slo", required=True)
    if version not in {None, VERSION}:
        root.error("slo", f"the version {version!r} is not known", f"write {VERSION}")
    slo_id = root.text("id", required=True)
    if slo_id and not ID.fullmatch(slo_id):
        root.error("id", f"{slo_id[:100]!r} is no id", "lower-case letters, digits, _, - and ., at most 100")
    service = root.text("service", required=True)
    target = root.share("target", required=True)
    if target == 0:
        root.error("target", "it is 0", "write a share above 0, such as 99.9%")
    indicator = _read_indicator(root)
    window = _read_window(root)
    budgeting, slices = _read_budgeting(root)
    group_by = root.label_names("group_by")
    if group_by and isinstance(indicator, CompositeEvents):
        root.error("group_by", "a composite objective has no groups of its own")
    title, owner, description = root.text("title"), root.text("owner"), root.text("description")
    labels = root.labels("labels")
    alerting = _read_policy(root, window.length)
    root.close()
    if not (slo_id and service and target and indicator):
        return None
    return root.problems.built(
        "",
        lambda: Objective(
            id=slo_id,
            title=title or slo_id,
            service=service,
            owner=owner,
            description=description or "",
            labels=labels,
            target=target,
            indicator=indicator,
            window=window,
            budgeting=budgeting,
            slices=slices,
            group_by=group_by,
            alerting=alerting,
        ),
    )


# ---- Window and budgeting ----


def _read_window(root: Fields) -> Window:
    part = root.mapping("window")
    kind = part.only({"rolling": RollingWindow, "calendar": CalendarWindow}) if part else None
    if part is None or kind is None:
        return RollingWindow()
    found: Window | None = None
    if kind[0] == "rolling":
        length = part.duration("rolling", required=True)
        found = root.problems.built(part.at("rolling"), lambda: RollingWindow(length)) if length else None
    else:
        unit = part.choice("calendar", CalendarUnit, required=True)
        zone = part.text("zone") or "UTC"
        found = root.problems.built(part.at("zone"), lambda: CalendarWindow(unit, zone)) if unit else None
    part.close()
    return found or RollingWindow()


def _dump_window(window: Window) -> dict[str, Any]:
    if isinstance(window, RollingWindow):
        return {"rolling": duration_text(window.length)}
    return {"calendar": window.unit.value, "zone": window.zone}


def _read_budgeting(root: Fields) -> tuple[Budgeting, Slices]:
    if not isinstance(root.values.get("budgeting"), Mapping):
        return root.choice("budgeting", Budgeting) or Budgeting.OCCURRENCES, Slices()
    part = root.mapping("budgeting")
    kind = part.only({kind.value: kind for kind in Budgeting if kind is not Budgeting.OCCURRENCES}) if part else None
    cut = part.mapping(kind[0]) if part and kind else None
    if part is None or kind is None or cut is None:
        return Budgeting.OCCURRENCES, Slices()
    part.close()
    length = cut.duration("length") or Slices().length
    target = (cut.share("target") if kind[1] is Budgeting.TIMESLICES else None) or Slices().target
    cut.close()
    return kind[1], root.problems.built(cut.path, lambda: Slices(length, target)) or Slices()


def _dump_budgeting(objective: Objective) -> str | dict[str, Any] | None:
    cut: dict[str, Any] = {"length": duration_text(objective.slices.length)}
    match objective.budgeting:
        case Budgeting.OCCURRENCES:
            return None
        case Budgeting.TIMESLICES:
            cut["target"] = percent(objective.slices.target)
        case Budgeting.RATIO_TIMESLICES:
            pass
    return {objective.budgeting.value: cut}


# ---- Indicators ----


def _read_indicator(root: Fields) -> Indicator | None:
    part = root.mapping("indicator", required=True)
    found = part.only(_INDICATORS) if part else None
    if part is None or found is None:
        if part:
            part.close()
        return None
    part.close()
    name, read = found
    body = part.mapping(name)
    if body is None:
        return None
    indicator = root.problems.built(body.path, lambda: read(body))
    body.close()
    return indicator


def _read_events(body: Fields) -> Indicator | None:
    total = _query(body, "total", required=True)
    good, bad, present = _query(body, "good"), _query(body, "bad"), _query(body, "present")
    per_second = body.flag("per_second", default=False)
    if (good is None) == (bad is None):
        body.problems.error(body.path, "exactly one of good and bad is needed")
        return None
    return PromEvents(total, present, good, bad, per_second) if total else None


def _read_latency(body: Fields) -> Indicator | None:
    found = _histogram(body)
    return LatencyEvents(*found) if found else None


def _read_native_latency(body: Fields) -> Indicator | None:
    found = _histogram(body)
    return NativeLatencyEvents(*found) if found else None


def _histogram(body: Fields) -> tuple[str, Decimal, str] | None:
    histogram = body.text("histogram", required=True)
    written = body.text("threshold", required=True)
    threshold = body.problems.built(body.at("threshold"), lambda: _threshold(written)) if written else None
    if threshold is not None and threshold <= 0:
        body.error("threshold", f"{threshold} is not above 0")
    matchers = _matchers(body, histogram, "histogram")
    return (histogram, threshold, matchers) if histogram and threshold is not None else None


def _threshold(written: str) -> Decimal:
    """Return the bound that *written* gives: a length of time in seconds, or a number in the histogram's unit."""
    if written[-1].isalpha():
        return Decimal(duration(written) // timedelta(milliseconds=1)) / 1000
    return number(written)


def _read_boolean(body: Fields) -> Indicator | None:
    metric = body.text("metric", required=True)
    matchers = _matchers(body, metric, "metric")
    return BooleanEvents(metric, matchers) if metric else None


def _query(body: Fields, name: str, *, required: bool = False) -> str | None:
    """Return the query in the field *name* as it is written, after a look at whether it is PromQL."""
    text = body.text(name, required=required)
    if text:
        checked(body, name, text)
    return text


def _matchers(body: Fields, metric: str | None, name: str) -> str:
    """Return the matchers, after a look at whether they and *metric*, from the field *name*, are PromQL."""
    matchers = body.text("matchers") or ""
    if metric and not _METRIC.fullmatch(metric):
        body.error(name, f"{metric[:100]!r} is no name of a metric", "leave braces to matchers")
    elif matchers:
        checked(body, "matchers", f"{metric or 'x'}{{{matchers}}}")
    return matchers


def _read_raw(body: Fields) -> Indicator | None:
    query, kind = _query(body, "query", required=True), body.text("kind") or "error"
    if kind not in {"error", "success"}:
        body.error("kind", f"{kind[:100]!r} is not known", nearest(kind, ["error", "success"]))
    return RawRatio(query, is_success=kind == "success") if query else None


def _read_sql(body: Fields) -> Indicator | None:
    rows = body.text("rows", required=True)
    return SqlEvents(rows) if rows else None


def _read_composite(body: Fields) -> Indicator | None:
    mode = body.choice("mode", CompositeMode) or CompositeMode.WEIGHTED
    members: dict[str, Member] = {}
    for item in body.items("members", required=True):
        slo_id, weight = item.text("slo", required=True), item.number("weight")
        if weight is not None and weight <= 0:
            item.error("weight", f"{weight} is not above 0")
        elif slo_id in members:
            item.error("slo", f"{slo_id!r} is a member already")
        elif slo_id:
            members[slo_id] = Member(slo_id, Decimal(1) if weight is None else weight)
        item.close()
    return CompositeEvents(mode, tuple(members.values()))


_INDICATORS: dict[str, Callable[[Fields], Indicator | None]] = {
    "events": _read_events,
    "latency": _read_latency,
    "native_latency": _read_native_latency,
    "boolean": _read_boolean,
    "raw": _read_raw,
    "sql": _read_sql,
    "composite": _read_composite,
}


_NAMES: Mapping[type[Indicator], str] = {
    PromEvents: "events",
    LatencyEvents: "latency",
    NativeLatencyEvents: "native_latency",
    BooleanEvents: "boolean",
    RawRatio: "raw",
    SqlEvents: "sql",
    CompositeEvents: "composite",
}


def _dump_indicator(indicator: Indicator) -> dict[str, Any]:
    body: dict[str, Any]
    match indicator:
        case PromEvents(total, present, good, bad, per_second):
            body = {"total": total, "good": good, "bad": bad, "present": present, "per_second": per_second or None}
        case LatencyEvents(histogram, threshold, matchers) | NativeLatencyEvents(histogram, threshold, matchers):
            body = {"histogram": histogram, "threshold": plain_number(threshold), "matchers": matchers}
        case BooleanEvents(metric, matchers):
            body = {"metric": metric, "matchers": matchers}
        case RawRatio(query, is_success):
            body = {"query": query, "kind": "success" if is_success else "error"}
        case SqlEvents(rows):
            body = {"rows": textwrap.dedent(rows).strip()}
        case CompositeEvents(mode, members):
            items = [{"slo": member.slo_id, "weight": plain_number(member.weight)} for member in members]
            body = {"mode": mode.value, "members": items}
    return {_NAMES[type(indicator)]: _without_empty(body)}


# ---- Alerts ----


def _read_policy(root: Fields, period: timedelta) -> AlertPolicy:
    """Return what the field ``alerting`` of *root* says; *period* is what shares of a budget are of."""
    part = root.mapping("alerting")
    if part is None:
        return AlertPolicy()
    default = AlertPolicy()
    min_bad = part.whole("min_bad")
    never = "no_data_after" in part.values and not part.has("no_data_after")
    policy = AlertPolicy(
        pairs=_read_pairs(part, period) if part.has("pairs") else None,
        min_bad=default.min_bad if min_bad is None else min_bad,
        no_data_after=None if never else part.duration("no_data_after") or default.no_data_after,
        name=part.text("name"),
        labels=part.labels("labels"),
        annotations=part.labels("annotations"),
        page=_read_routing(part, "page"),
        ticket=_read_routing(part, "ticket"),
    )
    part.close()
    return policy


def _read_pairs(part: Fields, period: timedelta) -> tuple[BurnPair, ...]:
    pairs = []
    for place, item in enumerate(part.items("pairs")):
        severity = item.choice("severity", Severity, required=True)
        long, short = item.duration("long", required=True), item.duration("short", required=True)
        tier = item.whole("tier", least=1) or place + 1
        how = item.only({"factor": None, "budget": None})
        value = None if how is None else item.number("factor") if how[0] == "factor" else item.share("budget")
        if long and short and short >= long:
            item.error("short", "it is not shorter than the long window")
        if how and value is not None and value <= 0:
            item.error(how[0], f"{value} is not above 0")
        item.close()
        if severity and long and short and how and value:
            factor = float(value) if how[0] == "factor" else float(value) * (period / long)
            pairs.append(BurnPair(severity, long, short, factor, tier))
    return tuple(pairs)


def _read_routing(part: Fields, name: str) -> AlertRouting:
    body = part.mapping(name)
    if body is None:
        return AlertRouting()
    routing = AlertRouting(
        body.flag("enabled", default=True), labels=body.labels("labels"), annotations=body.labels("annotations")
    )
    body.close()
    return routing


def _dump_policy(policy: AlertPolicy) -> dict[str, Any]:
    default = AlertPolicy()
    document: dict[str, Any] = _without_empty(
        {
            "name": policy.name,
            "min_bad": None if policy.min_bad == default.min_bad else policy.min_bad,
            "labels": dict(policy.labels),
            "annotations": dict(policy.annotations),
            "page": _dump_routing(policy.page),
            "ticket": _dump_routing(policy.ticket),
        }
    )
    if policy.no_data_after != default.no_data_after:
        document["no_data_after"] = duration_text(policy.no_data_after) if policy.no_data_after else None
    if policy.pairs is not None:
        document["pairs"] = [_dump_pair(place, pair) for place, pair in enumerate(policy.pairs, 1)]
    return document


def _dump_pair(place: int, pair: BurnPair) -> dict[str, Any]:
    long, short = duration_text(pair.long), duration_text(pair.short)
    tier = None if pair.tier == place else pair.tier
    found = {"severity": pair.severity.value, "long": long, "short": short, "factor": pair.factor, "tier": tier}
    return _without_empty(found)


def _dump_routing(routing: AlertRouting) -> dict[str, Any]:
    parts = {"labels": dict(routing.labels), "annotations": dict(routing.annotations)}
    return ({} if routing.is_enabled else {"enabled": False}) | _without_empty(parts)


def _without_empty(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value not in (None, "", [], {})}


def plain_number(value: Decimal) -> int | float | str:
    """Return *value* as a number where one holds it exactly, and as text otherwise."""
    if value == int(value):
        return int(value)
    return float(value) if Decimal(str(float(value))) == value else plain(value)
