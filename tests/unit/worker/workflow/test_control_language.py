import time
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from analytics.core.errors import InputError
from worker.workflow.checks import CONTROL_KINDS, DEFINITION_SCHEMA, MAX_FOUND, MAX_NODES, definition_problems
from worker.workflow.definition import (
    NO_TIMEOUT,
    BackoffRule,
    Concurrency,
    Definition,
    OnError,
    RunIf,
    critical_path,
    definition_id,
    find_node,
    levels,
    parse_definition,
    path_weights,
    walk,
)
from worker.workflow.kinds import Transport, registry

WHOLE = """
name: whole
params:
  type: object
  additionalProperties: false
  properties: {customer: {type: string}, urls: {type: array, items: {type: string}}}
max_parallel: 8
timeout: 1h
concurrency: {key: "customer-{{ params.customer }}", limit: 2}
nodes:
  - id: first
    kind: transform
    config: {input: "{{ params.urls }}", steps: [{count: true}]}
    cache: 10m
    backoff: {base: 250ms, cap: 10s}
    on_error: continue
    group: begin
  - id: route
    kind: branch
    needs: [first]
    config:
      cases:
        - {name: many, when: {all: [{value: "{{ nodes.first.output }}", is: ">", than: 3}, {not: {value: 1, is: absent}}]}}
        - {name: some, when: {value: "{{ nodes.first.output }}", is: ">", than: 0}}
      else: none
  - id: each
    kind: foreach
    needs: [route.many, route.some]
    timeout: 30m
    config: {items: "{{ params.urls }}", max_parallel: 4, on_error: continue}
    body:
      nodes:
        - id: fetch
          kind: http.request
          config: {url: "{{ item }}", headers: {x-place: "{{ index }}"}}
        - id: again
          kind: while
          needs: [fetch]
          config:
            max_iterations: 5
            condition: {value: "{{ loop.last.more? }}", is: "!=", than: false}
          body:
            nodes:
              - {id: fetch, kind: transform, config: {input: ["{{ loop.index }}", "{{ item }}", "{{ nodes.first.output }}"], steps: []}}
            output: {more: false, was: "{{ nodes.fetch.output }}"}
      output: ["{{ nodes.fetch.output.status }}", "{{ nodes.again.output.last }}"]
  - {id: empty, kind: wait, needs: [route.none], config: {for: 5s}}
  - id: meet
    kind: transform
    needs: [each, empty]
    run_if: any
    config: {input: "{{ nodes.each.output? }}", steps: []}
  - {id: ask, kind: approval, needs: [meet], config: {title: "Go on?", deadline: 2d, on_deadline: reject}}
  - {id: inner, kind: subworkflow, needs: [ask], config: {workflow: other, params: {a: "{{ nodes.ask.output.decision }}"}}}
  - {id: tidy, kind: transform, needs: [inner, first], run_if: always, config: {input: "{{ nodes.first.error? }}", steps: []}}
output: "{{ nodes.meet.output }}"
"""  # noqa: E501


def reasons(source) -> str:
    with pytest.raises(InputError) as caught:
        parse_definition(source)
    return "\n".join(f"{item['line']} {item['path']}: {item['reason']}" for item in caught.value.context["problems"])


def one(node: dict) -> dict:
    return {"name": "x", "nodes": [node]}


FIRST = {"id": "a", "kind": "transform", "config": {"input": 1, "steps": []}}
BAD = yaml.safe_load((Path(__file__).parent / "bad_definitions.yaml").read_text(encoding="utf-8"))


def test_every_field_is_read():
    definition = parse_definition(WHOLE)
    nodes = {node.id: node for node in definition.nodes}
    assert (definition.max_parallel, definition.timeout) == (8, timedelta(hours=1))
    assert definition.concurrency == Concurrency("customer-{{ params.customer }}", 2)
    first, each = nodes["first"], nodes["each"]
    assert (first.cache_ttl, first.on_error, first.group) == (timedelta(minutes=10), OnError.CONTINUE, "begin")
    assert first.backoff == BackoffRule(timedelta(milliseconds=250), timedelta(seconds=10))
    assert (each.needs, each.branches, each.timeout) == (
        ("route",),
        {"route": ("many", "some")},
        timedelta(minutes=30),
    )
    assert (nodes["empty"].retries, nodes["empty"].timeout) == (0, NO_TIMEOUT)
    assert (nodes["meet"].run_if, nodes["tidy"].run_if) == (RunIf.ANY, RunIf.ALWAYS)
    assert [node.id for node in each.body.nodes] == ["fetch", "again"]


def test_a_spec_with_everything_reads_back_to_the_same_definition():
    definition = parse_definition(WHOLE)
    assert parse_definition(definition.to_spec()) == definition
    assert Definition.from_spec(definition.to_spec()) == definition


def test_a_node_is_found_by_its_address():
    definition = parse_definition(WHOLE)
    addresses = [address for address, _ in walk(definition)]
    assert addresses[2:6] == ["each", "each/fetch", "each/again", "each/again/fetch"]
    assert find_node(definition, "each[3]/again/fetch").kind == "transform"
    assert find_node(definition, "each/fetch").kind == "http.request"
    assert find_node(definition, "each/nobody") is None
    assert find_node(definition, "route/many") is None
    assert definition_id("each[3]/again[12]/fetch") == "each/again/fetch"


