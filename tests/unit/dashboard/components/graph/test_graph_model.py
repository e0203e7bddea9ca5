"""What the browser is told of a graph."""

from typing import Any

from dashboard.components.graph.model import DRAW_AT_MOST, STATES, picture, worst


def nodes_of(count: int, *, groups: int = 0, state: str = "idle") -> list[dict[str, Any]]:
    return [
        {"id": f"n{index}", "label": f"Node {index}", "state": state}
        | ({"group": f"team {index % groups}"} if groups else {})
        for index in range(count)
    ]


def test_a_small_graph_is_drawn_node_by_node():
    drawn = picture(nodes_of(3), [{"source": "n0", "target": "n1", "label": "2", "active": True}])
    assert [node["id"] for node in drawn.nodes] == ["n0", "n1", "n2"]
    assert drawn.edges == [{"source": "n0", "target": "n1", "label": "2", "active": True}]
    assert drawn.note is None
    assert drawn.members == {}


def test_edges_to_unknown_nodes_and_to_oneself_are_not_drawn():
    drawn = picture(nodes_of(2), [{"source": "n0", "target": "gone"}, {"source": "n1", "target": "n1"}])
    assert drawn.edges == []


def test_a_state_we_do_not_know_is_kept_as_it_is():
    assert picture([{"id": "a", "label": "A", "state": "dreaming"}], []).nodes[0]["state"] == "dreaming"


def test_too_many_nodes_are_folded_by_group_with_a_note():
    drawn = picture(nodes_of(400, groups=4), [])
    assert [node["id"] for node in drawn.nodes] == [f"group:team {index}" for index in range(4)]
    assert drawn.nodes[0]["label"] == "team 0 ×100"  # noqa: RUF001 - the sign is meant
    assert drawn.note == "400 of 400 nodes are folded into 4 groups. Choose a group to open it."
    assert sum(len(members) for members in drawn.members.values()) == 400


def test_a_folded_group_shows_the_state_that_most_needs_attention():
    nodes = nodes_of(400, groups=4)
    nodes[8]["state"] = "failed"
    nodes[12]["state"] = "active"
    states = {node["id"]: node["state"] for node in picture(nodes, []).nodes}
    assert states == {"group:team 0": "failed", "group:team 1": "idle", "group:team 2": "idle", "group:team 3": "idle"}


def test_edges_between_folded_groups_are_counted_once():
    edges = [
        {"source": "n0", "target": "n1"},
        {"source": "n4", "target": "n5", "active": True},
        {"source": "n0", "target": "n4"},
    ]
    drawn = picture(nodes_of(400, groups=4), edges)
    assert drawn.edges == [
        {"source": "group:team 0", "target": "group:team 1", "label": "×2", "active": True}  # noqa: RUF001
    ]


def test_an_opened_group_is_drawn_node_by_node():
    drawn = picture(nodes_of(400, groups=4), [], unfolded=["team 1"])
    assert len(drawn.nodes) == 103
    assert "group:team 1" not in drawn.members


def test_a_group_too_large_to_draw_stays_folded():
    drawn = picture(nodes_of(DRAW_AT_MOST + 10, groups=1), [], unfolded=["team 0"])
    assert [node["id"] for node in drawn.nodes] == ["group:team 0"]


def test_nodes_without_a_group_are_folded_together():
    assert [node["label"] for node in picture(nodes_of(301), []).nodes] == ["Others ×301"]  # noqa: RUF001


def test_errors_come_before_everything_and_unknown_states_after():
    assert worst(["idle", "error", "active"]) == "error"
    assert worst(["dreaming", "idle"]) == "idle"
    assert worst(["dreaming"]) == "dreaming"
    assert STATES[0] == "error"
