"""What is left when workers are killed or stand still. Every process here is a real one, and so is every kill."""

import signal
import time

import psutil
import pytest

from benchmarks.chaos import attend, cancelled_s, carrier, long_document, reading, shift_clock
from benchmarks.effects import (
    now,
    queue_many,
    report,
    resumed_s,
    statuses,
    steps,
    wait_in_flight,
    wait_settled,
    with_unsafe,
)
from benchmarks.stand import Stand, node, until

pytestmark = pytest.mark.integration

RESUME_S = 8.0
"""A lease of two seconds, a look every two thirds of one, and a slow machine."""


def assert_nothing_lost_or_repeated(found) -> None:
    assert found.lost_runs == 0, found.as_dict()
    assert found.completed_nodes_rerun == 0, found.as_dict()
    assert found.nodes_without_effect == 0, found.as_dict()
    assert found.double_unsafe == 0, found.as_dict()


def kill(stand: Stand, worker) -> None:
    worker.kill()
    stand.workers.pop(worker.name)


def owners(stand: Stand) -> dict[int, int]:
    """How many runs each worker process holds, by process id."""
    rows = stand.sql(
        "SELECT split_part(owner, '.', -2)::int, count(*) FROM run_active WHERE owner IS NOT NULL GROUP BY 1"
    )
    return dict(rows)


def test_runs_of_a_killed_worker_go_on_elsewhere_without_repeating_what_was_done(stand, workers):
    pair = workers(2)
    run_ids = queue_many(stand, stand.store(steps("steps", seconds=0.5)), 30)
    wait_in_flight(stand, run_ids)
    held = owners(stand)
    assert sum(held.values()) == 30
    victim = max(pair, key=lambda worker: held.get(worker.pid, 0))
    killed_at = now(stand)
    kill(stand, victim)
    wait_settled(stand, run_ids, within_s=40)
    resumed = resumed_s(stand, run_ids, since=killed_at, without=[victim.pid])
    found = report(stand, "sigkill", run_ids, resume_s=resumed)
    assert_nothing_lost_or_repeated(found)
    assert found.interrupted_rerun > 0, "nobody was in the middle of anything, so nothing was tested"
    assert max(resumed) < RESUME_S


def test_an_unsafe_node_that_was_interrupted_waits_for_a_person_and_runs_once(stand, workers):
    pair = workers(2)
    run_ids = queue_many(stand, stand.store(with_unsafe("guarded", seconds=60)), 4)
    until(lambda: unsafe_begun(stand, run_ids) == 4, "four unsafe nodes under way", within_s=20)
    for worker in pair:
        kill(stand, worker)
    workers(1)
    assert attend(stand, run_ids) == 4
    found = report(stand, "unsafe", run_ids)
    assert_nothing_lost_or_repeated(found)
    assert unsafe_begun(stand, run_ids) == 4


def unsafe_begun(stand: Stand, run_ids) -> int:
    sql = "SELECT count(*) FROM bench_effect WHERE node_id = 'unsafe' AND phase = 'begun' AND run_id = ANY(%s)"
    return stand.sql(sql, run_ids)[0][0]


def test_a_worker_that_stood_still_past_its_lease_changes_nothing_any_more(stand, workers):
    (first,) = workers(1)
    run_ids = queue_many(stand, stand.store(steps("steps", seconds=0.5)), 12)
    wait_in_flight(stand, run_ids)
    first.send(signal.SIGSTOP)
    stopped_at = now(stand)
    stand.wait_ready(stand.start_worker("run"))
    until(
        lambda: len(resumed_s(stand, run_ids, since=stopped_at, without=[first.pid])) == 12,
        "every run in other hands",
        within_s=20,
    )
    first.send(signal.SIGCONT)
    wait_settled(stand, run_ids, within_s=40)
    time.sleep(0.5)  # For the one that stood still, to try what it must not.
    assert_nothing_lost_or_repeated(report(stand, "sigstop", run_ids))


def test_a_node_whose_child_is_killed_is_carried_again(stand, workers, model):
    workers(1)
    tasks = [
        node("before", "bench.effect", seconds=0),
        node("model", "bench.child_effect", ["before"], seconds=1.5, timeout="1m"),
    ]
    run_id = stand.queue(stand.store({"name": "modelled", "nodes": tasks}))
    pid = until(lambda: carrier(stand, run_id), "the node in the child", within_s=30)
    assert pid in {child.pid for child in model.children()}
    psutil.Process(pid).kill()
    wait_settled(stand, [run_id], within_s=40)
    found = report(stand, "model_child", [run_id])
    assert_nothing_lost_or_repeated(found)
    assert found.interrupted_rerun == 1


def test_a_cancelled_run_ends_within_a_second_and_so_does_the_child_that_reads_for_it(stand, workers, model):
    workers(1)
    stand.door.ensure_builtins()
    inline = stand.queue(stand.store(steps("long-steps", seconds=60)))
    wait_in_flight(stand, [inline])
    assert cancelled_s(stand, inline) < 1.0
    read = stand.door.queue_ocr(name="long.pdf", content=long_document(), options={}, requested_by=None).run_id
    until(lambda: reading(stand, read), "a page being read", within_s=30)
    children = model.children()
    assert children
    began = time.monotonic()
    cancelled_s(stand, read)
    _, alive = psutil.wait_procs(children, timeout=5)
    assert time.monotonic() - began < 1.0
    assert alive == []
    assert statuses(stand, [inline, read]) == {"cancelled": 2}


@pytest.mark.parametrize("forward", [True, False], ids=["forward", "back"])
def test_a_clock_that_steps_by_an_hour_neither_loses_nor_repeats_anything(stand, workers, forward):
    """The engine reads the database's clock only: shifting what it stored is what a step of that clock does."""
    (worker,) = workers(1)
    run_ids = queue_many(stand, stand.store(steps("steps", seconds=0.4)), 10)
    wait_in_flight(stand, run_ids)
    shift_clock(stand, forward=forward)
    if not forward:
        kill(stand, worker)  # Its lease now ends in an hour, but nobody renews it.
        workers(1)
    wait_settled(stand, run_ids, within_s=30)
    assert_nothing_lost_or_repeated(report(stand, "clock", run_ids))
