"""Specifications of other tools: what they mean here, and what is said of those that are wrong."""

import copy
import json
from datetime import timedelta
from decimal import Decimal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.slo.defaults import objectives
from analytics.slo.model import (
    BooleanEvents,
    Budgeting,
    BurnPair,
    CalendarUnit,
    CalendarWindow,
    CompositeEvents,
    CompositeMode,
    LatencyEvents,
    Member,
    NativeLatencyEvents,
    Objective,
    PromEvents,
    RawRatio,
    RollingWindow,
    Severity,
    Slices,
)
from analytics.slo.rules import rules_for
from analytics.slo.specs.formats import Format, export_openslo, read_text, read_texts
from analytics.slo.specs.native import dump_document, parse_document
from analytics.slo.specs.openslo_export import EXTRAS
from analytics.slo.specs.problems import Level


def changed(document, changes):
    """Return *document* with values put in by path; None takes one out."""
    document = copy.deepcopy(document)
    for path, value in changes.items():
        *way, last = path.split("/")
        place = document
        for part in way:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        if isinstance(place, list):
            place[int(last)] = value
        elif value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return document


def read(document, *, strict=False):
    (parsed,) = read_text(yaml.safe_dump(document), strict=strict)
    return parsed


def errors(document, *, strict=False):
    return {item.path for item in read(document, strict=strict).problems if item.level is Level.ERROR}


def warnings(document):
    return {item.path for item in read(document).problems if item.level is Level.WARNING}


# ---- Sloth ----

SLOTH = {
    "version": "prometheus/v1",
    "service": "Shop",
    "labels": {"team": "web"},
    "slos": [
        {
            "name": "orders",
            "objective": 99.9,
            "description": "Orders that are paid",
            "labels": {"tier": 1},
            "sli": {
                "events": {
                    "error_query": 'sum(rate(orders{ok="no"}[{{.window}}]))',
                    "total_query": "sum(rate(orders[{{ .window }}]))",
                }
            },
            "alerting": {
                "name": "Orders",
                "page_alert": {"labels": {"to": "pager"}},
                "ticket_alert": {"disable": True},
            },
        }
    ],
}


def test_a_sloth_objective_keeps_its_queries_labels_and_alerts():
    (found,) = read(SLOTH).objectives
    assert (found.id, found.service, found.title, found.target) == ("shop-orders", "Shop", "orders", Decimal("0.999"))
    assert found.indicator == PromEvents(
        "sum(rate(orders[{window}]))", bad='sum(rate(orders{ok="no"}[{window}]))', per_second=True
    )
    assert (found.labels, found.window) == ({"team": "web", "tier": "1"}, RollingWindow())
    assert (found.alerting.name, found.alerting.page.labels) == ("Orders", {"to": "pager"})
    assert not found.alerting.ticket.is_enabled


