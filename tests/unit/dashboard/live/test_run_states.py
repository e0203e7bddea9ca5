"""How the nodes of a run stand, counted from rows in whatever order they come."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from dashboard.live.run_states import RunStates, defined_nodes, definition_of

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOOP = {
    "nodes": [
        {"id": "list", "kind": "transform"},
        {
            "id": "each",
            "kind": "foreach",
            "needs": ["list"],
            "body": {"nodes": [{"id": "fetch", "kind": "http.request"}, {"id": "read", "kind": "transform"}]},
        },
    ]
}


@dataclass(frozen=True)
class Row:
    """A row of ``node_run``, as far as it matters here."""

    node_id: str
    status: str
    map_index: int = -1
    attempt: int = 1
    started_at: datetime | None = START
    finished_at: datetime | None = None


@pytest.mark.parametrize(
    ("address", "path"),
    [("fetch", "fetch"), ("each/fetch", "each/fetch"), ("each[3]/inner/fetch", "each/inner/fetch")],
)
def test_an_address_tells_its_place_in_the_definition(address: str, path: str):
    assert definition_of(address) == path


def test_nodes_of_bodies_follow_their_container():
    assert [node.path for node in defined_nodes(LOOP)] == ["list", "each", "each/fetch", "each/read"]


def test_what_has_not_begun_is_pending():
    assert RunStates(LOOP).entries["each"] == {"id": "each", "status": "pending"}


def test_only_what_changed_is_told():
    states = RunStates(LOOP)
    assert states.apply([Row("list", "running")]) == {"list"}
    before = states.entries["each"]
    assert states.apply([Row("list", "running")]) == set()
    assert states.apply([Row("list", "completed", finished_at=START)]) == {"list"}
    assert states.entries["each"] is before
    assert states.entries["list"]["finished_at"] == START


def test_a_container_counts_its_items_and_not_their_nodes():
    states = RunStates(LOOP)
    states.apply([Row("each", "running")])
    states.apply([Row("each/fetch", "completed", index) for index in range(3)])
    states.apply([Row("each/read", "completed", 0), Row("each/read", "failed", 1)])
    assert states.entries["each"]["counts"] == {"failed": 1, "running": 1, "completed": 1}
    assert states.entries["each"]["status"] == "running"
    assert states.entries["each/fetch"]["counts"] == {"completed": 3}
    assert states.entries["each/read"]["status"] == "failed"


def test_the_same_rows_again_count_once():
    states = RunStates(LOOP)
    rows = [Row("each/fetch", "completed", index) for index in range(5)]
    states.apply(rows)
    assert states.apply(rows) == set()
    assert states.entries["each/fetch"]["counts"] == {"completed": 5}


def test_items_of_a_loop_in_a_loop_are_told_apart():
    inner = {"id": "inner", "kind": "foreach", "body": {"nodes": [{"id": "fetch", "kind": "transform"}]}}
    spec = {"nodes": [{"id": "each", "kind": "foreach", "body": {"nodes": [inner]}}]}
    states = RunStates(spec)
    states.apply([Row(f"each[{outer}]/inner/fetch", "completed", index) for outer in range(2) for index in range(3)])
    assert states.entries["each/inner"]["counts"] == {"completed": 6}
    states.apply([Row("each/inner", "completed", 0), Row("each/inner", "running", 1)])
    assert states.entries["each"]["counts"] == {"running": 1, "completed": 1}


def test_times_of_a_fan_out_span_all_of_it_once_it_is_over():
    states = RunStates(LOOP)
    later = START + timedelta(seconds=9)
    states.apply([Row("each/fetch", "completed", 0, finished_at=later), Row("each/fetch", "running", 1)])
    assert states.entries["each/fetch"]["finished_at"] is None
    states.apply([Row("each/fetch", "completed", 1, finished_at=START)])
    assert states.entries["each/fetch"]["finished_at"] == later


def test_a_node_that_the_definition_does_not_know_is_told_all_the_same():
    states = RunStates({})
    assert states.apply([Row("gone", "completed")]) == {"gone"}
