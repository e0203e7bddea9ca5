"""Prometheus rules of objectives, with the names, labels and expressions that Sloth gives them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from analytics.core.errors import InputError
from analytics.core.source import yaml_text
from analytics.slo.model import AlertRouting, BurnPair, Objective, Severity
from analytics.slo.rules.model import RuleDocument, RuleSlo, filled, go_number, prom_duration
from analytics.slo.rules.native import rule_slo_of
from analytics.slo.rules.windows import CATALOGUE, AlertWindows
from analytics.sources.prometheus import matcher

VERSION = "dev"
"""What the info rule says of the version of Sloth: the word of a build that is no release."""

_ALMOST = 1e-6
"""Counts of ``increase`` are not quite whole."""


@dataclass(frozen=True, slots=True)
class RuleOptions:
    """What to write, and for which period."""

    period: timedelta = timedelta(days=30)
    """Of objectives that name none."""
    windows: Mapping[timedelta, AlertWindows] = field(default_factory=lambda: CATALOGUE)
    """Pairs of windows by period."""
    extra_labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of all recording rules; they win over those of the objective."""
    alerts: bool = True
    recordings: bool = True
    guard: bool = True
    """Whether alerts need the number of bad events that the objective asks for."""


def rules_for(documents: Sequence[RuleDocument], options: RuleOptions | None = None) -> str:
    """Return recording and alert rules as YAML: one document for each of *documents* that has any, or some together.

    What is left out is named in comments at the top.

    Raises:
        InputError: If there are no pairs of windows for a period, or nothing to write.
    """
    options = options or RuleOptions()
    notes = [f"{slo_id}: {reason}" for document in documents for slo_id, reason in document.left_out.items()]
    written: list[tuple[RuleDocument, list[dict[str, Any]]]] = []
    for document in documents:
        groups = [group for slo in document.slos for group in rule_groups(slo, options)]
        if groups and document.joins and written and written[-1][0].joins:
            written[-1][1].extend(groups)
        elif groups:
            written.append((document, groups))
    if not written:
        raise InputError(" ".join(["There are no rules to write.", *(f"Left out: {note}." for note in notes)]))
    texts = [yaml_text(_in_kubernetes(document.kubernetes, groups)) for document, groups in written]
    return "".join(f"# Left out: {note}\n" for note in notes) + "---\n" + "---\n".join(texts)


def rules_for_objectives(objectives: Sequence[Objective], options: RuleOptions | None = None) -> str:
    """Return the rules of *objectives* as one document of YAML; those that Prometheus cannot compute are left out.

    Raises:
        InputError: If there is nothing to write.
    """
    return rules_for([document_of(objectives)], options)


def document_of(objectives: Sequence[Objective]) -> RuleDocument:
    """Return *objectives* as their rules need them."""
    slos, left_out = [], {}
    for objective in objectives:
        found = rule_slo_of(objective)
        if isinstance(found, RuleSlo):
            slos.append(found)
        else:
            left_out[objective.id] = found
    return RuleDocument(slos, left_out=left_out, joins=True)


def rule_groups(slo: RuleSlo, options: RuleOptions) -> list[dict[str, Any]]:
    """Return the groups of rules of *slo*: indicators, metadata, alerts.

    Raises:
        InputError: If there are no pairs of windows for its period.
    """
    period = slo.period or options.period
    pairs = slo.pairs if slo.pairs is not None else _pairs(options, period)
    guarded = replace(slo, min_bad=slo.min_bad if options.guard and slo.bad else 0)
    groups = {
        "sli-recordings": _indicator_rules(guarded, pairs, period, options) if options.recordings else [],
        "meta-recordings": _metadata_rules(slo, pairs, period, options) if options.recordings else [],
        "alerts": _alert_rules(guarded, pairs) if options.alerts else [],
    }
    return [{"name": f"sloth-slo-{name}-{slo.id}", "rules": rules} for name, rules in groups.items() if rules]


def _pairs(options: RuleOptions, period: timedelta) -> Sequence[BurnPair]:
    windows = options.windows.get(period)
    if windows is None:
        known = ", ".join(prom_duration(length) for length in options.windows)
        raise InputError(
            f"There are no pairs of windows for a period of {prom_duration(period)}; there are for {known}."
            " Define others in a folder of windows. No rules were written."
        )
    return windows.pairs


# ---- Recordings ----


def _indicator_rules(
    slo: RuleSlo, pairs: Sequence[BurnPair], period: timedelta, options: RuleOptions
) -> list[dict[str, Any]]:
    labels = _ids(slo) | dict(slo.labels) | dict(options.extra_labels)
    shortest = _shortest(pairs)
    windows = sorted({shortest, *(window for pair in pairs for window in (pair.short, pair.long))} - {period})
    queries = {_ratio(window): (filled(slo.ratio, window), window) for window in windows}
    if slo.bad and slo.total:
        queries[_BAD.format(prom_duration(shortest))] = (filled(slo.bad, shortest), shortest)
        queries[_TOTAL.format(prom_duration(shortest))] = (filled(slo.total, shortest), shortest)
    if slo.bad and slo.min_bad:
        for window in sorted({pair.long for pair in pairs}):
            queries[_BAD.format(prom_duration(window))] = (filled(slo.bad, window), window)
    queries[_ratio(period)] = (_over_period(slo, shortest, period), period)
    return [
        {"record": name, "expr": query, "labels": _sorted(labels | {"sloth_window": prom_duration(window)})}
        for name, (query, window) in queries.items()
    ]