def test_the_kubernetes_form_means_the_same_and_its_rules_are_an_object():
    spec = {name: value for name, value in SLOTH.items() if name != "version"}
    text = yaml.safe_dump(spec).replace("error_query", "errorQuery").replace("page_alert", "pageAlert")
    metadata = {"name": "shop", "namespace": "web", "labels": {"app.kubernetes.io/part-of": "shop"}}
    parsed = read(
        {
            "apiVersion": "sloth.slok.dev/v1",
            "kind": "PrometheusServiceLevel",
            "metadata": metadata,
            "spec": yaml.safe_load(text),
        }
    )
    assert parsed.objectives == read(SLOTH).objectives
    rules = yaml.safe_load(rules_for([parsed.rules]))
    assert (rules["kind"], rules["metadata"]["name"], rules["metadata"]["namespace"]) == (
        "PrometheusRule",
        "shop",
        "web",
    )
    assert rules["metadata"]["labels"]["app.kubernetes.io/part-of"] == "shop"
    info = rules["spec"]["groups"][1]["rules"][-1]["labels"]
    assert (info["sloth_mode"], info["sloth_spec"]) == ("cli-gen-k8s", "sloth.slok.dev/v1")


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        pytest.param({"version": "prometheus/v2"}, "version", id="version"),
        pytest.param({"service": ""}, "service", id="no-service"),
        pytest.param({"slos": []}, "slos", id="no-objectives"),
        pytest.param({"slos/0/name": "-x-"}, "slos[0].name", id="name"),
        pytest.param({"slos/0/objective": 101}, "slos[0].objective", id="over-100"),
        pytest.param({"slos/0/objective": "high"}, "slos[0].objective", id="no-number"),
        pytest.param({"slos/0/sli": {}}, "slos[0].sli", id="no-indicator"),
        pytest.param({"slos/0/sli/raw": {"error_ratio_query": "x"}}, "slos[0].sli", id="two-indicators"),
        pytest.param({"slos/0/sli": {"plugin": {"id": "x"}}}, "slos[0].sli.plugin", id="plugin"),
        pytest.param({"slos/0/alerting/name": ""}, "slos[0].alerting.name", id="alert-without-name"),
        pytest.param({"slos/0/alerting": None}, "slos[0].alerting.name", id="no-alerting"),
        pytest.param(
            {"slos/0/sli/events/error_query": "sum(rate(a[5m]))"}, "slos[0].sli.events.error_query", id="no-window"
        ),
        pytest.param(
            {"slos/0/sli/events/error_query": "sum(rate(a[{{.window}}])"}, "slos[0].sli.events.error_query", id="promql"
        ),
        pytest.param(
            {"slos/0/sli/events/error_query": "sum(rate(orders[{{.window}}]))"},
            "slos[0].sli.events.error_query",
            id="same-queries",
        ),
        pytest.param({"slos/0/labels": {"a-b": "c"}}, "slos[0].labels.a-b", id="label"),
    ],
)
def test_a_wrong_sloth_specification_is_refused_with_the_field(changes, path):
    assert errors(changed(SLOTH, changes)) == {path}


def test_a_field_that_sloth_ignores_is_a_warning_or_in_strict_reading_an_error():
    document = changed(SLOTH, {"slos/0/obejctive": 1})
    assert (errors(document), warnings(document)) == (set(), {"slos[0].obejctive"})
    assert errors(document, strict=True) == {"slos[0].obejctive"}
    assert read(document).problems[0].hint == "did you mean 'objective'?"


def test_an_objective_without_errors_is_there_beside_one_with():
    second = changed(SLOTH, {"slos/0/name": "other", "slos/0/objective": 0})["slos"]
    parsed = read(SLOTH | {"slos": SLOTH["slos"] + second})
    assert (parsed.is_valid, [item.id for item in parsed.objectives]) == (False, ["shop-orders"])
    assert len(parsed.rules.slos) == 1


def test_a_name_is_taken_once_over_all_texts():
    text = yaml.safe_dump(SLOTH)
    first, second = read_texts({"a.yaml": text, "b.yaml": text})
    assert first.is_valid
    assert [str(item) for item in second.problems] == [
        "slos[0]: the id 'shop-orders' is defined already in a.yaml (ids are unique)"
    ]


# ---- OpenSLO ----


def metric(query, kind="Prometheus"):
    return {"metricSource": {"type": kind, "spec": {"query": query}}}


OPENSLO = {
    "apiVersion": "openslo/v1",
    "kind": "SLO",
    "metadata": {"name": "orders", "displayName": "Orders", "labels": {"team": ["web", "pay"], "a.b/c": "d"}},
    "spec": {
        "description": "Orders that are paid",
        "service": "shop",
        "indicator": {
            "metadata": {"name": "paid"},
            "spec": {
                "ratioMetric": {"counter": True, "good": metric('sum(orders{ok="yes"})'), "total": metric("orders")}
            },
        },
        "timeWindow": [{"duration": "28d", "isRolling": True}],
        "budgetingMethod": "Occurrences",
        "objectives": [{"displayName": "Paid", "target": 0.99}],
    },
}
METRIC = "spec/indicator/spec/ratioMetric"


