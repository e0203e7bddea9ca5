import shutil
import subprocess
from datetime import timedelta
from decimal import Decimal

import pytest
import yaml

from analytics.core.errors import InputError
from analytics.slo.defaults import objectives
from analytics.slo.model import (
    AlertPolicy,
    AlertRouting,
    Budgeting,
    BurnPair,
    LatencyEvents,
    Objective,
    PromEvents,
    RawRatio,
    RollingWindow,
    Severity,
    Slices,
    SqlEvents,
)
from analytics.slo.rules import RuleOptions, load_windows, rules_for, rules_for_objectives
from analytics.slo.rules.model import go_number, prom_duration
from analytics.slo.specs.formats import export_native, read_text
from analytics.slo.specs.problems import SpecError

SHOP = """
version: prometheus/v1
service: shop
labels: {team: web}
slos:
- name: orders
  objective: 99.5
  labels: {tier: "1"}
  sli:
    events:
      error_query: sum(rate(orders_total{outcome="failed"}[{{.window}}]))
      total_query: sum(rate(orders_total[{{ .window }}]))
  alerting:
    name: OrdersFail
    labels: {topic: orders}
    annotations: {summary: Orders fail}
    page_alert: {labels: {receiver: pager}}
    ticket_alert: {labels: {receiver: board}}
- name: mood
  objective: 90
  sli:
    raw:
      error_ratio_query: |
        1 - avg(avg_over_time(mood[{{.window}}]))
  alerting:
    page_alert: {disable: true}
    ticket_alert: {disable: true}
"""
DAY = timedelta(days=1)


def groups(text=SHOP, **options):
    parsed = read_text(text)
    assert all(item.is_valid for item in parsed), [item.problems for item in parsed]
    return [
        document["groups"]
        for document in yaml.safe_load_all(rules_for([item.rules for item in parsed], RuleOptions(**options)))
    ]


def rule(found, name):
    (only,) = [item for group in found for item in group["rules"] if name in (item.get("record"), item.get("alert"))]
    return only


def test_each_objective_has_groups_of_indicators_metadata_and_alerts():
    (found,) = groups()
    assert [group["name"] for group in found] == [
        "sloth-slo-sli-recordings-shop-orders",
        "sloth-slo-meta-recordings-shop-orders",
        "sloth-slo-alerts-shop-orders",
        "sloth-slo-sli-recordings-shop-mood",
        "sloth-slo-meta-recordings-shop-mood",
    ]


def test_windows_are_recorded_from_the_shortest_to_the_period():
    recorded = [item["record"].removeprefix("slo:sli_error:ratio_rate") for item in groups()[0][0]["rules"]]
    assert recorded == ["5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d"]


def test_events_become_a_ratio_with_the_labels_of_service_and_objective():
    assert rule(groups()[0][:1], "slo:sli_error:ratio_rate6h") == {
        "record": "slo:sli_error:ratio_rate6h",
        "expr": '(sum(rate(orders_total{outcome="failed"}[6h])))\n/\n(sum(rate(orders_total[6h])))\n',
        "labels": {
            "sloth_id": "shop-orders",
            "sloth_service": "shop",
            "sloth_slo": "orders",
            "sloth_window": "6h",
            "team": "web",
            "tier": "1",
        },
    }


def test_a_raw_ratio_keeps_its_line_ends():
    assert rule(groups()[0][3:4], "slo:sli_error:ratio_rate5m")["expr"] == "(1 - avg(avg_over_time(mood[5m]))\n)"


