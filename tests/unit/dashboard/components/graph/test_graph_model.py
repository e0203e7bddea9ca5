"""What the browser is told of a graph."""

import itertools
import random
from typing import Any

from dashboard.components.graph.model import DRAW_AT_MOST, STATES, Picture, picture, worst


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
    assert drawn.note == "400 of 400 nodes are folded into 4 groups. Choose one to open it."
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


def chain(count: int, *, wide: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Levels of *wide* nodes, each node after the one at its place in the level before."""
    edges = [{"source": f"n{index}", "target": f"n{index + wide}"} for index in range(count - wide)]
    return nodes_of(count), edges


def test_without_groups_neighbouring_levels_are_folded_together():
    drawn = picture(*chain(2000, wide=50))
    assert len(drawn.nodes) <= 20
    assert drawn.nodes[0]["label"].startswith("Levels 1–")  # noqa: RUF001
    assert drawn.note is not None
    assert drawn.note.startswith("2,000 of 2,000 nodes are folded into")
    assert sorted(member for members in drawn.members.values() for member, _ in members) == sorted(
        f"n{index}" for index in range(2000)
    )


def test_every_edge_between_levels_goes_forward_in_the_order_of_the_folds():
    drawn = picture(*chain(2000, wide=50))
    place = {node["id"]: index for index, node in enumerate(drawn.nodes)}
    assert drawn.edges
    assert all(place[edge["source"]] < place[edge["target"]] for edge in drawn.edges)


def test_nodes_without_edges_are_folded_by_their_order():
    labels = [node["label"] for node in picture(nodes_of(320), []).nodes]
    assert labels == ["Nodes 1–100", "Nodes 101–200", "Nodes 201–300", "Nodes 301–320"]  # noqa: RUF001


def test_an_opened_group_with_too_many_nodes_shows_folds_again():
    nodes = nodes_of(4000, groups=2)
    drawn = picture(nodes, [], unfolded=["group:team 0"])
    inner = [node for node in drawn.nodes if node["id"].startswith("group:team 0/")]
    assert [box["id"] for box in drawn.boxes] == ["group:team 0"]
    assert len(inner) > 1
    deeper = picture(nodes, [], unfolded=["group:team 0", inner[0]["id"]])
    assert {node["id"] for node in deeper.nodes if not node.get("fold")} <= {node["id"] for node in nodes}
    assert len(deeper.nodes) < DRAW_AT_MOST


def test_no_more_is_opened_than_the_browser_can_draw():
    nodes = nodes_of(6000, groups=20)
    drawn = picture(nodes, [], unfolded=[f"team {index}" for index in range(20)])
    assert len(drawn.nodes) <= DRAW_AT_MOST
    assert drawn.members


def boxes_and_nodes_do_not_overlap(drawn: Picture) -> bool:
    """Whether nodes of one frame keep apart, and each lies within exactly the frames around it."""
    for index, node in enumerate(drawn.nodes):
        for other in drawn.nodes[:index]:
            if abs(node["x"] - other["x"]) < 168 and abs(node["y"] - other["y"]) < 48:
                return False
        for box in drawn.boxes:
            beside = abs(node["x"] - box["x"]) >= box["width"] / 2 or abs(node["y"] - box["y"]) >= box["height"] / 2
            within = (
                abs(node["x"] - box["x"]) + 84 <= box["width"] / 2
                and abs(node["y"] - box["y"]) + 24 <= box["height"] / 2
            )
            if not beside and not within:
                return False
    return True


def test_what_is_opened_pushes_the_rest_aside_and_nothing_changes_sides():
    chance = random.Random(3)  # noqa: S311 - a picture, no secret
    nodes = nodes_of(600, groups=12)
    pairs = [sorted((chance.randrange(600), chance.randrange(600))) for _ in range(700)]
    edges = [{"source": f"n{left}", "target": f"n{right}"} for left, right in pairs]
    closed = picture(nodes, edges)
    opened = picture(nodes, edges, unfolded=["team 3", "team 7"])
    assert boxes_and_nodes_do_not_overlap(opened)
    before = {node["id"]: (node["x"], node["y"]) for node in closed.nodes}
    after = {item["id"]: (item["x"], item["y"]) for item in [*opened.nodes, *opened.boxes]}
    for left, right in itertools.combinations(before, 2):
        if before[left][0] < before[right][0]:
            assert after[left][0] < after[right][0]
        elif before[left][0] == before[right][0] and before[left][1] < before[right][1]:
            assert after[left][1] < after[right][1]


LOOP_NODES = [
    {"id": "list", "label": "list", "state": "completed"},
    {"id": "each", "label": "each", "state": "running", "counts": {"failed": 1, "completed": 7}},
    {"id": "each/fetch", "label": "fetch", "state": "completed", "parent": "each"},
    {"id": "each/read", "label": "read", "state": "running", "parent": "each"},
]
LOOP_EDGES = [{"source": "list", "target": "each"}, {"source": "each/fetch", "target": "each/read"}]


def test_a_container_is_a_frame_around_its_body_in_a_small_graph():
    drawn = picture(LOOP_NODES, LOOP_EDGES)
    assert [node["id"] for node in drawn.nodes] == ["list", "each/fetch", "each/read"]
    assert drawn.boxes[0]["id"] == "each"
    assert drawn.boxes[0]["counts"] == {"failed": 1, "completed": 7}
    assert boxes_and_nodes_do_not_overlap(drawn)
    assert {(edge["source"], edge["target"]) for edge in drawn.edges} == {("list", "each"), ("each/fetch", "each/read")}


def test_a_closed_container_is_one_node_with_its_counts():
    drawn = picture(LOOP_NODES, LOOP_EDGES, closed=["each"])
    assert [(node["id"], node.get("fold"), node.get("counts")) for node in drawn.nodes] == [
        ("list", None, None),
        ("each", True, {"failed": 1, "completed": 7}),
    ]
    assert drawn.members == {}


def test_containers_of_a_larger_graph_are_closed_until_they_are_opened():
    nodes = [*nodes_of(60), *LOOP_NODES]
    assert "each/fetch" not in {node["id"] for node in picture(nodes, LOOP_EDGES).nodes}
    assert "each/fetch" in {node["id"] for node in picture(nodes, LOOP_EDGES, unfolded=["each"]).nodes}


def test_the_critical_path_is_marked_along_its_nodes_and_edges():
    nodes = nodes_of(4)
    edges = [{"source": "n0", "target": name} for name in ("n1", "n2")] + [{"source": "n2", "target": "n3"}]
    drawn = picture(nodes, edges, critical=["n0", "n2", "n3"])
    assert [node["id"] for node in drawn.nodes if node.get("critical")] == ["n0", "n2", "n3"]
    marked = [(edge["source"], edge["target"]) for edge in drawn.edges if edge.get("critical")]
    assert marked == [("n0", "n2"), ("n2", "n3")]


def test_a_fold_on_the_critical_path_is_marked_for_what_is_in_it():
    nodes, edges = chain(400, wide=4)
    drawn = picture(nodes, edges, critical=[f"n{index}" for index in range(0, 400, 4)])
    assert all(node.get("critical") for node in drawn.nodes)
    assert all(edge.get("critical") for edge in drawn.edges)


def test_nodes_know_their_level():
    edges = [{"source": "n0", "target": "n1"}, {"source": "n1", "target": "n2"}, {"source": "n0", "target": "n2"}]
    assert [node.get("level") for node in picture(nodes_of(3), edges).nodes] == [0, 1, 2]


def test_a_graph_of_two_thousand_nodes_can_be_drawn_whole():
    nodes, edges = chain(2000, wide=50)
    folds = [node["id"] for node in picture(nodes, edges).nodes]
    assert len(picture(nodes, edges, unfolded=folds).nodes) > 1800


def test_errors_come_before_everything_and_unknown_states_after():
    assert worst(["idle", "error", "active"]) == "error"
    assert worst(["dreaming", "idle"]) == "idle"
    assert worst(["dreaming"]) == "dreaming"
    assert STATES[0] == "error"