def test_an_openslo_objective_gets_a_window_around_its_counters():
    parsed = read(OPENSLO, strict=True)
    assert parsed.problems == ()
    (found,) = parsed.objectives
    assert (found.id, found.title, found.service, found.target) == ("orders", "Orders", "shop", Decimal("0.99"))
    assert found.indicator == PromEvents(
        "sum(increase(orders[{window}]))", good='sum(increase(orders{ok="yes"}[{window}]))'
    )
    assert (found.period, found.labels) == (timedelta(days=28), {"team": "web,pay", "a_b_c": "d"})


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sum(rate(orders[{{.window}}]))", "sum(rate(orders[{window}]))"),
        ("sum(rate(orders[window]))", "sum(rate(orders[{window}]))"),
        ("sum(rate(orders[5m]))", "sum(rate(orders[{window}]))"),
        ("orders + returns", "increase((orders + returns)[{window}:1m])"),
    ],
)
def test_whatever_window_a_query_has_is_ours(query, expected):
    document = changed(OPENSLO, {f"{METRIC}/total": metric(query), f"{METRIC}/good": metric(query)})
    (found,) = read(document).objectives
    assert (found.indicator.total, found.indicator.per_second) == (expected, "rate" in query)


def test_calendar_windows_and_slices_are_read():
    calendar = {"startTime": "2026-01-01 00:00:00", "timeZone": "Europe/Berlin"}
    (found,) = read(
        changed(
            OPENSLO,
            {
                "spec/timeWindow/0": {"duration": "1Q", "isRolling": False, "calendar": calendar},
                "spec/budgetingMethod": "Timeslices",
                "spec/objectives/0/timeSliceTarget": 0.97,
                "spec/objectives/0/timeSliceWindow": "10m",
            },
        ),
        strict=True,
    ).objectives
    assert found.window == CalendarWindow(CalendarUnit.QUARTER, "Europe/Berlin")
    assert (found.budgeting, found.slices) == (Budgeting.TIMESLICES, Slices(timedelta(minutes=10), Decimal("0.97")))


def test_a_threshold_is_the_share_of_time_on_its_good_side():
    threshold = {"thresholdMetric": {"metricSource": {"type": "prometheus", "spec": {"query": "queue_length"}}}}
    (found,) = read(
        changed(
            OPENSLO,
            {"spec/indicator/spec": threshold, "spec/objectives/0": {"op": "lte", "value": 20, "targetPercent": 95}},
        ),
        strict=True,
    ).objectives
    assert found.indicator == RawRatio("avg_over_time(((queue_length) <= bool 20)[{window}:1m])", is_success=True)
    assert found.target == Decimal("0.95")


def test_references_are_followed_over_texts_and_sources():
    ratio = {
        "rawType": "failure",
        "raw": {"metricSource": {"metricSourceRef": "prom", "spec": {"query": "errors:ratio"}}},
    }
    condition = {"kind": "burnrate", "op": "gt", "threshold": 6, "lookbackWindow": "6h", "alertAfter": "5m"}
    parts = [
        {"kind": "SLI", "metadata": {"name": "paid"}, "spec": {"ratioMetric": ratio}},
        {
            "kind": "DataSource",
            "metadata": {"name": "prom"},
            "spec": {"type": "Prometheus", "connectionDetails": {"a": 1}},
        },
        {
            "kind": "AlertPolicy",
            "metadata": {"name": "slow"},
            "spec": {"conditions": [{"conditionRef": "six"}], "notificationTargets": []},
        },
        {"kind": "AlertCondition", "metadata": {"name": "six"}, "spec": {"severity": "ticket", "condition": condition}},
    ]
    slo = changed(
        OPENSLO,
        {"spec/indicator": None, "spec/indicatorRef": "paid", "spec/alertPolicies": [{"alertPolicyRef": "slow"}]},
    )
    texts = {"slo.yaml": yaml.safe_dump(slo)}
    texts["parts.yaml"] = yaml.safe_dump_all([{"apiVersion": "openslo/v1"} | part for part in parts])
    first, *others = read_texts(texts, strict=True)
    assert [item.problems for item in (first, *others)] == [()] * 5
    assert first.objectives[0].indicator == RawRatio("errors:ratio")
    six_hours = BurnPair(Severity.TICKET, timedelta(hours=6), timedelta(minutes=30), 6.0, 1)
    assert first.objectives[0].alerting.pairs == (six_hours,)


