import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.core.errors import InputError
from worker.workflow.templates import MAX_PATH, has_template, parse_path, references, resolve, unknown_roots

SCOPE = {
    "params": {"name": "Ada", "n": 3, "tags": ["a", "b"], "dotted.key": 1},
    "nodes": {"fetch": {"output": {"items": [{"id": 7}, {"id": 8}], "ok": True}}},
    "run": {"id": "r1"},
}


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ params.name }}", "Ada"),
        ("{{params.n}}", 3),
        ("{{ nodes.fetch.output.items[1].id }}", 8),
        ("{{ nodes.fetch.output.items.0.id }}", 7),
        ("{{ nodes.fetch.output.ok }}", True),
        ("{{ params.tags }}", ["a", "b"]),
        ("Hello {{ params.name }}, {{ params.n }} {{ params.tags }}", 'Hello Ada, 3 ["a","b"]'),
        ("no template", "no template"),
        ("{ params.name }", "{ params.name }"),
    ],
)
def test_a_template_names_a_value_and_alone_keeps_its_type(template, value):
    assert resolve(template, SCOPE) == value


def test_templates_are_found_deep_inside_a_configuration():
    config = {"a": [{"b": "{{ params.name }}"}], "c": 1, "d": None}
    assert resolve(config, SCOPE) == {"a": [{"b": "Ada"}], "c": 1, "d": None}


def test_a_path_that_may_be_absent_leaves_the_key_the_item_or_the_text_out():
    config = {"a": "{{ params.gone? }}", "b": ["{{ params.gone? }}", "{{ params.n? }}"], "c": "x{{ params.gone? }}y"}
    assert resolve(config, SCOPE) == {"b": [3], "c": "xy"}


def test_a_missing_part_is_named_with_what_there_is():
    with pytest.raises(InputError, match=r"names 'itms', which is not in nodes.fetch.output \(it has items, ok\)"):
        resolve("{{ nodes.fetch.output.itms }}", SCOPE)


def test_an_index_past_the_end_is_an_error():
    with pytest.raises(InputError, match="a list of 2"):
        resolve("{{ params.tags[2] }}", SCOPE)


@pytest.mark.parametrize(
    "hostile",
    [
        "{{ params.__class__ }}",
        "{{ params.name.__class__.__mro__ }}",
        "{{ params.tags.append }}",
        "{{ params.name.upper }}",
        "{{ params['name'] }}",
        "{{ params.name() }}",
        "{{ params.n + 1 }}",
        "{{ params.name | upper }}",
        "{{ ''.__class__ }}",
        "{{ __import__('os').system('id') }}",
        "{{ config.items }}",
        "{{ params.tags[-1] }}",
        "{{ params.tags[99999999999] }}",
        "{{ }}",
        "{{ params..name }}",
        "{{ nodes.fetch.output.items[0].id.real }}",
    ],
)
def test_templates_never_reach_python(hostile):
    with pytest.raises(InputError):
        resolve(hostile, SCOPE)


@given(st.text(max_size=60))
def test_no_text_breaks_the_resolver(text):
    for candidate in (text, "{{" + text + "}}"):
        with contextlib.suppress(InputError):
            resolve(candidate, SCOPE)


def test_an_output_that_looks_like_a_template_is_not_read_again():
    scope = {**SCOPE, "params": {"evil": "{{ run.id }}"}}
    assert resolve("{{ params.evil }}", scope) == "{{ run.id }}"
    assert resolve("x {{ params.evil }}", scope) == "x {{ run.id }}"


def test_references_tell_where_they_stand():
    found = list(references({"url": "{{ params.a }}/{{ nodes.b.output }}", "list": [1, "{{ run.id }}"]}))
    assert [(item.path, item.where) for item in found] == [
        ("params.a", ("url",)),
        ("nodes.b.output", ("url",)),
        ("run.id", ("list", 1)),
    ]


def test_paths_have_parts():
    assert parse_path(" nodes.a-b.output[3].x_1 ") == ("nodes", "a-b", "output", "3", "x_1")
    assert has_template("x {{ y }}")
    assert not has_template(3)


def test_python_internals_are_refused_by_name_and_other_underscores_are_not():
    with pytest.raises(InputError, match=r"'__class__' in 'params\.__class__' belongs to Python's internals"):
        resolve("{{ params.__class__ }}", SCOPE)
    assert parse_path("nodes.q.output.json.__typename") == ("nodes", "q", "output", "json", "__typename")


def test_a_path_has_a_greatest_length():
    with pytest.raises(InputError, match="is not a path"):
        parse_path("params" + ".a" * MAX_PATH)


def test_templates_with_other_roots_are_told_with_their_place():
    value = {"a": "{{ event.data.x }}", "b": ["{{ params.x }}"]}
    assert list(unknown_roots(value, ("event",))) == [
        (("b", 0), "the template 'params.x' has to begin with event"),
    ]
    assert [where for where, _ in unknown_roots({"c": "{{ 1 + 1 }}"}, ("event",))] == [("c",)]
