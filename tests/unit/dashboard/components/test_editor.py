"""Drafts of definitions: what is wrong with them, what can be drawn, and how one node is tested."""

from typing import Any

import orjson
import pytest

from analytics.core.errors import InputError
from dashboard.components import editor, versions, workflows
from worker.workflow.definition import parse_definition

CHAIN = """\
name: chain
params: {type: object, properties: {city: {type: string, default: Rome}, count: {type: integer}}, required: [count]}
nodes:
  - id: fetch
    kind: transform
    config: {input: "{{ params.city }}", steps: []}
  - id: clean
    kind: transform
    needs: [fetch]
    cache: 10m
    config: {input: "{{ nodes.fetch.output }}", steps: []}
  - id: send
    kind: transform
    needs: [clean]
    config: {input: ["{{ nodes.clean.output }}", "{{ nodes.fetch.output }}"], steps: []}
"""


def test_a_definition_without_mistakes_is_read_with_the_lines_of_its_nodes():
    checked = editor.check(CHAIN)
    assert checked.definition is not None
    assert checked.problems == ()
    assert checked.lines == {"fetch": 4, "clean": 7, "send": 12}


def test_every_mistake_is_told_with_its_line():
    checked = editor.check(
        CHAIN.replace("kind: transform", "kind: transfrom").replace("needs: [clean]", "needs: [gone]")
    )
    assert checked.definition is None
    lines = [problem["line"] for problem in checked.problems]
    assert len(lines) >= 4
    assert {5, 8, 13} <= set(lines)
    assert lines == sorted(lines)


def test_a_text_that_is_no_yaml_says_where():
    checked = editor.check("name: [a\nnodes: }")
    assert checked.definition is None
    assert checked.problems[0]["line"] == 2
    assert editor.graph_of(checked) == ([], [])


def test_what_is_wrong_is_marked_in_the_graph_and_the_rest_is_drawn():
    checked = editor.check(
        CHAIN.replace("kind: transform", "kind: nothing", 1).replace("needs: [clean]", "needs: [gone]")
    )
    nodes, edges = editor.graph_of(checked)
    assert {node["id"]: node["state"] for node in nodes} == {"fetch": "error", "clean": "defined", "send": "error"}
    assert [(edge["source"], edge["target"]) for edge in edges] == [("fetch", "clean")]


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        {"nodes": 3},
        {"nodes": [1, None, {"id": 3}, {"kind": "x"}]},
        {"nodes": [{"id": "a", "needs": "b", "name": 3, "group": []}, {"id": "a"}]},
        {"nodes": [{"id": "a", "body": {"nodes": [{"id": "a"}, {}]}}, {"id": "b", "body": 4}]},
    ],
)
def test_anything_can_be_drawn(value: Any):
    nodes, _ = editor.graph_of(editor.Checked(None, (), editor.drawable(value)))
    assert all(isinstance(node["id"], str) for node in nodes)


def test_a_large_text_is_refused_in_words():
    checked = editor.check("x" * 11_000_000)
    assert checked.problems[0]["line"] is None
    assert "bytes" in checked.problems[0]["reason"] or "MiB" in checked.problems[0]["reason"]


# ---- Drafts ----


def test_a_draft_outlives_the_page_until_it_is_let_go():
    session: dict[Any, Any] = {}
    draft = editor.draft_of(session, "chain@", CHAIN, example="")
    assert not draft.is_changed
    editor.keep(session, "chain@", editor.Draft("typed", CHAIN, draft.revision))
    assert editor.draft_of(session, "chain@", CHAIN, example="").text == "typed"
    assert editor.draft_of(session, "chain@", CHAIN, example="").is_changed
    editor.forget(session, "chain@")
    assert editor.draft_of(session, "chain@", CHAIN, example="").text == CHAIN


def test_what_another_place_had_typed_is_not_taken_for_this_one():
    session: dict[Any, Any] = {}
    one = editor.draft_of(session, "one@", CHAIN, example="")
    other = editor.draft_of(session, "other@", CHAIN, example="")
    assert one.revision != other.revision
    assert editor.replaced(one, "imported").revision != one.revision