def test_a_page_burns_fast_in_both_windows_of_one_of_two_pairs():
    page, ticket = groups()[0][2]["rules"]
    series = '{sloth_id="shop-orders", sloth_service="shop", sloth_slo="orders"}'
    assert page == {
        "alert": "OrdersFail",
        "expr": (
            "(\n"
            f"    max(slo:sli_error:ratio_rate5m{series} > (14.4 * 0.005)) without (sloth_window)\n"
            "    and\n"
            f"    max(slo:sli_error:ratio_rate1h{series} > (14.4 * 0.005)) without (sloth_window)\n"
            ")\nor\n(\n"
            f"    max(slo:sli_error:ratio_rate30m{series} > (6 * 0.005)) without (sloth_window)\n"
            "    and\n"
            f"    max(slo:sli_error:ratio_rate6h{series} > (6 * 0.005)) without (sloth_window)\n"
            ")\n"
        ),
        "labels": {"receiver": "pager", "sloth_severity": "page", "topic": "orders"},
        "annotations": {
            "summary": "Orders fail",
            "title": "(page) {{$labels.sloth_service}} {{$labels.sloth_slo}} SLO error budget burn rate is too fast.",
        },
    }
    assert ticket["labels"] == {"receiver": "board", "sloth_severity": "ticket", "topic": "orders"}
    assert "(3 * 0.005)" in ticket["expr"]


def test_metadata_tell_target_period_and_what_is_left():
    meta = groups()[0][1]["rules"]
    assert {item["record"]: item["expr"] for item in meta if "vector" in item["expr"]} == {
        "slo:objective:ratio": "vector(0.995)",
        "slo:error_budget:ratio": "vector(1-0.995)",
        "slo:time_period:days": "vector(30)",
        "sloth_slo_info": "vector(1)",
    }
    assert meta[-1]["labels"]["sloth_objective"] == "99.5"


@pytest.mark.parametrize(
    ("days", "window", "factors"),
    [
        pytest.param(30, "30d", ("14.4", "6", "3", "1"), id="30d"),
        pytest.param(28, "4w", ("13.44", "5.6000000000000005", "2.8000000000000003", "0.9333333333333333"), id="28d"),
        pytest.param(7, "1w", ("13.44", "3.5", "1.4000000000000001", "0.98"), id="7d"),
    ],
)
def test_each_period_has_its_factors_down_to_the_last_digit(days, window, factors):
    (found,) = groups(period=days * DAY)
    assert found[0]["rules"][-1]["labels"]["sloth_window"] == window
    alerts = "".join(item["expr"] for item in found[2]["rules"])
    assert [f"({factor} * 0.005)" in alerts for factor in factors] == [True] * 4


def test_extra_labels_are_on_recordings_only():
    (found,) = groups(extra_labels={"cluster": "eu", "tier": "2"})
    labels = [item["labels"] for group in found for item in group["rules"] if "record" in item]
    assert all(item["cluster"] == "eu" and item["tier"] == "2" for item in labels)
    assert all("cluster" not in item["labels"] for item in found[2]["rules"])


def test_alerts_and_recordings_can_be_left_out():
    assert [len(group["rules"]) for group in groups(alerts=False)[0]] == [8, 7, 8, 7]
    assert [group["name"] for group in groups(recordings=False)[0]] == ["sloth-slo-alerts-shop-orders"]


def test_each_document_has_one_of_rules():
    assert len(groups(SHOP + "---\n" + SHOP.replace("service: shop", "service: pay"))) == 2


def test_a_period_without_windows_is_refused_and_says_which_there_are():
    with pytest.raises(InputError, match=r"for a period of 90d; there are for 30d, 4w, 1w"):
        groups(period=90 * DAY)


def test_nothing_to_write_is_refused():
    with pytest.raises(InputError, match="There are no rules to write"):
        groups(alerts=False, recordings=False)


# ---- Windows of one's own ----

WINDOWS = """
apiVersion: sloth.slok.dev/v1
kind: AlertWindows
spec:
  sloPeriod: 14d
  page:
    quick: {errorBudgetPercent: 4, shortWindow: 10m, longWindow: 2h}
    slow: {errorBudgetPercent: 8, shortWindow: 1h, longWindow: 12h}
  ticket:
    quick: {errorBudgetPercent: 15, shortWindow: 2h, longWindow: 1d}
    slow: {errorBudgetPercent: 30, shortWindow: 6h, longWindow: 3d}
"""