def test_weighted_objectives_become_a_composite_of_burn_rates():
    indicator = OPENSLO["spec"]["indicator"]
    parsed = read(
        changed(
            OPENSLO,
            {
                "spec/indicator": None,
                "spec/objectives": [
                    {"target": 0.99, "compositeWeight": 3, "indicator": indicator},
                    {"target": 0.95, "compositeWeight": 1, "indicator": indicator},
                ],
            },
        ),
        strict=True,
    )
    first, second, whole = parsed.objectives
    assert (first.id, second.id, whole.id, whole.target) == ("orders-1", "orders-2", "orders", Decimal("0.98"))
    members = (Member("orders-1", Decimal(3)), Member("orders-2", Decimal(1)))
    assert whole.indicator == CompositeEvents(CompositeMode.BURN_SUM, members)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        pytest.param({"apiVersion": "openslo/v3"}, "apiVersion", id="version"),
        pytest.param({"kind": "SLOs"}, "kind", id="kind"),
        pytest.param({"spec/service": None}, "spec.service", id="no-service"),
        pytest.param({"spec/objectives": []}, "spec.objectives", id="no-objectives"),
        pytest.param({"spec/objectives/0": {"target": 99}}, "spec.objectives[0].target", id="per-cent"),
        pytest.param(
            {"spec/objectives/0": {"target": 0.9, "targetPercent": 90}}, "spec.objectives[0]", id="two-targets"
        ),
        pytest.param({"spec/objectives/0": {}}, "spec.objectives[0].target", id="no-target"),
        pytest.param({"spec/budgetingMethod": "Occurences"}, "spec.budgetingMethod", id="method"),
        pytest.param({"spec/timeWindow/0/duration": "28 days"}, "spec.timeWindow[0].duration", id="duration"),
        pytest.param({"spec/timeWindow/0/isRolling": False}, "spec.timeWindow[0].calendar", id="no-calendar"),
        pytest.param(
            {"spec/timeWindow/0": {"duration": "2w", "calendar": {"startTime": "2026-01-01 00:00:00"}}},
            "spec.timeWindow[0].duration",
            id="no-calendar-span",
        ),
        pytest.param({f"{METRIC}/bad": metric("a")}, "spec.indicator.spec.ratioMetric", id="good-and-bad"),
        pytest.param({f"{METRIC}/total": None}, "spec.indicator.spec.ratioMetric.total", id="no-total"),
        pytest.param(
            {f"{METRIC}/total": metric("sum(")},
            "spec.indicator.spec.ratioMetric.total.metricSource.spec.query",
            id="promql",
        ),
        pytest.param(
            {"spec/budgetingMethod": "Timeslices"}, "spec.objectives[0].timeSliceTarget", id="no-slice-target"
        ),
    ],
)
def test_a_wrong_openslo_specification_is_refused_with_the_field(changes, path):
    assert errors(changed(OPENSLO, changes)) == {path}


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        pytest.param({"spec/objectives/0/op": "gt"}, "spec.objectives[0].op", id="operator-of-a-ratio"),
        pytest.param({f"{METRIC}/counter": None}, "spec.indicator.spec.ratioMetric.counter", id="no-counter"),
        pytest.param({"metadata/name": "Orders_2"}, "metadata.name", id="name"),
        pytest.param({"spec/timeWindow": None}, "spec.timeWindow", id="no-window"),
        pytest.param({"spec/alertPolicies": ["nobody"]}, "spec.alertPolicies[0]", id="unknown-policy"),
        pytest.param({"spec/extra": 1}, "spec.extra", id="unknown-field"),
        pytest.param({"spec/description": "x" * 1051}, "spec.description", id="long"),
        pytest.param(
            {
                "spec/timeWindow/0": {
                    "duration": "1m",
                    "isRolling": False,
                    "calendar": {"startTime": "2026-01-01 00:00:00", "timeZone": "UTC"},
                }
            },
            "spec.timeWindow[0].duration",
            id="minute-for-month",
        ),
    ],
)
def test_what_can_be_understood_is_a_warning_and_in_strict_reading_an_error(changes, path):
    document = changed(OPENSLO, changes)
    parsed = read(document)
    assert (len(parsed.objectives), errors(document), warnings(document)) == (1, set(), {path})
    assert errors(document, strict=True) == {path}


