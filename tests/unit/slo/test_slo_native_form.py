import math
import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from analytics.slo.defaults import objectives
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
)
from analytics.slo.specs.formats import export_native, read_text
from analytics.slo.specs.native import dump_document, parse_document
from analytics.slo.specs.problems import SpecError

POLICY = AlertPolicy(
    pairs=(
        BurnPair(Severity.PAGE, timedelta(hours=1), timedelta(minutes=5), 14.4, 1),
        BurnPair(Severity.TICKET, timedelta(days=1, hours=12), timedelta(hours=2), 2.8000000000000003, 4),
    ),
    min_bad=0,
    no_data_after=None,
    name="Checkout",
    labels={"team": "shop"},
    annotations={"runbook": "https://example.org/checkout"},
    page=AlertRouting(labels={"receiver": "pager"}),
    ticket=AlertRouting(is_enabled=False),
)
INDICATORS = [
    PromEvents("sum(rate(orders[{window}]))", "count(orders)", bad="sum(rate(failed[{window}]))", per_second=True),
    LatencyEvents("answer_seconds", Decimal("0.25"), 'group="api"'),
    NativeLatencyEvents("answer_seconds", Decimal("0.123456789012345678")),
    BooleanEvents("probe_success", 'job="checkout"'),
    RawRatio("avg_over_time(satisfaction[{window}])", is_success=True),
    SqlEvents("SELECT at, ok AS good\n  FROM orders\nWHERE kind = 'web'"),
    CompositeEvents(CompositeMode.WORST_OF, (Member("a"), Member("b", Decimal("0.5")))),
]


def objective(**changes) -> Objective:
    fields = {
        "id": "checkout",
        "title": "Orders that go through",
        "service": "shop",
        "target": Decimal("0.999"),
        "indicator": PromEvents("sum(increase(a[{window}]))", good="sum(increase(b[{window}]))"),
        "description": "Of all orders, those that were paid.",
    }
    return Objective(**{**fields, **changes})


@pytest.mark.parametrize("indicator", INDICATORS, ids=lambda item: type(item).__name__)
def test_every_indicator_is_read_back_as_it_was_written(indicator):
    written = objective(indicator=indicator)
    assert parse_document(dump_document(written)) == written


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"window": RollingWindow(timedelta(days=7))}, id="rolling"),
        pytest.param({"window": CalendarWindow(CalendarUnit.QUARTER, "Europe/Berlin")}, id="calendar"),
        pytest.param(
            {"budgeting": Budgeting.TIMESLICES, "slices": Slices(timedelta(minutes=10), Decimal("0.98"))}, id="slices"
        ),
        pytest.param({"budgeting": Budgeting.RATIO_TIMESLICES, "slices": Slices(timedelta(hours=1))}, id="ratios"),
        pytest.param({"alerting": POLICY}, id="policy"),
        pytest.param({"alerting": AlertPolicy(pairs=())}, id="no-pairs"),
        pytest.param({"group_by": ("region", "method"), "owner": "shop", "labels": {"tier": "1"}}, id="groups"),
        pytest.param({"target": Decimal("0.99995")}, id="target"),
        pytest.param({"target": Decimal(1)}, id="whole-target"),
    ],
)
def test_every_part_is_read_back_as_it_was_written(changes):
    written = objective(**changes)
    assert parse_document(dump_document(written)) == written


def test_the_standard_objectives_survive_the_way_through_yaml():
    read = [item for parsed in read_text(export_native(objectives())) for item in parsed.objectives]
    assert [item.id for item in read] == [item.id for item in objectives()]
    assert read == [parse_document(dump_document(item)) for item in objectives()]


def test_a_person_may_write_lengths_shares_and_budgets():
    read = parse_document(
        {
            "slo": "v1",
            "id": "checkout",
            "service": "shop",
            "target": 0.99,
            "window": {"rolling": "2w"},
            "budgeting": "timeslices",
            "indicator": {"latency": {"histogram": "answer_seconds", "threshold": "250ms"}},
            "alerting": {"pairs": [{"severity": "page", "long": "1h30m", "short": "5m", "budget": "10%"}]},
        }
    )
    assert read.indicator == LatencyEvents("answer_seconds", Decimal("0.25"))
    assert (read.title, read.target, read.period) == ("checkout", Decimal("0.99"), timedelta(days=14))
    assert read.slices == Slices()
    (pair,) = read.alerting.pairs
    assert pair.factor == pytest.approx(0.1 * 14 * 24 / 1.5)