def test_windows_come_from_a_folder(tmp_path):
    (tmp_path / "fortnight.yaml").write_text(WINDOWS)
    (found,) = groups(period=14 * DAY, windows=load_windows(tmp_path))
    recorded = [item["record"].removeprefix("slo:sli_error:ratio_rate") for item in found[0]["rules"]]
    assert recorded == ["10m", "1h", "2h", "6h", "12h", "1d", "3d", "2w"]
    assert "slo:sli_error:ratio_rate10m" in found[1]["rules"][3]["expr"]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        pytest.param(WINDOWS.replace("sloPeriod: 14d", "sloPeriod: soon"), "bad.yml.spec.sloPeriod", id="period"),
        pytest.param(WINDOWS.replace("Percent: 4", "Percent: 0"), "bad.yml.spec.page.quick.errorBudgetPercent", id="0"),
        pytest.param(WINDOWS.replace("AlertWindows", "Windows"), "bad.yml.apiVersion", id="kind"),
        pytest.param(WINDOWS.replace("slow", "slwo", 1), "bad.yml.spec.page.slow", id="misspelt"),
        pytest.param("", "bad.yml", id="empty"),
        pytest.param("a: [", "bad.yml", id="broken"),
    ],
)
def test_a_wrong_file_of_windows_is_named_with_the_place(tmp_path, text, path):
    (tmp_path / "bad.yml").write_text(text)
    with pytest.raises(SpecError) as error:
        load_windows(tmp_path)
    assert path in {problem.path for problem in error.value.problems}


def test_two_files_for_one_period_are_refused(tmp_path):
    (tmp_path / "a.yaml").write_text(WINDOWS)
    (tmp_path / "b.yaml").write_text(WINDOWS)
    with pytest.raises(SpecError, match="windows for 14 days are defined already"):
        load_windows(tmp_path)


def test_a_folder_without_windows_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError):
            load_windows(folder)


# ---- Objectives of our own ----


def ours(**changes):
    fields = {
        "id": "orders",
        "title": "Orders",
        "service": "shop",
        "target": Decimal("0.999"),
        "indicator": PromEvents("sum(rate(all[{window}]))", bad="sum(rate(bad[{window}]))", per_second=True),
        "description": "",
    }
    return Objective(**{**fields, **changes})


def own(*given, **options):
    return yaml.safe_load(rules_for_objectives(given, RuleOptions(**options)))["groups"]


def test_no_events_record_nothing_and_no_bad_ones_a_zero():
    found = own(ours(indicator=PromEvents("sum(increase(all[{window}]))", good="sum(increase(good[{window}]))")))
    assert rule(found[:1], "slo:sli_error:ratio_rate5m")["expr"] == (
        "((sum(increase(all[5m]))) - ((sum(increase(good[5m]))) or 0 * (sum(increase(all[5m])))))\n"
        "/\n((sum(increase(all[5m]))) > 0)\n"
    )


def test_over_the_period_each_event_weighs_the_same():
    found = own(ours())
    series = '{sloth_id="shop-orders", sloth_service="shop", sloth_slo="orders"}[30d]'
    assert rule(found, "slo:sli_error:ratio_rate30d")["expr"] == (
        f"sum_over_time(slo:sli_bad:increase5m{series})\n/\n(sum_over_time(slo:sli_total:increase5m{series}) > 0)\n"
    )
    assert rule(found, "slo:sli_total:increase5m")["expr"] == "(sum(rate(all[5m]))) * 300"


def test_few_bad_events_do_not_alert_unless_the_guard_is_off():
    for options, is_guarded in (({}, True), ({"guard": False}, False)):
        expressions = [item["expr"] for item in own(ours(), **options)[2]["rules"]]
        assert ["slo:sli_bad:increase" in item for item in expressions] == [is_guarded] * 2
    assert "slo:sli_bad:increase1h" in own(ours())[2]["rules"][0]["expr"]
    unguarded = own(ours(alerting=AlertPolicy(min_bad=0)))
    assert "slo:sli_bad" not in "".join(item["expr"] for item in unguarded[2]["rules"])


def test_a_low_target_gets_thresholds_that_can_be_reached():
    (page, *_) = own(ours(target=Decimal("0.8")))[2]["rules"]
    assert "(2.5 * 0.2)" in page["expr"]
    assert "(14.4 * 0.2)" not in page["expr"]


