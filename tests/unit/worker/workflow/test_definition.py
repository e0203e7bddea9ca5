import time

import pytest
import yaml

from analytics.core.errors import InputError
from worker.workflow.definition import (
    Definition,
    builtin_definitions,
    estimated_duration_s,
    find_cycle,
    levels,
    parse_definition,
    path_weights,
)

GOOD = """
name: intake
description: Takes in
params:
  type: object
  additionalProperties: false
  properties: {url: {type: string, default: "https://example.com"}}
nodes:
  - id: fetch
    kind: http.request
    timeout: 5s
    retries: 1
    estimated_duration_s: 2
    config: {url: "{{ params.url }}"}
  - id: shape
    kind: transform
    needs: [fetch]
    estimated_duration_s: 1
    config: {input: "{{ nodes.fetch.output.json }}", steps: [{pick: [a]}]}
output: "{{ nodes.shape.output }}"
"""


def problems_of(source) -> list[dict]:
    with pytest.raises(InputError) as caught:
        parse_definition(source)
    return caught.value.context["problems"]


def reasons(source) -> str:
    return "\n".join(f"{item['line']} {item['path']}: {item['reason']}" for item in problems_of(source))


def nodes_text(*lines: str) -> str:
    return "name: x\nnodes:\n" + "".join(f"  - {line}\n" for line in lines)


def transform(node_id: str, *needs: str) -> str:
    return f"{{id: {node_id}, kind: transform, needs: [{', '.join(needs)}], config: {{input: 1, steps: []}}}}"


def test_a_good_definition_is_read_with_its_defaults():
    definition = parse_definition(GOOD)
    fetch, shape = definition.nodes
    assert (fetch.retries, fetch.timeout.total_seconds()) == (1, 5.0)
    assert (shape.retries, shape.timeout.total_seconds(), shape.needs) == (3, 30.0, ("fetch",))
    assert estimated_duration_s(definition) == 3.0


def test_json_is_read_like_yaml_and_a_spec_reads_back_to_the_same_definition():
    definition = parse_definition(GOOD)
    assert parse_definition(definition.to_spec()) == definition
    assert Definition.from_spec(definition.to_spec()) == definition


def test_every_problem_is_told_at_once_with_line_and_path():
    text = """name: bad name
surprise: 1
nodes:
  - id: a
    kind: http.requets
    config: {}
  - id: b
    kind: transform
    needs: [nobody]
    retries: many
    config: {input: 1, steps: [{pick: []}]}
  - id: b
    kind: http.request
    config: {url: "{{ nodes.zz.output }}", methd: GET}
"""
    found = reasons(text)
    assert "1 name:" in found
    assert "2 surprise: there is no key 'surprise' here" in found
    assert "5 nodes.0.kind: there is no node kind 'http.requets' (did you mean 'http.request'?)" in found
    assert "6 nodes.0.config" not in found
    assert "9 nodes.1.needs.0: there is no node 'nobody'" in found
    assert "10 nodes.1.retries:" in found
    assert "11 nodes.1.config.steps.0.pick:" in found
    assert "12 nodes.2.id: the id 'b' is taken by nodes.1" in found
    assert "14 nodes.2.config.url: there is no node 'zz'" in found
    assert "14 nodes.2.config.methd: there is no key 'methd' here" in found


def test_a_cycle_names_its_path():
    text = nodes_text(transform("a", "c"), transform("b", "a"), transform("c", "b"), transform("d"))
    assert "a cycle: a → b → c → a" in reasons(text).replace("c → a → b → c", "a → b → c → a").replace(
        "b → c → a → b", "a → b → c → a"
    )


def test_a_node_that_needs_itself_is_a_cycle():
    assert "a cycle: a → a" in reasons(nodes_text(transform("a", "a")))


def test_reading_a_node_without_needing_it_is_an_error():
    text = nodes_text(transform("a"), '{id: b, kind: transform, config: {input: "{{ nodes.a.output }}", steps: []}}')
    assert "it reads the node 'a' without needing it" in reasons(text)


def test_an_unknown_parameter_is_told_when_the_schema_is_closed():
    assert "there is no parameter 'uri'" in reasons(GOOD.replace("params.url", "params.uri"))