def refused(**changes):
    document = dump_document(objective()) | changes
    with pytest.raises(SpecError) as error:
        parse_document({name: value for name, value in document.items() if value != "leave out"})
    return {(problem.path, problem.hint) for problem in error.value.problems}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"target": 99.9}, ("target", None), id="per-cent-without-sign"),
        pytest.param({"target": math.nan}, ("target", None), id="nan"),
        pytest.param({"target": True}, ("target", None), id="truth"),
        pytest.param({"target": "0%"}, ("target", "write a share above 0, such as 99.9%"), id="nothing"),
        pytest.param({"target": "leave out"}, ("target", None), id="missing"),
        pytest.param({"id": "Checkout!"}, ("id", "lower-case letters, digits, _, - and ., at most 100"), id="bad-id"),
        pytest.param({"slo": "v2"}, ("slo", "write v1"), id="version"),
        pytest.param({"tilte": "x"}, ("tilte", "did you mean 'title'?"), id="misspelt"),
        pytest.param({"window": {"rolling": "90m"}}, ("window.rolling", None), id="no-whole-hours"),
        pytest.param({"window": {"calendar": "mont"}}, ("window.calendar", "did you mean 'month'?"), id="unit"),
        pytest.param({"window": {"calendar": "month", "zone": "Mars/Olympus"}}, ("window.zone", None), id="zone"),
        pytest.param({"window": {"rolling": "9999999w"}}, ("window.rolling", None), id="too-long"),
        pytest.param({"indicator": {}}, ("indicator", None), id="no-indicator"),
        pytest.param({"indicator": {"sql": ["x"]}}, ("indicator.sql", None), id="list-for-mapping"),
        pytest.param(
            {"indicator": {"events": {"total": "a", "good": "b", "bad": "c"}}}, ("indicator.events", None), id="both"
        ),
        pytest.param(
            {"indicator": {"composite": {"members": [{"slo": "a"}, {"slo": "a"}]}}},
            ("indicator.composite.members[1].slo", None),
            id="member-twice",
        ),
        pytest.param(
            {"indicator": {"composite": {"members": [{"slo": "a", "weight": 0}]}}},
            ("indicator.composite.members[0].weight", None),
            id="weight",
        ),
        pytest.param(
            {"indicator": {"events": {"total": "sum(rate(a))", "good": "b"}}},
            ("indicator.events.total", None),
            id="promql",
        ),
        pytest.param(
            {"indicator": {"boolean": {"metric": "up", "matchers": 'job=api"'}}},
            ("indicator.boolean.matchers", None),
            id="matchers",
        ),
        pytest.param(
            {"indicator": {"latency": {"histogram": 'a{b="c"}', "threshold": 1}}},
            ("indicator.latency.histogram", "leave braces to matchers"),
            id="braces",
        ),
        pytest.param({"group_by": ["a-b"]}, ("group_by[0]", "letters, digits and _, no digit first"), id="group"),
        pytest.param({"group_by": ["a", "a"]}, ("group_by[1]", None), id="label-twice"),
        pytest.param({"labels": {"a b": "c"}}, ("labels.a b", "letters, digits and _, no digit first"), id="label"),
        pytest.param({"alerting": {"min_bad": -1}}, ("alerting.min_bad", None), id="guard"),
        pytest.param({"alerting": {"min_bad": 1.5}}, ("alerting.min_bad", None), id="half-an-event"),
        pytest.param(
            {"alerting": {"pairs": [{"severity": "page", "long": "5m", "short": "1h", "factor": 2}]}},
            ("alerting.pairs[0].short", None),
            id="short-is-longer",
        ),
        pytest.param({"budgeting": {"timeslices": {"length": "7m"}}}, ("budgeting.timeslices", None), id="slices"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_what_to_write(changes, expected):
    assert refused(**changes) == {expected}


def test_all_problems_are_told_at_once():
    assert {path for path, _ in refused(target=7, service="leave out", window={"rolling": "soon"}, foo=1)} == {
        "target",
        "service",
        "window.rolling",
        "foo",
    }


def test_the_error_lists_its_problems_for_the_api():
    with pytest.raises(SpecError, match="nothing was stored: slo: it is missing") as error:
        parse_document({})
    first = error.value.context["problems"][0]
    assert first == {"line": None, "path": "slo", "reason": "it is missing", "hint": None, "level": "error"}


@pytest.mark.parametrize("document", [None, [], "text", {1: 2}], ids=repr)
def test_what_is_no_mapping_of_names_is_refused(document):
    with pytest.raises(SpecError):
        parse_document(document)


def test_problems_of_a_text_have_lines():
    (parsed,) = read_text("slo: v1\nid: a\nservice: b\ntarget: 99\nindicator:\n  boolean: {metrik: up}\n")
    assert [(item.path, item.line) for item in parsed.problems] == [
        ("target", 4),
        ("indicator.boolean.metric", 6),
        ("indicator.boolean.metrik", 6),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "there is nothing in it", id="empty"),
        pytest.param("a: [", "did not find expected node content", id="broken"),
        pytest.param("- 1", "a mapping is needed, not a number", id="list-of-numbers"),
        pytest.param("hello", "a mapping is needed, not text", id="text"),
        pytest.param("slos: []", "this is no specification that is known", id="unknown"),
        pytest.param("slo: v1\nslo: v1", "given twice", id="key-twice"),
        pytest.param("apiVersion: openslo/v1alhpa\nkind: SLO", "'openslo/v1alhpa' is not known", id="api-version"),
        pytest.param("apiVersion: openslo/v1\nkind: Slo", "'Slo' is not known", id="kind"),
        pytest.param("x" * (5 * 2**20), "The text has 5.0 MiB, more than 4 MiB; it was not read", id="too-large"),
    ],
)
def test_a_text_that_is_no_specification_is_a_problem_and_no_failure(text, message):
    problems = [item.message for parsed in read_text(text) for item in parsed.problems]
    assert any(message in problem for problem in problems), problems


def test_an_id_may_be_defined_once():
    text = export_native([objective(), objective(title="Other")])
    first, second = read_text(text, name="shop.yaml")
    assert (len(first.objectives), second.objectives) == (1, ())
    assert second.problems[0].message == "the id 'checkout' is defined already in shop.yaml, document 1"


def test_json_is_read_too():
    (parsed,) = read_text(
        '{"slo": "v1", "id": "a", "service": "b", "target": "99%", "indicator": {"sql": {"rows": "x"}}}'
    )
    assert parsed.is_valid
    assert parsed.objectives[0].target == Decimal("0.99")


def test_the_examples_of_the_guide_are_accepted():
    guide = (Path(__file__).parents[3] / "docs" / "slo-formats.md").read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    parsed = read_text("---\n".join(examples), strict=True)
    assert [problem for item in parsed for problem in item.problems] == []
    assert [len(item.objectives) for item in parsed] == [1, 1, 1]
