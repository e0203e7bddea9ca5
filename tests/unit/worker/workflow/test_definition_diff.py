from worker.workflow.definition import parse_definition
from worker.workflow.diff import Change, difference

BEFORE = """
name: a
tags: [x]
params: {type: object, properties: {hours: {type: integer, default: 24}, gone: {type: string}}}
nodes:
  - {id: fetch, kind: http.request, config: {url: "https://example.com", headers: {a: b}}}
  - {id: old, kind: transform, config: {input: 1, steps: []}}
  - id: each
    kind: foreach
    needs: [fetch]
    config: {items: [1]}
    body: {nodes: [{id: in, kind: transform, config: {input: "{{ item }}", steps: [{pick: [a]}, {limit: 1}]}}]}
"""
AFTER = """
name: a
tags: [x, y]
timeout: 1h
params: {type: object, properties: {hours: {type: integer, default: 48}}}
nodes:
  - {id: fetch, kind: http.request, timeout: 5s, config: {url: "https://example.org", headers: {a: b}}}
  - {id: new, kind: transform, config: {input: 1, steps: []}}
  - id: each
    kind: foreach
    needs: [fetch, new]
    config: {items: [1]}
    body:
      nodes: [{id: in, kind: transform, config: {input: "{{ item }}", steps: [{pick: [a, b]}]}}]
      output: "{{ nodes.in.output }}"
output: "{{ nodes.each.output }}"
"""


def test_equal_definitions_have_no_difference_however_they_are_written():
    again = BEFORE.replace("{a: b}}}", '{"a": "b"}}, retries: 3, timeout: 30}').replace("tags: [x]", "tags:\n- x")
    found = difference(parse_definition(BEFORE), parse_definition(again))
    assert found.is_empty
    assert found.summary() == "no difference"


def test_every_change_is_told_where_it_is():
    found = difference(parse_definition(BEFORE), parse_definition(AFTER))
    assert found.fields == (
        Change("tags", "changed", ["x"], ["x", "y"]),
        Change("timeout", "added", None, 3600.0),
        Change("output", "added", None, "{{ nodes.each.output }}"),
    )
    assert found.params == (
        Change("properties.hours.default", "changed", 24, 48),
        Change("properties.gone", "removed", {"type": "string"}, None),
    )
    assert (found.of("added"), found.of("removed"), found.of("changed")) == (
        ["new"],
        ["old"],
        ["fetch", "each", "each/in"],
    )
    changes = {node.node_id: node.changes for node in found.nodes}
    assert changes["fetch"] == (
        Change("config.url", "changed", "https://example.com", "https://example.org"),
        Change("timeout", "changed", 30.0, 5.0),
    )
    assert changes["each"] == (
        Change("needs", "changed", ["fetch"], ["fetch", "new"]),
        Change("body.output", "added", None, "{{ nodes.in.output }}"),
    )
    assert changes["each/in"] == (
        Change("config.steps.0.pick", "changed", ["a"], ["a", "b"]),
        Change("config.steps.1", "removed", {"limit": 1}, None),
    )
    assert found.summary() == "1 node added, 1 removed, 3 changed; parameters changed; tags, timeout, output changed"
    assert found.as_dict()["nodes"][0]["changes"][0]["path"] == "config.url"


def test_true_and_one_are_different():
    one, true = (
        parse_definition(f"name: a\nnodes: [{{id: a, kind: transform, config: {{input: {value}, steps: []}}}}]")
        for value in ("1", "true")
    )
    assert [change.path for change in difference(one, true).nodes[0].changes] == ["config.input"]
