import uuid
from datetime import UTC, datetime, timedelta

import pytest

from analytics.core.errors import InputError
from analytics.core.settings import Settings
from worker.workflow.kinds import NodeCall, WorkerResources, find_kind
from worker.workflow.schemas import validator, violations

ROWS = [
    {"name": "Ada", "team": "x", "n": 3, "address": {"city": "Bonn"}},
    {"name": "Bob", "team": "y", "n": 5, "address": {"city": "Ulm"}},
    {"name": "Cy", "team": "x", "n": None},
]


def run(value, *steps):
    kind = find_kind("transform")
    config = {"input": value, "steps": list(steps)}
    assert violations(validator(dict(kind.config_schema)), config) == []
    return kind.run(
        NodeCall(
            run_id=uuid.uuid4(),
            run_created_at=datetime.now(UTC),
            node_id="t",
            attempt=1,
            key="k",
            config=config,
            timeout=timedelta(seconds=5),
            settings=Settings.model_construct(),
            resources=WorkerResources(),
        )
    )


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([{"pick": ["name", "address.city"]}, {"limit": 1}], [{"name": "Ada", "address.city": "Bonn"}]),
        ([{"rename": {"n": "count"}}, {"pick": ["count"]}], [{"count": 3}, {"count": 5}, {"count": None}]),
        ([{"where": [{"field": "n", "is": ">", "value": 3}]}, {"pick": ["name"]}], [{"name": "Bob"}]),
        ([{"where": [{"field": "n", "is": "absent"}]}, {"count": True}], 1),
        ([{"where": [{"field": "team", "is": "in", "value": ["y"]}]}, {"count": True}], 1),
        ([{"where": [{"field": "name", "is": "contains", "value": "d"}]}, {"count": True}], 1),
        ([{"where": [{"field": "address.city", "is": "==", "value": "Ulm"}]}, {"first": True}, {"get": "name"}], "Bob"),
        ([{"sort": {"by": "n", "descending": True}}, {"text": "{name}"}, {"join": ","}], "Cy,Bob,Ada"),
        ([{"set": {"label": "{name} of {team}", "same": "{n}"}}, {"pick": ["label", "same"]}, {"limit": 1}],
         [{"label": "Ada of x", "same": 3}]),
        ([{"drop": ["address", "n"]}, {"first": True}], {"name": "Ada", "team": "x"}),
        ([{"text": "{name}: {missing}"}, {"first": True}], "Ada: "),
    ],
)  # fmt: skip
def test_each_step_takes_what_the_one_before_left(steps, expected):
    assert run(ROWS, *steps) == expected


def test_groups_have_their_aggregates_and_silence_is_none():
    grouped = run(
        ROWS,
        {"group": {"by": ["team"], "aggregates": [
            {"as": "rows", "do": "count"},
            {"as": "known", "do": "count", "field": "n"},
            {"as": "sum", "do": "sum", "field": "n"},
            {"as": "mean", "do": "mean", "field": "n"},
            {"as": "last", "do": "last", "field": "name"},
        ]}},
    )  # fmt: skip
    assert grouped == [
        {"team": "x", "rows": 2, "known": 1, "sum": 3, "mean": 3.0, "last": "Cy"},
        {"team": "y", "rows": 1, "known": 1, "sum": 5, "mean": 5.0, "last": "Bob"},
    ]
    nothing = run([], {"group": {"aggregates": [{"as": "n", "do": "sum", "field": "n"}, {"as": "c", "do": "count"}]}})
    assert nothing == [{"n": None, "c": 0}]


def test_values_without_an_order_pass_no_comparison():
    rows = [{"v": value} for value in ("b", 1, True, None, [1])]
    assert run(rows, {"where": [{"field": "v", "is": "<", "value": 2}]}) == [{"v": 1}]


@pytest.mark.parametrize(
    ("value", "step", "reason"),
    [
        ("text", {"pick": ["a"]}, r"Step 1 \(pick\): it needs an object or a list of objects"),
        ({"a": 1}, {"get": "b"}, r"Step 1 \(get\): .*names 'b'"),
        (3, {"count": True}, "it needs a list"),
        ([{"a": 1}] * 100_001, {"pick": ["a"]}, "more than 100000"),
    ],
)
def test_what_cannot_be_done_names_the_step(value, step, reason):
    with pytest.raises(InputError, match=reason):
        run(value, step)


def test_texts_reach_no_attribute_of_python():
    assert run(ROWS, {"text": "{name.__class__}"}, {"first": True}) is None
    assert run(ROWS, {"text": "<{__init__}>"}, {"first": True}) == "<>"


def test_a_step_that_is_two_steps_is_no_step():
    schema = validator(dict(find_kind("transform").config_schema))
    assert violations(schema, {"input": 1, "steps": [{"pick": ["a"], "limit": 1}]})
    assert violations(schema, {"input": 1, "steps": [{"eval": "1"}]})