def test_an_objective_of_another_source_is_valid_and_left_out():
    document = changed(OPENSLO, {f"{METRIC}/total": metric("x", "Datadog"), f"{METRIC}/good": metric("x", "Datadog")})
    parsed = read(document, strict=True)
    assert (parsed.is_valid, parsed.objectives) == (True, ())
    assert "Datadog is not read here" in parsed.problems[0].message


def test_the_first_version_of_openslo_is_read_and_gets_the_rules_sloth_makes_of_it():
    query = {"source": "prometheus", "queryType": "promql"}
    parsed = read(
        {
            "apiVersion": "openslo/v1alpha",
            "kind": "SLO",
            "metadata": {"name": "orders", "displayName": "Orders"},
            "spec": {
                "service": "shop",
                "budgetingMethod": "Occurrences",
                "timeWindows": [{"unit": "Day", "count": 28}],
                "objectives": [
                    {
                        "target": 0.99,
                        "ratioMetrics": {
                            "good": query | {"query": "sum(rate(good[{{.window}}]))"},
                            "total": query | {"query": "sum(rate(all[{{.window}}]))"},
                        },
                    }
                ],
            },
        }
    )
    assert (parsed.format, parsed.problems) == (Format.OPENSLO_ALPHA, ())
    (found,) = parsed.objectives
    assert (found.id, found.period, found.indicator.per_second) == ("shop-orders-0", timedelta(days=28), True)
    groups = yaml.safe_load(rules_for([parsed.rules]))["groups"]
    assert [group["name"] for group in groups][-1] == "sloth-slo-meta-recordings-shop-orders-0"
    assert groups[0]["rules"][0]["expr"] == (
        "(\n  1 - (\n    (\n      sum(rate(good[5m]))\n    )\n    /\n    (\n      sum(rate(all[5m]))\n    )\n  )\n)"
    )
    assert groups[0]["rules"][-1]["record"] == "slo:sli_error:ratio_rate4w"


# ---- Export to OpenSLO ----


def special(**changes):
    fields = {
        "id": "shop_orders",
        "title": "Orders",
        "service": "shop",
        "target": Decimal("0.9995"),
        "indicator": LatencyEvents("answer_seconds", Decimal("0.5")),
        "description": "Fast orders",
        "window": CalendarWindow(CalendarUnit.MONTH, "Europe/Berlin"),
        "group_by": ("region",),
        "owner": "web",
    }
    return Objective(**{**fields, **changes})


def test_exported_objectives_are_valid_openslo_and_come_back_unchanged():
    composite = CompositeEvents(CompositeMode.WEIGHTED, (Member("shop_orders"), Member("api_availability", Decimal(2))))
    given = [*objectives(), special(), special(id="all", indicator=composite, group_by=())]
    text = export_openslo(given)
    parsed = read_text(text, strict=True)
    assert [item.problems for item in parsed if item.problems] == []
    found = {item.id: item for each in parsed for item in each.objectives}
    assert found == {item.id: parse_document(dump_document(item)) for item in given}
    kinds = [item["kind"] for item in yaml.safe_load_all(text)]
    assert (kinds.count("SLO"), kinds.count("SLI")) == (11, 2)


