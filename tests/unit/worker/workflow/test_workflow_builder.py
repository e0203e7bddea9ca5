from datetime import timedelta

import pytest

from analytics.core.errors import InputError
from worker.workflow.builder import WorkflowBuilder, all_of, any_of, negated, when
from worker.workflow.definition import parse_definition

YAML = """
name: intake
description: Takes in
tags: [a]
max_parallel: 4
timeout: 1h
concurrency: {key: "{{ params.customer }}", limit: 2}
params:
  type: object
  additionalProperties: false
  properties:
    customer: {type: string, title: Customer}
    urls: {type: array, items: {type: string}, default: []}
  required: [customer]
nodes:
  - {id: count, kind: transform, retries: 1, timeout: 5s, cache: 10m, config: {input: "{{ params.urls }}", steps: [{count: true}]}}
  - id: route
    kind: branch
    needs: [count]
    config:
      cases:
        - name: many
          when: {all: [{value: "{{ nodes.count.output }}", is: ">", than: 3}, {not: {value: "{{ params.customer }}", is: absent}}]}
      else: few
  - id: each
    kind: foreach
    needs: [route.many, count]
    config: {items: "{{ params.urls }}", max_parallel: 8}
    body:
      nodes:
        - {id: fetch, kind: http.request, config: {url: "https://example.com/{{ item }}?of={{ nodes.count.output }}"}}
        - {id: shape, kind: transform, needs: [fetch], config: {input: "{{ nodes.fetch.output.json.rows[0] }}", steps: []}}
      output: "{{ nodes.shape.output }}"
  - id: again
    kind: while
    needs: [route.few]
    config:
      condition: {any: [{value: "{{ loop.index }}", is: "==", than: 0}, {value: "{{ loop.last.next? }}", is: present}]}
      max_iterations: 9
    body: {nodes: [{id: step, kind: transform, config: {input: "{{ loop.last? }}", steps: []}}]}
  - id: meet
    kind: transform
    needs: [each, again]
    run_if: any
    config: {input: ["{{ nodes.each.output }}", "{{ nodes.again.output }}"], steps: []}
output: "{{ nodes.meet.output }}"
"""  # noqa: E501


def test_the_builder_gives_the_definition_of_the_same_yaml():
    flow = WorkflowBuilder("intake", description="Takes in", tags=["a"], max_parallel=4, timeout=timedelta(hours=1))
    customer = flow.param("customer", {"type": "string"}, title="Customer", required=True)
    urls = flow.param("urls", {"type": "array", "items": {"type": "string"}}, default=[])
    flow.concurrency(customer, limit=2)
    config = {"input": urls, "steps": [{"count": True}]}
    count = flow.add("count", "transform", config, retries=1, timeout="5s", cache=timedelta(minutes=10))
    many = all_of(when(count.output, ">", 3), negated(when(customer, "absent")))
    route = flow.branch("route", {"many": many}, otherwise="few")
    with flow.foreach("each", urls, settings={"max_parallel": 8}, needs=[route.branch("many")]) as each:
        fetch = each.add("fetch", "http.request", {"url": f"https://example.com/{each.item}?of={count.output}"})
        shape = each.add("shape", "transform", {"input": fetch.output["json"]["rows"][0], "steps": []})
        each.output(shape.output)
    more = any_of(
        {"value": "{{ loop.index }}", "is": "==", "than": 0}, {"value": "{{ loop.last.next? }}", "is": "present"}
    )
    with flow.repeat("again", more, max_iterations=9, needs=[route.branch("few")]) as again:
        again.add("step", "transform", {"input": again.last.optional(), "steps": []})
    outputs = [each.node.output, again.node.output]
    meet = flow.add("meet", "transform", {"input": outputs, "steps": []}, run_if="any")
    assert flow.build(output=meet.output) == parse_definition(YAML)


def test_problems_are_told_as_for_text():
    flow = WorkflowBuilder("bad")
    flow.param("y")
    flow.add("a", "http.requets", {"url": "{{ params.x }}"})
    with pytest.raises(InputError) as caught:
        flow.build()
    found = {item["path"]: item["reason"] for item in caught.value.context["problems"]}
    assert found["nodes.0.kind"] == "there is no node kind 'http.requets' (did you mean 'http.request'?)"
    assert "no parameter 'x'" in found["nodes.0.config.url"]


def test_a_parameter_is_named_once():
    flow = WorkflowBuilder("bad")
    flow.param("a")
    with pytest.raises(InputError, match="two parameters 'a'"):
        flow.param("a")


def test_a_block_that_fails_adds_no_node():
    flow = WorkflowBuilder("x")
    with pytest.raises(KeyError), flow.foreach("each", []):
        raise KeyError
    assert flow.spec() == []