def test_levels_weights_and_the_critical_path_work_on_bodies_too():
    definition = parse_definition(WHOLE)
    body = find_node(definition, "each").body.nodes
    assert levels(body) == [["fetch"], ["again"]]
    assert path_weights(body) == {"fetch": 2.0, "again": 1.0}
    assert critical_path(definition) == ["first", "route", "each", "meet", "ask", "inner", "tidy"]
    assert critical_path(definition, {"empty": 60.0}) == ["first", "route", "empty", "meet", "ask", "inner", "tidy"]


def test_a_container_without_an_estimate_weighs_what_its_body_does():
    assert path_weights(parse_definition(WHOLE))["each"] == 2.0 + 4.0


def test_the_engine_steers_exactly_the_kinds_that_the_language_knows():
    assert {kind.name for kind in registry().values() if kind.transport is Transport.CONTROL} == CONTROL_KINDS
    assert {kind.name for kind in registry().values() if kind.has_body} == {"foreach", "while"}


@pytest.mark.parametrize("case", BAD, ids=[item["reason"] for item in BAD])
def test_what_cannot_be_meant_is_told_with_its_place(case):
    assert case["reason"] in reasons(case["text"])


def test_bodies_are_nested_only_so_deep():
    node = FIRST
    for depth in range(6):
        node = {"id": f"e{depth}", "kind": "foreach", "config": {"items": []}, "body": {"nodes": [node]}}
    assert "bodies are nested deeper than 5" in reasons(one(node))


def test_nodes_in_bodies_count():
    inner = [
        {"id": f"n{place}", "kind": "transform", "config": {"input": 1, "steps": []}} for place in range(MAX_NODES)
    ]
    spec = {"name": "x", "nodes": [{"id": "e", "kind": "foreach", "config": {"items": []}, "body": {"nodes": inner}}]}
    assert f"more than {MAX_NODES} nodes" in reasons(spec)


def test_a_value_that_is_not_json_or_too_deep_is_told_as_such():
    assert "it is not JSON" in reasons(
        {"name": "x", "nodes": [{"id": "a", "kind": "transform", "config": {"input": object()}}]}
    )
    deep: list = []
    for _ in range(2000):
        deep = [deep]
    assert "nested deeper" in reasons(
        {"name": "x", "nodes": [{"id": "a", "kind": "transform", "config": {"input": deep}}]}
    )


def test_a_value_of_ten_megabytes_is_refused_before_it_is_looked_at():
    with pytest.raises(InputError, match=r"10\.0 MiB, more than 4 MiB"):
        parse_definition({"name": "x", "nodes": [], "description": "x" * (10 * 2**20)})


def test_the_schema_is_one_that_others_can_check():
    assert registry()["branch"].config_schema["$defs"]
    assert DEFINITION_SCHEMA["$defs"]["node"]["properties"]["body"]


def step(node_id: str, *needs: str, reads: object = 1) -> dict:
    return {"id": node_id, "kind": "transform", "needs": list(needs), "config": {"input": reads, "steps": []}}


LOOP_BODY = {"nodes": [step("b", reads="{{ nodes.first.output }}")]}
HOSTILE = {
    "needs that are not there": [step(f"n{i}", *(f"z{j}" for j in range(1000))) for i in range(200)],
    "kinds that are not there": [{"id": f"n{i}", "kind": "transfrom"} for i in range(10_000)],
    "templates of nothing": [step(f"n{i}", reads="{{ nodes.zz.output }}") for i in range(10_000)],
    "one node that reads all": [
        *(step(f"n{i}") for i in range(5000)),
        step(
            "z", *(f"n{i}" for i in range(5000)), reads=[f"{{{{ nodes.n{i % 5000}.output }}}}" for i in range(50_000)]
        ),
    ],
    "loops that read what is before them": [
        step("first"),
        *(
            {"id": f"e{i}", "kind": "foreach", "needs": ["first"], "config": {"items": [1]}, "body": LOOP_BODY}
            for i in range(4000)
        ),
    ],
    "a text in place of nodes": "y" * 3_000_000,
}


@pytest.mark.parametrize("nodes", HOSTILE.values(), ids=HOSTILE)
def test_no_definition_of_four_megabytes_takes_long_or_is_answered_at_length(nodes):
    started = time.process_time()
    found = definition_problems({"name": "x", "nodes": nodes})
    assert time.process_time() - started < 4
    assert len(found) <= MAX_FOUND
    assert all(len(problem.reason) < 1000 for problem in found)


def test_a_very_long_cycle_is_told_without_its_middle():
    nodes = [step(f"n{i}", f"n{(i - 1) % 10_000}") for i in range(10_000)]
    found = reasons({"name": "x", "nodes": nodes})
    assert "… 9951 more …" in found
    assert len(found) < 1000


def test_a_list_that_is_too_long_is_told_before_a_run():
    node = {"id": "e", "kind": "foreach", "config": {"items": [1, 2, 3], "max_items": 2}, "body": LOOP_BODY}
    assert "3 items are more than `max_items`, which is 2" in reasons({"name": "x", "nodes": [step("first"), node]})


def test_a_body_reads_only_what_has_ended_before_its_loop():
    late = {"id": "e", "kind": "foreach", "config": {"items": [1]}, "body": LOOP_BODY}
    assert "there is no node 'first'" in reasons({"name": "x", "nodes": [step("first"), late]})
    parse_definition({"name": "x", "nodes": [step("first"), {**late, "needs": ["first"]}]})