def test_a_change_made_in_the_export_wins_over_our_annotation():
    document = yaml.safe_load(export_openslo([special()]))
    document["spec"]["objectives"][0]["target"] = 0.9
    document["metadata"]["labels"] = {"tier": "1"}
    (found,) = read(document).objectives
    assert found == special(target=Decimal("0.9"), labels={"tier": "1"})
    document["spec"]["indicator"]["spec"]["ratioMetric"]["total"] = metric("sum(increase(other[{{.window}}]))")
    (found,) = read(document).objectives
    assert (found.indicator.total, found.owner) == ("sum(increase(other[{window}]))", "web")


def test_an_annotation_that_is_damaged_is_ignored():
    document = yaml.safe_load(export_openslo([special()]))
    document["metadata"]["annotations"][EXTRAS] = "{"
    parsed = read(document)
    assert (parsed.is_valid, len(parsed.objectives)) == (True, 1)
    assert parsed.problems[0].path == f"metadata.annotations.{EXTRAS}"


# ---- Pyrra ----

PYRRA = {
    "apiVersion": "pyrra.dev/v1alpha1",
    "kind": "ServiceLevelObjective",
    "metadata": {"name": "orders", "namespace": "shop", "labels": {"pyrra.dev/team": "web", "role": "rules"}},
    "spec": {
        "target": "99.5",
        "window": "2w",
        "description": "Paid orders",
        "indicator": {
            "ratio": {
                "errors": {"metric": 'orders_total{ok="no"}'},
                "total": {"metric": "orders_total"},
                "grouping": ["region"],
            }
        },
        "alerting": {"name": "Orders", "absent": False},
    },
}


def test_a_pyrra_ratio_keeps_the_labels_it_is_grouped_by():
    parsed = read(PYRRA, strict=True)
    assert parsed.problems == ()
    (found,) = parsed.objectives
    assert (found.id, found.service, found.target) == ("orders", "shop", Decimal("0.995"))
    assert (found.period, found.group_by, found.labels) == (timedelta(days=14), ("region",), {"team": "web"})
    assert found.indicator == PromEvents(
        "sum by (region) (increase(orders_total[{window}]))",
        "count by (region) (orders_total)",
        bad='sum by (region) (increase(orders_total{ok="no"}[{window}]))',
    )
    assert (found.alerting.name, found.alerting.no_data_after) == ("Orders", None)


@pytest.mark.parametrize(
    ("indicator", "expected"),
    [
        pytest.param(
            {
                "latency": {
                    "success": {"metric": 'answer_seconds_bucket{job="a",le="0.5"}'},
                    "total": {"metric": 'answer_seconds_count{job="a"}'},
                }
            },
            LatencyEvents("answer_seconds", Decimal("0.5"), 'job="a"'),
            id="latency",
        ),
        pytest.param(
            {
                "latency": {
                    "success": {"metric": 'fast_bucket{le="1"}'},
                    "total": {"metric": "all_count"},
                }
            },
            PromEvents(
                "sum(increase(all_count[{window}]))",
                "count(all_count)",
                good='sum(increase(fast_bucket{le="1"}[{window}]))',
            ),
            id="latency-of-two-metrics",
        ),
        pytest.param(
            {"latencyNative": {"total": {"metric": "answer_seconds"}, "latency": "200ms"}},
            NativeLatencyEvents("answer_seconds", Decimal("0.2")),
            id="native",
        ),
        pytest.param({"bool_gauge": {"metric": 'up{job="a"}'}}, BooleanEvents("up", 'job="a"'), id="boolean"),
    ],
)
def test_every_pyrra_indicator_has_its_own(indicator, expected):
    (found,) = read(changed(PYRRA, {"spec/indicator": indicator}), strict=True).objectives
    assert found.indicator == expected


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        pytest.param({"spec/target": "101"}, "spec.target", id="target"),
        pytest.param({"spec/window": None}, "spec.window", id="no-window"),
        pytest.param({"spec/window": "5m"}, "spec.window", id="short-window"),
        pytest.param({"spec/indicator": {}}, "spec.indicator", id="no-indicator"),
        pytest.param({"metadata/name": None}, "metadata.name", id="no-name"),
        pytest.param(
            {"spec/indicator/ratio/errors/metric": "sum(orders)"},
            "spec.indicator.ratio.errors.metric",
            id="no-selector",
        ),
    ],
)
def test_a_wrong_pyrra_specification_is_refused_with_the_field(changes, path):
    assert errors(changed(PYRRA, changes)) == {path}