def test_pairs_names_and_texts_of_the_policy_are_used():
    policy = AlertPolicy(
        pairs=(BurnPair(Severity.PAGE, timedelta(hours=3), timedelta(minutes=15), 5.5),),
        name="Shop",
        labels={"team": "web"},
        page=AlertRouting(labels={"receiver": "pager"}),
        annotations={"runbook": "https://example.org"},
    )
    (only,) = own(ours(alerting=policy))[2]["rules"]
    assert (only["alert"], only["labels"]["receiver"], only["labels"]["team"]) == ("Shop", "pager", "web")
    assert "slo:sli_error:ratio_rate15m" in only["expr"]
    assert "(5.5 * 0.001)" in only["expr"]
    assert only["annotations"]["runbook"] == "https://example.org"


def test_objectives_of_several_documents_go_into_one_because_prometheus_reads_one():
    text = export_native([ours(), ours(id="rows", indicator=SqlEvents("SELECT at, good FROM t")), ours(id="other")])
    written = rules_for([item.rules for item in read_text(text)])
    assert written.startswith("# Left out: rows: its events are counted in PostgreSQL\n---\ngroups:")
    assert len(yaml.safe_load(written)["groups"]) == 6


def test_an_objective_that_never_alerts_is_recorded_all_the_same():
    found = own(ours(alerting=AlertPolicy(pairs=())))
    assert [len(group["rules"]) for group in found] == [4, 7]
    recorded = {item["record"] for item in found[0]["rules"]}
    assert {"slo:sli_error:ratio_rate5m", "slo:sli_error:ratio_rate30d"} < recorded


def test_slices_of_time_are_counted_where_the_budget_counts_them():
    slices = Slices(timedelta(minutes=10), Decimal("0.95"))
    found = own(ours(budgeting=Budgeting.TIMESLICES, slices=slices))
    expression = rule(found, "slo:sli_error:ratio_rate6h")["expr"]
    assert expression.startswith("avg_over_time((")
    assert expression.endswith("> bool 0.05)[6h:10m])\n")
    assert "slo:sli_bad" not in yaml.safe_dump(found)


def test_what_prometheus_cannot_compute_is_named_at_the_top():
    text = rules_for_objectives([ours(), ours(id="rows", indicator=SqlEvents("SELECT at, good FROM t"))])
    assert "# Left out: rows: its events are counted in PostgreSQL\n" in text
    with pytest.raises(InputError, match="rows: its events are counted in PostgreSQL"):
        rules_for_objectives([ours(id="rows", indicator=SqlEvents("SELECT at, good FROM t"))])


@pytest.mark.prometheus
def test_prometheus_accepts_all_rules(tmp_path):
    assert shutil.which("promtool"), "the promtool program is not installed"
    latency = LatencyEvents("answer_seconds", Decimal("0.5"), 'group="api"')
    quarter = RollingWindow(90 * DAY)
    many = [
        *objectives(),
        ours(),
        ours(id="raw", indicator=RawRatio("avg(mood) # of all", is_success=True)),
        ours(id="slices", budgeting=Budgeting.RATIO_TIMESLICES, indicator=latency),
        ours(id="quarter", window=quarter, target=Decimal("0.9")),
    ]
    file = tmp_path / "rules.yml"
    for text in (rules_for_objectives(many), rules_for([item.rules for item in read_text(SHOP)])):
        file.write_text(text)
        subprocess.run(["promtool", "check", "rules", "--lint-fatal", file], check=True, capture_output=True)


# ---- Spelling ----


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (timedelta(0), "0s"),
        (timedelta(minutes=90), "1h30m"),
        (timedelta(days=28), "4w"),
        (timedelta(days=30), "30d"),
        (timedelta(days=365), "1y"),
        (timedelta(hours=36), "1d12h"),
        (timedelta(milliseconds=1500), "1s500ms"),
    ],
    ids=str,
)
def test_lengths_are_spelled_as_prometheus_does(length, expected):
    assert prom_duration(length) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(30.0, "30"), (0.1 + 0.2, "0.30000000000000004"), (1e-05, "1e-05")], ids=str
)
def test_numbers_are_spelled_as_go_does(value, expected):
    assert go_number(value) == expected
