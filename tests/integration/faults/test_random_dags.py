"""Random workflows with branches and fan-outs, carried by real workers: once without a crash, at least once with one.

What should run is worked out here from the definition alone, without any of the engine's own functions.
"""

import itertools
import time
from collections import Counter, defaultdict
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from benchmarks.effects import wait_in_flight, wait_settled
from benchmarks.stand import Stand

pytestmark = pytest.mark.integration

EXAMPLES = settings(
    deadline=None,
    max_examples=6,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # Shrinking would carry hundreds of runs more.
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.function_scoped_fixture,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
    ],
)
_names = itertools.count()


@dataclass(frozen=True)
class Shape:
    """A workflow to be: for each node its kind, what it needs by place, along which branch, and when it runs."""

    kinds: tuple[str, ...]
    needs: tuple[tuple[tuple[int, bool | None], ...], ...]
    """For each node: place of the needed one, and the branch taken when that one is a branch."""
    run_if: tuple[str, ...]
    items: tuple[int, ...]
    """For a fan-out: how many."""
    takes: tuple[bool, ...]
    """For a branch: which way it goes."""


@st.composite
def shapes(draw) -> Shape:
    count = draw(st.integers(1, 10))
    kinds = tuple(draw(st.sampled_from(("effect", "effect", "effect", "branch", "foreach"))) for _ in range(count))
    needs = []
    for place in range(count):
        before = draw(st.lists(st.integers(0, place - 1), unique=True, max_size=3)) if place else []
        needs.append(tuple((need, draw(st.booleans()) if kinds[need] == "branch" else None) for need in sorted(before)))
    return Shape(
        kinds=kinds,
        needs=tuple(needs),
        run_if=tuple(draw(st.sampled_from(("all", "all", "any", "always"))) for _ in range(count)),
        items=tuple(draw(st.integers(0, 4)) for _ in range(count)),
        takes=tuple(draw(st.booleans()) for _ in range(count)),
    )


def definition_of(shape: Shape, *, seconds: float) -> dict:
    nodes = []
    for place, kind in enumerate(shape.kinds):
        needs = [f"n{need}" + ("" if way is None else f".{yes_or_no(way)}") for need, way in shape.needs[place]]
        item = {"id": f"n{place}", "needs": needs, "run_if": shape.run_if[place]}
        match kind:
            case "effect":
                item |= {"kind": "bench.effect", "config": {"seconds": seconds}}
            case "branch":
                when = {"value": yes_or_no(shape.takes[place]), "is": "==", "than": "yes"}
                item |= {"kind": "branch", "config": {"cases": [{"name": "yes", "when": when}], "else": "no"}}
            case _:
                body = [
                    {"id": "first", "kind": "bench.effect", "config": {"seconds": seconds}},
                    {"id": "second", "kind": "bench.effect", "needs": ["first"], "config": {"seconds": seconds}},
                ]
                item |= {
                    "kind": "foreach",
                    "config": {"items": list(range(shape.items[place])), "max_parallel": 3},
                    "body": {"nodes": body},
                }
        nodes.append(item)
    return {"name": f"random-{next(_names)}", "nodes": nodes}


def yes_or_no(way: bool) -> str:
    return "yes" if way else "no"


def completed_places(shape: Shape) -> list[bool]:
    """Which nodes should complete; the others are skipped."""
    found: list[bool] = []
    for place in range(len(shape.kinds)):
        met = [found[need] and (way is None or shape.takes[need] is way) for need, way in shape.needs[place]]
        rule = shape.run_if[place]
        found.append(rule == "always" or not met or (any(met) if rule == "any" else all(met)))
    return found


def expected_marks(shape: Shape) -> set[tuple[str, int]]:
    marks: set[tuple[str, int]] = set()
    for place, runs in enumerate(completed_places(shape)):
        if runs and shape.kinds[place] == "effect":
            marks.add((f"n{place}", -1))
        elif runs and shape.kinds[place] == "foreach":
            marks |= {
                (f"n{place}/{inner}", item) for inner in ("first", "second") for item in range(shape.items[place])
            }
    return marks


def precedes(shape: Shape) -> dict[int, set[int]]:
    """For each place every place that has to end before it begins.

    What a skipped node needs does not count: it is skipped as soon as one of its needs is not met.
    """
    before: dict[int, set[int]] = {}
    completed = completed_places(shape)
    for place, needs in enumerate(shape.needs):
        earlier = {need for need, _ in needs}
        before[place] = earlier.union(*(before[need] for need in earlier if completed[need]))
    return before


