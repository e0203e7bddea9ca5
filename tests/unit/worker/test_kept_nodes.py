"""Which results a retry keeps."""

import dataclasses

import pytest

from analytics.core.errors import InputError
from worker.doors.keeping import kept_nodes
from worker.workflow.definition import Body, Definition, Node


def chain(*extra: Node) -> Definition:
    return Definition(
        "w",
        (
            Node("a", "test"),
            Node("b", "test", needs=("a",)),
            Node("c", "test", needs=("b",)),
            Node("d", "test"),
            *extra,
        ),
    )


def top(**statuses: str) -> dict[tuple[str, int], str]:
    return {(name, -1): status for name, status in statuses.items()}


def test_what_was_completed_stays_and_what_failed_and_follows_is_done_again():
    kept = kept_nodes(chain(), top(a="completed", b="failed", c="skipped", d="completed"))

    assert set(kept) == {("a", -1), ("d", -1)}


def test_a_named_node_is_done_again_with_all_that_comes_after_it():
    statuses = top(a="completed", b="completed", c="completed", d="completed")

    assert set(kept_nodes(chain(), statuses, from_nodes=["b"])) == {("a", -1), ("d", -1)}


def test_nodes_that_never_began_are_done_again():
    assert set(kept_nodes(chain(), top(a="completed"))) == {("a", -1)}


def test_a_branch_not_taken_stays_skipped():
    kept = kept_nodes(
        chain(Node("e", "test", needs=("a",))),
        top(a="completed", b="completed", c="failed", d="completed", e="skipped"),
    )

    assert ("e", -1) in kept


def test_there_is_nothing_to_retry_in_a_run_that_was_completed():
    with pytest.raises(InputError, match="nothing to retry"):
        kept_nodes(chain(), top(a="completed", b="completed", c="completed", d="completed"))


def test_a_node_that_is_not_there_is_named_with_the_nearest():
    with pytest.raises(InputError, match=r"'fetchh' \(did you mean 'fetch'"):
        kept_nodes(Definition("w", (Node("fetch", "test"),)), top(fetch="completed"), from_nodes=["fetchh"])


def test_with_a_newer_version_what_it_has_otherwise_is_done_again():
    old = chain()
    new = Definition("w", (old.nodes[0], dataclasses.replace(old.nodes[1], config={"x": 1}), *old.nodes[2:]))

    kept = kept_nodes(new, top(a="completed", b="completed", c="failed", d="completed"), old=old)

    assert set(kept) == {("a", -1), ("d", -1)}


def loop(name: str, *inner: Node, kind: str = "foreach", needs: tuple[str, ...] = ()) -> Node:
    return Node(name, kind, needs=needs, body=Body(inner))


def each(*, kind: str = "foreach") -> Definition:
    inner = (Node("x", "test"), Node("y", "test", needs=("x",)))
    return Definition(
        "w", (Node("a", "test"), loop("each", *inner, kind=kind, needs=("a",)), Node("z", "test", needs=("each",)))
    )


BROKEN = {
    ("a", -1): "completed",
    ("each", -1): "failed",
    ("each/x", 0): "completed",
    ("each/y", 0): "completed",
    ("each/x", 1): "completed",
    ("each/y", 1): "failed",
    ("each/x", 2): "failed",
    ("each/y", 2): "skipped",
    ("z", -1): "skipped",
}


def test_items_of_a_loop_that_were_completed_stay_and_others_go_on_where_they_broke():
    assert set(kept_nodes(each(), BROKEN)) == {("a", -1), ("each/x", 0), ("each/y", 0), ("each/x", 1)}


def test_a_loop_that_is_named_begins_with_its_first_item():
    assert set(kept_nodes(each(), BROKEN, from_nodes=["each"])) == {("a", -1)}


def test_a_loop_whose_input_may_change_begins_with_its_first_item():
    assert set(kept_nodes(each(), BROKEN, from_nodes=["a"])) == set()


def test_a_node_in_a_loop_can_be_named_for_all_items():
    done = dict.fromkeys(BROKEN, "completed")

    assert set(kept_nodes(each(), done, from_nodes=["each/y"])) == {
        ("a", -1),
        ("each/x", 0),
        ("each/x", 1),
        ("each/x", 2),
    }


def test_iterations_after_one_that_broke_are_done_again():
    broken = BROKEN | {("each/x", 2): "completed", ("each/y", 2): "completed"}

    assert set(kept_nodes(each(kind="while"), broken)) == {("a", -1), ("each/x", 0), ("each/y", 0), ("each/x", 1)}


def test_loops_in_loops_keep_what_is_done():
    inner = loop("inner", Node("p", "test"))
    outer = Definition("w", (loop("outer", inner, Node("q", "test", needs=("inner",))),))
    statuses = {
        ("outer", -1): "failed",
        ("outer/inner", 0): "completed",
        ("outer[0]/inner/p", 0): "completed",
        ("outer[0]/inner/p", 1): "completed",
        ("outer/q", 0): "completed",
        ("outer/inner", 1): "failed",
        ("outer[1]/inner/p", 0): "completed",
        ("outer[1]/inner/p", 1): "failed",
        ("outer/q", 1): "skipped",
    }

    assert set(kept_nodes(outer, statuses)) == {
        ("outer/inner", 0),
        ("outer[0]/inner/p", 0),
        ("outer[0]/inner/p", 1),
        ("outer/q", 0),
        ("outer[1]/inner/p", 0),
    }
