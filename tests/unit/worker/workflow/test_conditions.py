import pytest

from analytics.core.errors import InputError
from worker.workflow.conditions import CONDITION_SCHEMA, condition_problems, evaluate, holds
from worker.workflow.schemas import validator, violations

SCOPE = {
    "nodes": {"a": {"output": {"n": 3, "ok": True, "tags": ["x", "y"], "evil": "{{ params.secret }}"}}},
    "params": {},
}


@pytest.mark.parametrize(
    ("found", "operator", "wanted", "expected"),
    [
        (3, "==", 3.0, True),
        (True, "==", 1, False),
        (1, "!=", True, True),
        ("a", "==", "a", True),
        (None, "==", None, True),
        (3, "<", 4, True),
        (3, "<", "4", False),
        ("a", "<", "b", True),
        (True, "<", 2, False),
        (None, ">=", 0, False),
        (4, ">=", 4, True),
        (5, ">", 4, True),
        (4, "<=", 3, False),
        ("x", "in", ["x", "y"], True),
        (1, "in", [True], False),
        ("x", "in", "xyz", False),
        (["x"], "contains", "x", True),
        ("xyz", "contains", "y", True),
        ({"a": 1}, "contains", "a", True),
        (3, "contains", 3, False),
        ("xyz", "contains", 3, False),
        (0, "present", None, True),
        (None, "present", None, False),
        (None, "absent", None, True),
        (False, "absent", None, False),
    ],
)
def test_an_operator_compares_as_json_does(found, operator, wanted, expected):
    assert holds(found, operator, wanted) is expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"value": "{{ nodes.a.output.n }}", "is": ">", "than": 2}, True),
        ({"value": "{{ nodes.a.output.n }}", "is": "==", "than": "{{ nodes.a.output.n }}"}, True),
        ({"value": "{{ nodes.a.output.gone? }}", "is": "absent"}, True),
        ({"value": "{{ nodes.a.output.gone? }}", "is": "==", "than": None}, True),
        ({"not": {"value": "{{ nodes.a.output.ok }}", "is": "==", "than": True}}, False),
        ({"all": [{"value": 1, "is": "present"}, {"value": 1, "is": "==", "than": 2}]}, False),
        ({"any": [{"value": 1, "is": "==", "than": 2}, {"value": 1, "is": "present"}]}, True),
        ({"value": "x", "is": "in", "than": "{{ nodes.a.output.tags }}"}, True),
    ],
)
def test_a_condition_is_looked_at_over_the_scope(condition, expected):
    assert violations(validator(CONDITION_SCHEMA), condition) == []
    assert list(condition_problems(condition)) == []
    assert evaluate(condition, SCOPE) is expected


def test_what_does_not_decide_is_not_looked_at():
    unreadable = {"value": "{{ nodes.gone.output }}", "is": "present"}
    assert evaluate({"any": [{"value": 1, "is": "present"}, unreadable]}, SCOPE)
    assert not evaluate({"all": [{"value": 1, "is": "absent"}, unreadable]}, SCOPE)
    with pytest.raises(InputError, match="gone"):
        evaluate(unreadable, SCOPE)


def test_a_value_that_looks_like_a_template_is_not_read_again():
    assert evaluate({"value": "{{ nodes.a.output.evil }}", "is": "contains", "than": "params.secret"}, SCOPE)


def test_conditions_have_a_greatest_depth():
    condition = {"value": 1, "is": "present"}
    for _ in range(60):
        condition = {"not": condition}
    assert [reason for _, reason in condition_problems(condition)] == ["conditions are nested deeper than 20"]