def _over_period(slo: RuleSlo, shortest: timedelta, period: timedelta) -> str:
    """Return the share of bad events over the period, made of the shortest window's.

    With counts each event weighs the same; without, each moment does, as Sloth does it.
    """
    window, length, selector = prom_duration(period), prom_duration(shortest), _selector(slo)
    if slo.bad and slo.total:
        bad, total = _BAD.format(length), _TOTAL.format(length)
        return f"sum_over_time({bad}{selector}[{window}])\n/\n(sum_over_time({total}{selector}[{window}]) > 0)\n"
    series = f"{_ratio(shortest)}{selector}[{window}]"
    return f"sum_over_time({series})\n/ ignoring (sloth_window)\ncount_over_time({series})\n"


def _metadata_rules(
    slo: RuleSlo, pairs: Sequence[BurnPair], period: timedelta, options: RuleOptions
) -> list[dict[str, Any]]:
    labels = _ids(slo) | dict(slo.labels) | dict(options.extra_labels)
    target, selector = go_number(slo.target_ratio), _selector(slo)
    budget = f"/ on(sloth_id, sloth_slo, sloth_service) group_left\nslo:error_budget:ratio{selector}\n"
    info = {
        "sloth_version": VERSION,
        "sloth_mode": slo.mode,
        "sloth_spec": slo.spec,
        "sloth_objective": _plain(slo.objective),
    }
    rules = {
        "slo:objective:ratio": f"vector({target})",
        "slo:error_budget:ratio": f"vector(1-{target})",
        "slo:time_period:days": f"vector({go_number(period / timedelta(days=1))})",
        "slo:current_burn_rate:ratio": f"{_ratio(_shortest(pairs))}{selector}\n{budget}",
        "slo:period_burn_rate:ratio": f"{_ratio(period)}{selector}\n{budget}",
        "slo:period_error_budget_remaining:ratio": f"1 - slo:period_burn_rate:ratio{selector}",
        "sloth_slo_info": "vector(1)",
    }
    return [
        {
            "record": name,
            "expr": query,
            "labels": _sorted(labels | info if name == "sloth_slo_info" else labels),
        }
        for name, query in rules.items()
    ]


# ---- Alerts ----


def _alert_rules(slo: RuleSlo, pairs: Sequence[BurnPair]) -> list[dict[str, Any]]:
    rules = []
    for severity, alert in ((Severity.PAGE, slo.page), (Severity.TICKET, slo.ticket)):
        mine = [pair for pair in pairs if pair.severity is severity]
        if alert.is_enabled and mine:
            rules.append(_alert_rule(slo, severity, alert, mine))
    return rules


def _alert_rule(slo: RuleSlo, severity: Severity, alert: AlertRouting, pairs: Sequence[BurnPair]) -> dict[str, Any]:
    whose = "{{$labels.sloth_service}} {{$labels.sloth_slo}} SLO error budget burn rate"
    annotations = {"title": f"({severity}) {whose} is too fast.", "summary": f"{whose} is over expected."}
    return {
        "alert": slo.alert_name,
        "expr": "or\n".join(_burns(slo, pair) for pair in pairs),
        "labels": _sorted({"sloth_severity": severity.value} | dict(alert.labels)),
        "annotations": _sorted(annotations | dict(alert.annotations)),
    }


def _burns(slo: RuleSlo, pair: BurnPair) -> str:
    selector = _selector(slo)
    limit = f"({go_number(pair.factor)} * {go_number(slo.budget_ratio)})"
    conditions = [f"{_ratio(pair.short)}{selector} > {limit}", f"{_ratio(pair.long)}{selector} > {limit}"]
    if slo.min_bad:
        bad = _BAD.format(prom_duration(pair.long))
        conditions.append(f"{bad}{selector} >= {go_number(slo.min_bad - _ALMOST)}")
    lines = "\n    and\n".join(f"    max({condition}) without (sloth_window)" for condition in conditions)
    return f"(\n{lines}\n)\n"


# ---- Names ----

_BAD = "slo:sli_bad:increase{}"
_TOTAL = "slo:sli_total:increase{}"


def _ratio(window: timedelta) -> str:
    return f"slo:sli_error:ratio_rate{prom_duration(window)}"


def _shortest(pairs: Sequence[BurnPair]) -> timedelta:
    """Return the short window of the first pair, as Sloth takes that of the quick page."""
    return pairs[0].short if pairs else timedelta(minutes=5)


def _ids(slo: RuleSlo) -> dict[str, str]:
    return {"sloth_id": slo.id, "sloth_service": slo.service, "sloth_slo": slo.name}


def _selector(slo: RuleSlo) -> str:
    return "{" + ", ".join(matcher(name, value) for name, value in _ids(slo).items()) + "}"


def _plain(value: float) -> str:
    text = f"{value:f}" if "e" in repr(value) else repr(value)
    return text.removesuffix(".0")


def _sorted(labels: Mapping[str, str]) -> dict[str, str]:
    return dict(sorted(labels.items()))


def _in_kubernetes(metadata: Mapping[str, object] | None, groups: list[dict[str, Any]]) -> dict[str, Any]:
    if metadata is None:
        return {"groups": groups}
    labels = metadata.get("labels")
    ours = {"app.kubernetes.io/component": "SLO", "app.kubernetes.io/managed-by": "helmsight"}
    named = {name: metadata[name] for name in ("name", "namespace", "annotations") if metadata.get(name)}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"labels": (labels if isinstance(labels, dict) else {}) | ours} | named,
        "spec": {"groups": groups},
    }