# ---- slo-generator ----

GENERATOR = {
    "apiVersion": "sre.google.com/v2",
    "kind": "ServiceLevelObjective",
    "metadata": {"name": "shop-orders", "labels": {"service": "shop"}},
    "spec": {
        "description": "Paid orders",
        "goal": 0.995,
        "backend": "prometheus/eu",
        "method": "good_bad_ratio",
        "exporters": [],
        "service_level_indicator": {"filter_good": 'orders{ok="yes"}', "filter_valid": "orders"},
    },
}
INDICATOR = "spec/service_level_indicator"


@pytest.mark.parametrize(
    ("method", "indicator", "expected"),
    [
        pytest.param(
            "good_bad_ratio",
            {"filter_good": 'orders{ok="yes"}', "filter_valid": "orders"},
            PromEvents("sum(increase(orders[{window}]))", good='sum(increase(orders{ok="yes"}[{window}]))'),
            id="good-of-all",
        ),
        pytest.param(
            "good_bad_ratio",
            {"filter_good": "good", "filter_bad": "bad", "operators": ["rate"]},
            PromEvents("(rate(good[{window}])) + (rate(bad[{window}]))", bad="rate(bad[{window}])"),
            id="good-and-bad",
        ),
        pytest.param(
            "query_sli",
            {"expression": "sum(rate(good[window])) / sum(rate(all[window]))"},
            RawRatio("sum(rate(good[{window}])) / sum(rate(all[{window}]))", is_success=True),
            id="share",
        ),
        pytest.param(
            "distribution_cut",
            {"expression": 'answer_seconds_bucket{job="a"}', "threshold_bucket": 0.25},
            LatencyEvents("answer_seconds", Decimal("0.25"), 'job="a"'),
            id="cut",
        ),
    ],
)
def test_every_method_of_slo_generator_has_its_indicator(method, indicator, expected):
    parsed = read(changed(GENERATOR, {"spec/method": method, INDICATOR: indicator}), strict=True)
    assert parsed.problems == ()
    (found,) = parsed.objectives
    assert (found.id, found.service, found.target) == ("shop-orders", "shop", Decimal("0.995"))
    assert found.indicator == expected


def test_the_older_form_of_slo_generator_means_the_same():
    old = {
        "service_name": "shop",
        "slo_name": "orders",
        "slo_description": "Paid orders",
        "slo_target": 0.995,
        "backend": {
            "class": "Prometheus",
            "method": "good_bad_ratio",
            "measurement": GENERATOR["spec"]["service_level_indicator"],
        },
    }
    (found,) = read(old).objectives
    (same,) = read(GENERATOR).objectives
    assert (found.id, found.target, found.indicator) == (same.id, same.target, same.indicator)


def test_what_slo_generator_asks_of_others_is_left_out():
    parsed = read(changed(GENERATOR, {"spec/backend": "datadog"}))
    assert (parsed.is_valid, parsed.objectives) == (True, ())
    assert parsed.problems[0].path == "spec.backend"


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        pytest.param({"spec/goal": 99.5}, "spec.goal", id="per-cent"),
        pytest.param({"spec/goal": None}, "spec.goal", id="no-goal"),
        pytest.param({"spec/method": "good_bad"}, "spec.method", id="method"),
        pytest.param({INDICATOR: {"filter_good": "a"}}, "spec.service_level_indicator", id="no-total"),
        pytest.param({f"{INDICATOR}/filter_good": "a{"}, "spec.service_level_indicator.filter_good", id="promql"),
    ],
)
def test_a_wrong_slo_generator_specification_is_refused_with_the_field(changes, path):
    assert errors(changed(GENERATOR, changes)) == {path}