def test_a_new_workflow_begins_with_the_example():
    draft = editor.draft_of({}, "@", None, example=workflows.EXAMPLE)
    assert draft.text == workflows.EXAMPLE
    assert draft.is_changed


@pytest.mark.parametrize(("content", "match"), [(b"\xff\xfe\x00", "UTF-8"), (b"x" * (5 << 20), "4 MiB")])
def test_a_file_that_is_no_definition_is_refused(content: bytes, match: str):
    with pytest.raises(InputError, match=match):
        editor.imported_text(content)


def test_a_file_may_begin_with_a_mark():
    assert editor.imported_text(b"\xef\xbb\xbfname: a") == "name: a"


# ---- The test of one node ----


def test_a_node_is_tested_with_what_it_needs_and_reads():
    definition = parse_definition(CHAIN)
    assert editor.given_nodes(definition, "fetch") == []
    assert editor.given_nodes(definition, "send") == ["fetch", "clean"]


def test_the_definition_of_a_test_gives_the_node_what_was_typed():
    definition = parse_definition(CHAIN)
    trial = editor.trial_definition(definition, "clean")
    assert trial.name == editor.TEST_WORKFLOW
    assert [(node.id, node.kind) for node in trial.nodes] == [("fetch", "transform"), ("clean", "transform")]
    assert trial.nodes[0].config["input"] == "{{ params.given_0 }}"
    assert trial.nodes[1].config == definition.nodes[1].config
    assert trial.nodes[1].retries == 0
    assert trial.nodes[1].cache_ttl is None
    assert editor.trial_params({"count": 3}, [[1, 2]]) == {"count": 3, "given_0": [1, 2]}


def test_a_node_after_a_branch_is_tested_without_the_branch():
    route = {
        "id": "route",
        "kind": "branch",
        "config": {"cases": [{"name": "a", "when": {"value": 1, "is": "==", "than": 1}}]},
    }
    after = {"id": "after", "kind": "transform", "needs": ["route.a"], "config": {"input": 1, "steps": []}}
    trial = editor.trial_definition(parse_definition({"name": "b", "nodes": [route, after]}), "after")
    assert trial.nodes[1].needs == ("route",)


def test_a_loop_is_tested_with_its_body():
    body = {"nodes": [{"id": "x", "kind": "transform", "config": {"input": "{{ nodes.list.output }}", "steps": []}}]}
    nodes = [
        {"id": "list", "kind": "transform", "config": {"input": [1], "steps": []}},
        {
            "id": "each",
            "kind": "foreach",
            "needs": ["list"],
            "config": {"items": "{{ nodes.list.output }}"},
            "body": body,
        },
    ]
    definition = parse_definition({"name": "loop", "nodes": nodes})
    assert editor.given_nodes(definition, "each") == ["list"]
    assert editor.trial_definition(definition, "each").nodes[1].body is not None


def test_parameters_begin_with_their_defaults():
    text = editor.default_params(parse_definition(CHAIN).params_schema)
    assert orjson.loads(text) == {"city": "Rome", "count": ""}


def test_what_is_no_json_is_refused_by_name():
    with pytest.raises(InputError, match="output of fetch"):
        editor.json_of("{", "The output of fetch")


# ---- Versions ----


def test_changes_are_told_of_the_whole_of_parameters_and_of_nodes():
    before = parse_definition(CHAIN)
    after = parse_definition(
        CHAIN.replace("name: chain", "name: chain\ndescription: more").replace("default: Rome", "default: Oslo")
        + "  - {id: more, kind: transform, config: {input: 1, steps: []}}\n"
    )
    rows = versions.changes_of(versions.difference(before, after))
    assert [(row.where, row.what, row.path) for row in rows] == [
        ("workflow", "changed", "description"),
        ("parameters", "changed", "properties.city.default"),
        ("node more", "added", "transform"),
    ]


def test_lines_that_differ_are_counted():
    lines = versions.changed_lines("a\nb\nc", "a\nx\ny\nc", names=("old", "new"))
    assert versions.counted(lines) == (2, 1)
    assert versions.changed_lines("a", "a", names=("old", "new")) == []
