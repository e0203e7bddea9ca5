import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.core.source import read_source
from worker.workflow.definition import builtin_definitions, parse_definition
from worker.workflow.exchange import Format, export_text
from worker.workflow.exchange import _text as text_of

TEXTS = st.text(max_size=20).filter(lambda text: "\0" not in text)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | TEXTS
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def is_same(left, right) -> bool:
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


@settings(deadline=None, max_examples=300)
@given(VALUES)
def test_what_is_written_as_yaml_or_json_is_read_back_alike(value):
    for form in Format:
        read = read_source(text_of({"value": value}, form))
        assert (read.problems, read.value) == ([], {"value": value})
        assert is_same(read.value, {"value": value})


@pytest.mark.parametrize(
    "text", ["1e5", "007", "0x1F", "1_000", "yes", "null", "~", "", "- a", "12:30", "9" * 19, "-0.5"]
)
def test_a_text_that_looks_like_something_else_stays_a_text(text):
    assert read_source(text_of({"a": text}, Format.YAML)).value == {"a": text}


@pytest.mark.parametrize("definition", builtin_definitions(), ids=lambda item: item.name)
def test_what_is_exported_is_the_same_definition_again(definition):
    for form in Format:
        assert parse_definition(export_text(definition, form)) == definition


def test_an_export_says_only_what_is_not_usual():
    text = export_text(parse_definition("name: a\nnodes: [{id: a, kind: transform, config: {input: 1, steps: []}}]"))
    assert text == "name: a\nnodes:\n- id: a\n  kind: transform\n  config:\n    input: 1\n    steps: []\n"
