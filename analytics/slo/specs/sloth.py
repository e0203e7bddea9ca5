"""Sloth's ``prometheus/v1`` form and its Kubernetes form, read into objectives and into what rules are made of.

Fields are taken in both spellings, ``error_query`` and ``errorQuery``; fields that Sloth does not know it ignores, so
here they are errors only where reading is strict.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from analytics.slo.model import AlertPolicy, AlertRouting, Objective, PromEvents, PromIndicator, RawRatio
from analytics.slo.rules.model import RuleSlo, rule_alert
from analytics.slo.specs.durations import kind_of
from analytics.slo.specs.fields import Fields
from analytics.slo.specs.found import Found
from analytics.slo.specs.native import ID
from analytics.slo.specs.queries import is_per_second, read_query

VERSION = "prometheus/v1"
API_VERSION = "sloth.slok.dev/v1"
KIND = "PrometheusServiceLevel"

_NAME = re.compile(r"[A-Za-z0-9][-A-Za-z0-9_.]*[A-Za-z0-9]", re.ASCII)
_HUNDRED = 100


def read_plain(root: Fields) -> Found:
    """Return what the plain form defines; problems are left with *root*."""
    root.ignore("version")
    found = Found()
    _read_service(root, found, spec=VERSION, mode="cli-gen-prom")
    return found


def read_kubernetes(root: Fields) -> Found:
    """Return what the Kubernetes form defines; problems are left with *root*."""
    root.ignore("apiVersion", "kind", "status")
    found = Found(kubernetes=read_metadata(root))
    spec = root.mapping("spec", required=True)
    root.close(is_lenient=True)
    if spec:
        _read_service(spec, found, spec=API_VERSION, mode="cli-gen-k8s")
    return found


def read_metadata(root: Fields) -> dict[str, object]:
    """Return name, namespace, labels and annotations of a Kubernetes object; what else is in its metadata is let be."""
    part = root.mapping("metadata", required=True)
    if part is None:
        return {}
    return {
        "name": part.text("name", required=True),
        "namespace": part.text("namespace"),
        "labels": part.labels("labels", any_key=True),
        "annotations": part.labels("annotations", any_key=True),
    }


@dataclass(frozen=True, slots=True)
class _Indicator:
    ours: PromIndicator
    ratio: str
    """As Sloth puts it into rules."""


def _read_service(root: Fields, found: Found, *, spec: str, mode: str) -> None:
    before = root.problems.errors
    service, labels = _read_name(root, "service"), root.labels("labels")
    _warn_of_plugins(root, "slo_plugins")
    slos = root.items("slos", required=True)
    root.close(is_lenient=True)
    if root.problems.errors > before:
        found = Found()
    for slo in slos:
        _read_slo(slo, service or "service", labels, found, spec=spec, mode=mode)


def _read_slo(slo: Fields, service: str, labels: Mapping[str, str], found: Found, *, spec: str, mode: str) -> None:
    before = slo.problems.errors
    name, description = _read_name(slo, "name"), slo.text("description") or ""
    percent = slo.number("objective", required=True)
    if percent is not None and not 0 < percent <= _HUNDRED:
        slo.error("objective", f"{percent} is not above 0 and at most 100", "write per cent, such as 99.9")
    labels = dict(sorted({**labels, **slo.labels("labels")}.items()))
    _warn_of_plugins(slo, "plugins")
    indicator, alerting = _read_indicator(slo), _read_alerting(slo)
    slo.close(is_lenient=True)
    slo_id = f"{service}-{name}".lower()
    if name and not ID.fullmatch(slo_id):
        slo.error(
            "name", f"{slo_id[:_HUNDRED]!r} cannot be an id", "service and name have at most 99 characters together"
        )
    if slo.problems.errors > before or not (name and percent and indicator):
        return
    objective = Objective(
        id=slo_id,
        title=name,
        service=service,
        target=percent / _HUNDRED,
        indicator=indicator.ours,
        description=description,
        alerting=alerting,
        labels=labels,
    )
    found.objectives.append((slo.path, objective))
    found.rules.append(
        RuleSlo(
            name=name,
            service=service,
            objective=float(percent),
            ratio=indicator.ratio,
            alert_name=alerting.name or "",
            labels=labels,
            page=rule_alert(alerting, alerting.page),
            ticket=rule_alert(alerting, alerting.ticket),
            spec=spec,
            mode=mode,
        )
    )


def _read_name(root: Fields, name: str) -> str | None:
    text = root.text(name, required=True)
    if text and not _NAME.fullmatch(text):
        root.error(
            name, f"{text[:_HUNDRED]!r} is no name", "letters, digits, -, _ and ., at both ends a letter or digit"
        )
        return None
    return text


def _read_indicator(slo: Fields) -> _Indicator | None:
    sli = slo.mapping("sli", required=True)
    kind = sli.only({"events": None, "raw": None, "plugin": None}) if sli else None
    body = sli.mapping(kind[0]) if sli and kind else None
    if sli is None or kind is None or body is None:
        return None
    sli.close(is_lenient=True)
    if kind[0] == "plugin":
        body.problems.error(body.path, "plugins of Sloth cannot be run here", "write the query out as sli.raw")
        return None
    indicator = _read_events(body) if kind[0] == "events" else _read_raw(body)
    body.close(is_lenient=True)
    return indicator


def _read_events(body: Fields) -> _Indicator | None:
    error_field, total_field = _spelled(body, "error_query"), _spelled(body, "total_query")
    bad, total = read_query(body, error_field), read_query(body, total_field)
    if not (bad and total):
        return None
    if bad == total:
        body.error(error_field, f"it is the same as {total_field}", "count only bad events")
    ratio = f"({body.values[error_field]})\n/\n({body.values[total_field]})\n"
    return _Indicator(PromEvents(total, bad=bad, per_second=is_per_second(total)), ratio)


def _read_raw(body: Fields) -> _Indicator | None:
    name = _spelled(body, "error_ratio_query")
    query = read_query(body, name)
    return _Indicator(RawRatio(query), f"({body.values[name]})") if query else None


def _read_alerting(slo: Fields) -> AlertPolicy:
    part = slo.mapping("alerting")
    if part is None:
        slo.error("alerting.name", "it is missing", "name the alerts, or disable page_alert and ticket_alert")
        return AlertPolicy()
    alerting = AlertPolicy(
        name=part.text("name"),
        labels=part.labels("labels"),
        annotations=part.labels("annotations"),
        page=_read_alert(part, _spelled(part, "page_alert")),
        ticket=_read_alert(part, _spelled(part, "ticket_alert")),
    )
    if alerting.name is None and (alerting.page.is_enabled or alerting.ticket.is_enabled):
        part.error("name", "it is missing", "name the alerts, or disable page_alert and ticket_alert")
    part.close(is_lenient=True)
    return alerting


def _read_alert(part: Fields, name: str) -> AlertRouting:
    body = part.mapping(name)
    if body is None:
        return AlertRouting()
    is_disabled = body.flag("disable", default=False)
    alert = AlertRouting(not is_disabled, body.labels("labels"), body.labels("annotations"))
    body.close(is_lenient=True)
    return alert


def _warn_of_plugins(root: Fields, name: str) -> None:
    name = _spelled(root, name)
    if root.has(name):
        root.problems.warn(root.at(name), f"rules that plugins make are left out; it has {kind_of(root.values[name])}")


def _spelled(body: Fields, name: str) -> str:
    """Return how *body* spells the field *name*: with capitals, if it is there so, or with underscores."""
    first, *rest = name.split("_")
    capitals = first + "".join(word.capitalize() for word in rest)
    return capitals if capitals in body.values else name