def test_a_template_in_sql_is_refused_because_it_would_be_read_as_code():
    text = nodes_text('{id: a, kind: sql.query, config: {sql: "SELECT {{ params.x }}"}}')
    assert "bind a parameter instead" in reasons(text)


def test_a_schema_that_is_none_is_told_and_never_fetched():
    assert "params.type" in reasons(GOOD.replace("type: object\n  add", "type: objekt\n  add"))
    remote = GOOD.replace('{type: string, default: "https://example.com"}', '{$ref: "http://127.0.0.1:9/schema"}')
    assert "disabled" in reasons(remote)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name: [", "did not find expected"),
        ("name: x\nname: y\nnodes: []", "given twice"),
        ("a: &x 1\nb: *x", "aliases are not read"),
        ("name: !!python/object/apply:os.system ['id']", "the tag tag:yaml.org,2002:python/object/apply:os.system"),
        ("--- {}\n--- {}", "more than one document"),
        ("- 1\n- 2", "a definition is a mapping"),
        ("", "a definition is a mapping"),
        ("? [a]\n: b", "a key has to be text"),
        ("[" * 200 + "]" * 200, "nested deeper than 50"),
    ],
    ids=["open", "twice", "alias", "tag", "two", "list", "empty", "key", "deep"],
)
def test_text_that_is_no_definition_is_told_apart(text, reason):
    assert reason in reasons(text)


def test_words_of_yaml_1_1_stay_text():
    text = GOOD.replace("steps: [{pick: [a]}]", 'steps: [{pick: [yes, no, "on", 12:30, 0x1F, 1_000, 2026-01-01]}]')
    picked = parse_definition(text).nodes[1].config["steps"][0]["pick"]
    assert picked == ["yes", "no", "on", "12:30", "0x1F", "1_000", "2026-01-01"]


def test_a_definition_of_ten_megabytes_is_refused_unread():
    with pytest.raises(InputError, match=r"10\.0 MiB, more than 4 MiB"):
        parse_definition("#" * (10 * 2**20))


def test_levels_and_the_critical_path_follow_the_needs():
    definition = parse_definition(
        nodes_text(transform("a"), transform("b", "a"), transform("c", "a"), transform("d", "b", "c"))
    )
    assert levels(definition) == [["a"], ["b", "c"], ["d"]]
    assert path_weights(definition) == {"a": 3.0, "b": 2.0, "c": 2.0, "d": 1.0}


def test_ten_thousand_nodes_in_a_row_are_planned_without_recursion():
    graph = {f"n{i}": [f"n{i - 1}"] if i else [] for i in range(10_000)}
    assert find_cycle(graph) is None
    graph["n0"] = ["n9999"]
    assert len(find_cycle(graph)) == 10_001


def test_what_is_shipped_is_valid_and_says_what_it_does():
    shipped = builtin_definitions()
    assert [item.name for item in shipped] == ["document-intake", "mcp-call", "ocr"]
    kinds = {node.kind for node in shipped[0].nodes}
    assert kinds == {"http.request", "transform", "sql.query", "ocr.extract", "mcp.call"}
    assert all(item.description for item in shipped)


def test_a_thousand_nodes_of_yaml_are_read_in_a_moment():
    nodes = [
        {"id": f"n{i}", "kind": "transform", "needs": [f"n{i - 1}"] if i else [], "config": {"input": i, "steps": []}}
        for i in range(1000)
    ]
    text = yaml.safe_dump({"name": "big", "nodes": nodes})
    started = time.process_time()
    assert len(levels(parse_definition(text))) == 1000
    assert time.process_time() - started < 5


def test_ten_thousand_nodes_are_checked_and_planned():
    nodes = [
        {
            "id": f"n{i}",
            "kind": "transform",
            "needs": [f"n{before}" for before in {max(0, i - 1), max(0, i - 7)}] if i else [],
            "config": {"input": f"{{{{ nodes.n{max(0, i - 50)}.output }}}}" if i else 1, "steps": [{"count": True}]},
        }
        for i in range(10_000)
    ]
    definition = parse_definition({"name": "big", "nodes": nodes})
    assert len(path_weights(definition)) == 10_000
    assert len(levels(definition)) == 10_000
