"""What is ready, what is skipped, and what templates see, without a worker."""

import random
import uuid
from datetime import UTC, datetime

import pytest

from worker.workflow.definition import parse_definition
from worker.workflow.literals import array
from worker.workflow.scopes import COMPLETED, FAILED, SKIPPED, Plan, Scope


def plan(*nodes, **more) -> Plan:
    return Plan.of(parse_definition({"name": "w", "nodes": list(nodes), **more}))


def node(node_id: str, *needs: str, **more):
    return {"id": node_id, "kind": "transform", "needs": list(needs), "config": {"input": [], "steps": []}, **more}


def scope_of(*nodes, **more) -> Scope:
    return Scope(plan(*nodes, **more), {"params": {}, "nodes": {}, "run": {}})


def names(scope: Scope, indexes) -> list[str]:
    return [scope.plan.steps[index].node.id for index in indexes]


def settle(scope: Scope, name: str, status: str = COMPLETED, output=None, error=None):
    index = next(step.index for step in scope.plan.steps if step.node.id == name)
    ready, skipped = scope.settle(index, status, output, error)
    return names(scope, ready), names(scope, skipped)


def test_a_node_is_ready_once_all_it_needs_is_completed():
    scope = scope_of(node("a"), node("b"), node("c", "a", "b"))
    assert names(scope, scope.first()) == ["a", "b"]
    assert settle(scope, "a") == ([], [])
    assert settle(scope, "b") == (["c"], [])
    assert scope.left == 1


def test_what_needs_a_failed_node_is_skipped_at_once_with_all_behind_it():
    scope = scope_of(node("a"), node("slow"), node("b", "a", "slow"), node("c", "b"), node("d", "slow"))
    assert settle(scope, "a", FAILED, error={"code": "x"}) == ([], ["b", "c"])
    assert settle(scope, "slow") == (["d"], [])
    settle(scope, "d")
    assert scope.left == 0
    assert scope.plan.steps[scope.failed].node.id == "a"


@pytest.mark.parametrize(
    ("rule", "statuses", "expected"),
    [
        ("all", (COMPLETED, COMPLETED), "ready"),
        ("all", (COMPLETED, FAILED), "skipped"),
        ("any", (COMPLETED, FAILED), "ready"),
        ("any", (FAILED, COMPLETED), "ready"),
        ("any", (FAILED, FAILED), "skipped"),
        ("always", (FAILED, FAILED), "ready"),
        ("always", (COMPLETED, COMPLETED), "ready"),
    ],
)
def test_a_node_begins_as_its_rule_says(rule, statuses, expected):
    scope = scope_of(node("a"), node("b"), node("c", "a", "b", run_if=rule))
    found = [settle(scope, name, status) for name, status in zip("ab", statuses, strict=True)]
    ready, skipped = ([name for part in found for name in part[place]] for place in (0, 1))
    assert (ready, skipped) == ((["c"], []) if expected == "ready" else ([], ["c"]))


def test_a_failure_that_is_let_pass_counts_as_an_end_and_is_seen():
    scope = scope_of(node("a", on_error="continue"), node("b", "a"))
    assert settle(scope, "a", FAILED, error={"code": "x"}) == (["b"], [])
    assert scope.failed is None
    assert scope.view["nodes"]["a"] == {"output": None, "status": FAILED, "error": {"code": "x"}}


def test_only_the_branch_that_was_taken_goes_on():
    case = {"name": "yes", "when": {"value": 1, "is": "==", "than": 1}}
    route = {"id": "r", "kind": "branch", "config": {"cases": [case], "else": "no"}}
    scope = scope_of(route, node("y", "r.yes"), node("n", "r.no"), node("both", "r"), node("m", "y", "n", run_if="any"))
    assert settle(scope, "r", output={"taken": "yes"}) == (["y", "both"], ["n"])
    assert settle(scope, "y") == (["m"], [])


def test_addresses_name_the_item_of_every_loop_but_the_innermost():
    each = {"id": "inner", "kind": "foreach", "config": {"items": [1]}, "body": {"nodes": [node("x")]}}
    outer = {"id": "each", "kind": "foreach", "config": {"items": [1]}, "body": {"nodes": [node("a"), each]}}
    root = scope_of(outer)
    item = root.inner(root.plan.steps[0], 3, {"item": "i", "index": 3}, container=None)
    assert [item.place(step) for step in item.plan.steps] == [("each/a", 3), ("each/inner", 3)]
    deep = item.inner(item.plan.steps[1], 2, {"item": "j", "index": 2}, container=None)
    assert [deep.place(step) for step in deep.plan.steps] == [("each[3]/inner/x", 2)]
    assert (deep.view["item"], deep.view["index"]) == ("j", 2)


def test_a_body_sees_its_own_nodes_before_those_around_it():
    each = {"id": "each", "kind": "foreach", "needs": ["a"], "config": {"items": [1]}, "body": {"nodes": [node("a")]}}
    root = scope_of(node("a"), node("z"), each)
    settle(root, "a", output="outer")
    settle(root, "z", output="z")
    item = root.inner(root.plan.steps[2], 0, {"item": 1, "index": 0}, container=None)
    assert item.view["nodes"]["a"]["output"] == "outer"
    settle(item, "a", output="inner")
    assert item.view["nodes"]["a"]["output"] == "inner"
    assert item.view["nodes"]["z"]["output"] == "z"
    assert item.output() == {"a": "inner"}


def test_the_output_leaves_out_what_was_skipped():
    scope = scope_of(node("a"), node("b", "a"), node("c"))
    settle(scope, "a", FAILED)
    settle(scope, "c", output=3)
    assert scope.output() == {"c": 3}


def test_every_order_of_ends_settles_every_node_exactly_once():
    rng = random.Random(5)  # noqa: S311 - a draw, no secret
    for _ in range(60):
        size = rng.randint(1, 25)
        nodes = [
            node(
                f"n{place}",
                *(f"n{need}" for need in sorted(rng.sample(range(place), min(place, rng.randint(0, 3))))),
                run_if=rng.choice(["all", "any", "always"]),
                on_error=rng.choice(["fail", "continue"]),
            )
            for place in range(size)
        ]
        scope = scope_of(*nodes)
        ready = scope.first()
        seen: list[int] = []
        while ready:
            index = ready.pop(rng.randrange(len(ready)))
            seen.append(index)
            more, skipped = scope.settle(index, rng.choice([COMPLETED, COMPLETED, FAILED]))
            ready += more
            seen += skipped
        assert sorted(seen) == list(range(size))
        assert scope.left == 0
        assert None not in scope.statuses
        for index, status in enumerate(scope.statuses):
            needs = {scope.statuses[int(need[1:])] for need in nodes[index]["needs"]}
            assert status != SKIPPED or needs & {FAILED, SKIPPED}, "nothing is skipped without a reason"


def test_columns_become_array_literals_that_postgresql_reads():
    assert array(['a"b\\c{}', None, "x,y", "NULL", ""]) == '{"a\\"b\\\\c{}",NULL,"x,y","NULL",""}'
    assert array([b"\x00\xff", None]) == '{"\\\\x00ff",NULL}'
    assert array([1, -1]) == "{1,-1}"
    assert array([True, False]) == "{True,False}"
    assert array([]) == "{}"
    assert array([uuid.UUID(int=1)]) == "{00000000-0000-0000-0000-000000000001}"
    assert array([datetime(2026, 1, 2, tzinfo=UTC)]) == "{2026-01-02T00:00:00+00:00}"