def queue_shapes(stand: Stand, found: list[Shape], *, seconds: float) -> dict:
    return {stand.queue(stand.store(definition_of(shape, seconds=seconds))): shape for shape in found}


def check(stand: Stand, runs: dict, *, once: bool) -> None:
    ended = wait_settled(stand, list(runs), within_s=30)
    assert ended == {"completed": len(runs)}
    rows = stand.sql(
        "SELECT run_id, node_id, map_index, phase, at FROM bench_effect WHERE run_id = ANY(%s) ORDER BY id", list(runs)
    )
    stored = stand.sql("SELECT run_id, node_id, map_index, status FROM node_run WHERE run_id = ANY(%s)", list(runs))
    for run_id, shape in runs.items():
        mine = [row[1:] for row in rows if row[0] == run_id]
        begun = Counter((node_id, item) for node_id, item, phase, _ in mine if phase == "begun")
        assert set(begun) == expected_marks(shape), definition_of(shape, seconds=0)
        if once:
            assert set(begun.values()) <= {1}, definition_of(shape, seconds=0)
        completed = completed_places(shape)
        statuses = {node_id: status for run, node_id, item, status in stored if run == run_id and item == -1}
        assert statuses == {f"n{place}": "completed" if runs_ else "skipped" for place, runs_ in enumerate(completed)}
        assert_in_order(shape, mine)


def assert_in_order(shape: Shape, marks: list) -> None:
    """Nothing begins, even at its first try, before what it needs has ended."""
    first_begun: dict[int, list] = defaultdict(list)
    last_needed: dict[tuple[int, str], list] = defaultdict(list)
    for node_id, item, phase, at in marks:
        place, _, inner = node_id.removeprefix("n").partition("/")
        if phase == "begun":
            first_begun[int(place)].append(at)
            if inner == "second":
                ends = [other[3] for other in marks if other[:3] == (f"n{place}/first", item, "ended")]
                assert ends, "an item's second node began without its first"
                assert min(ends) <= at
        else:
            last_needed[int(place), node_id + str(item)].append(at)
    ended = {key: min(found) for key, found in last_needed.items()}
    for place, before in precedes(shape).items():
        for need in before:
            for (other, _), at in ended.items():
                if other == need:
                    assert all(at <= began for began in first_begun[place])


def test_every_node_of_a_random_workflow_runs_once_and_after_what_it_needs(stand, workers):
    workers(1)

    @EXAMPLES
    @given(st.lists(shapes(), min_size=6, max_size=10))
    def carried_once(found: list[Shape]) -> None:
        check(stand, queue_shapes(stand, found, seconds=0.0), once=True)

    carried_once()


def test_every_node_of_a_random_workflow_runs_at_least_once_when_workers_are_killed(stand, workers):
    @settings(EXAMPLES, max_examples=1)
    @given(st.lists(shapes(), min_size=10, max_size=14), st.integers(0, 500))
    def carried_at_least_once(found: list[Shape], kill_ms: int) -> None:
        assume(sum(len(shape.kinds) for shape in found) > 50)  # A kill tests little of what is over at once.
        first, _ = workers(2)
        runs = queue_shapes(stand, found, seconds=0.25)
        wait_in_flight(stand, [run_id for run_id, shape in runs.items() if expected_marks(shape)])
        time.sleep(kill_ms / 1000)
        first.kill()
        stand.workers.pop(first.name)
        check(stand, runs, once=False)

    carried_at_least_once()


def test_the_check_itself_sees_a_node_that_ran_twice_or_out_of_order():
    chain = Shape(("effect", "effect"), ((), ((0, None),)), ("all", "all"), (0, 0), (True, True))
    assert expected_marks(chain) == {("n0", -1), ("n1", -1)}
    marks = [("n0", -1, "begun", 1), ("n1", -1, "begun", 2), ("n0", -1, "ended", 3), ("n1", -1, "ended", 4)]
    with pytest.raises(AssertionError):
        assert_in_order(chain, marks)
    assert_in_order(chain, [marks[0], ("n0", -1, "ended", 1.5), *marks[1:2], marks[3]])