# ---- All of them ----

DOCUMENTS = {"sloth": SLOTH, "openslo": OPENSLO, "pyrra": PYRRA, "slo-generator": GENERATOR}


@pytest.mark.parametrize(
    ("document", "changes"),
    [
        pytest.param(SLOTH, {"service": None}, id="sloth"),
        pytest.param(OPENSLO, {"spec/service": None}, id="openslo"),
        pytest.param(PYRRA, {"metadata/name": None}, id="pyrra"),
        pytest.param(GENERATOR, {"metadata/name": None}, id="slo-generator"),
    ],
)
def test_nothing_is_taken_from_a_document_that_does_not_say_whose_it_is(document, changes):
    parsed = read(changed(document, changes))
    assert (parsed.is_valid, parsed.objectives, list(parsed.rules.slos)) == (False, (), [])


def paths(value, way=()):
    yield way
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from paths(item, (*way, str(name)))


ODD = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        1e300,
        10**18,
        ".inf",
        "",
        "x",
        "{{.window}}",
        "a{",
        "1e999999999",
        "9" * 50,
        [],
        {},
        [1],
        {"a": 1},
    ]
)


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_no_odd_value_anywhere_makes_reading_fail(data):
    document = DOCUMENTS[data.draw(st.sampled_from(sorted(DOCUMENTS)))]
    path = data.draw(st.sampled_from([way for way in paths(document) if way]))
    value = data.draw(ODD)
    (parsed,) = read_text(json.dumps(changed(document, {"/".join(path): value})))
    for item in parsed.objectives:
        assert parse_document(dump_document(item)) == item


POLICY = {
    "apiVersion": "openslo/v1",
    "kind": "AlertPolicy",
    "metadata": {"name": "slow"},
    "spec": {"conditions": [{"conditionRef": "six"}], "notificationTargets": [{"targetRef": "mail"}]},
}
CONDITION = {
    "apiVersion": "openslo/v1",
    "kind": "AlertCondition",
    "metadata": {"name": "six"},
    "spec": {"severity": "page", "condition": {"kind": "burnrate"}},
}


@pytest.mark.parametrize(
    ("document", "changes", "path"),
    [
        pytest.param(POLICY, {"spec/conditions/0": {"foo": "bar"}}, "spec.conditions[0].conditionRef", id="condition"),
        pytest.param(
            POLICY, {"spec/notificationTargets/0": {"a": 1}}, "spec.notificationTargets[0].targetRef", id="target"
        ),
        pytest.param(POLICY, {"spec/conditions": None}, "spec.conditions", id="no-conditions"),
        pytest.param(CONDITION, {"spec/severity": None}, "spec.severity", id="no-severity"),
        pytest.param(CONDITION, {"spec/condition": None}, "spec.condition", id="no-condition"),
    ],
)
def test_the_parts_of_openslo_are_checked_too(document, changes, path):
    assert read(document, strict=True).problems == ()
    assert errors(changed(document, changes)) == {path}


@pytest.mark.parametrize(
    "source",
    [
        pytest.param({"type": "Prometheus", "spec": None}, id="empty"),
        pytest.param({"metricSourceRef": "nobody", "spec": {"query": "SELECT 1"}}, id="no-promql-of-nobody"),
        pytest.param({"type": "CloudWatch", "spec": {"namespace": "a"}}, id="other"),
    ],
)
def test_a_source_that_says_nothing_to_us_leaves_its_objective_out(source):
    parsed = read(changed(OPENSLO, {f"{METRIC}/good": {"metricSource": source}}))
    assert (parsed.is_valid, parsed.objectives) == (True, ())
    assert parsed.problems
