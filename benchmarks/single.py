"""Figures of our engine alone: start, share of execution, commits, makespan, planning, memory."""

import gc
import os
import random
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from typing import Any

import orjson
import psutil
import psycopg
import yaml

from benchmarks.dags import Dag, batched_s, montage, science, simulated_s
from benchmarks.stand import Stand, Worker, node, until
from benchmarks.throughput import NUMBERED, none_active, wait_for_end

SLOTS = 16
BIG = 10_000
STATISTICS_S = 11.0
"""PostgreSQL adds up what an idle connection did after ten seconds at the latest."""


def start_ms(stand: Stand, count: int) -> dict[str, Any]:
    """Return how long after the call of the door the first node begins, on an idle worker; milliseconds.

    The clock starts before the door is called, so that storing the run counts. Sleeps of odd length between the calls
    keep them from falling into step with anything.
    """
    workflow = stand.store({"name": "stamp", "nodes": [node("first", "bench.stamp")]})
    waits, doors = [], []
    with stand.look() as connection:
        for _ in range(count + 3):
            time.sleep(random.uniform(0.05, 0.15))
            began = time.time()
            run_id = stand.queue(workflow)
            doors.append(time.time() - began)
            until(lambda: none_active(connection), "the end of the run", within_s=20, every_s=0.005)
            waits.append(output_of(connection, run_id) - began)
    waits, doors = waits[3:], doors[3:]  # The first ones load what both sides need.
    return {
        "start_p50_ms": round(1000 * statistics.median(waits), 1),
        "start_p95_ms": round(1000 * statistics.quantiles(waits, n=20)[-1], 1),
        "start_door_p50_ms": round(1000 * statistics.median(doors), 1),
        "start_samples": len(waits),
    }


def output_of(connection: psycopg.Connection[Any], run_id: uuid.UUID, node_id: str = "first") -> Any:
    """Return the output of a node."""
    row = connection.execute(
        "SELECT output FROM node_run WHERE run_id = %s AND node_id = %s", (run_id, node_id)
    ).fetchone()
    assert row is not None
    return row[0]


def execution_share(stand: Stand, rounds: int, *, n: int = 33) -> dict[str, Any]:
    """Return which share of a run's time its ten nodes of ``fibo(n)`` were computing, from the door to the end.

    The nodes measure themselves; what they do not count is ours: queueing, claiming, threads, checkpoints.
    """
    tasks = [node(f"n{i}", "bench.fibonacci", [f"n{i - 1}"] if i else [], n=n, timeout="2m") for i in range(10)]
    workflow = stand.store({"name": "fibonacci", "nodes": tasks})
    shares, seconds = [], []
    for _ in range(rounds):
        began = time.time()
        run_id = stand.queue(workflow)
        wait_for_end(stand)
        ((ended,),) = stand.sql("SELECT extract(epoch FROM finished_at)::float8 FROM run WHERE id = %s", run_id)
        ((busy,),) = stand.sql("SELECT sum(output::text::float8) FROM node_run WHERE run_id = %s", run_id)
        shares.append(busy / (ended - began))
        seconds.append(ended - began)
    return {
        "execution_share": round(statistics.median(shares), 4),
        "execution_share_low": round(min(shares), 4),
        "fibonacci_run_s": round(statistics.median(seconds), 2),
    }


def definition_of(dag: Dag, *, scale: float | None, kind: str, **more: Any) -> dict[str, Any]:
    """Return *dag* as a definition; *scale* turns its seconds into ours, None makes its tasks do nothing."""
    nodes = []
    for task, needs in dag.needs.items():
        estimate = dag.seconds[task] if scale is None else dag.seconds[task] * scale
        config: dict[str, Any] = (
            {"number": "{{ params.number }}", "given": task} if scale is None else {"seconds": round(estimate, 6)}
        )
        features: dict[str, Any] = {"retries": 3, "cache": "10m"} if scale is None else {}
        nodes.append(node(task, kind, needs, estimated_duration_s=round(estimate, 6), **features, **config))
    return {"name": dag.name, "params": NUMBERED, "nodes": nodes, **more}


def montage_run(stand: Stand, rounds: int) -> dict[str, Any]:
    """Return commits for each node, and the seconds from queued to finished, of a Montage of some 1,300 tasks.

    Every task writes a line of log, may be retried, and keeps its result. The commits are those that PostgreSQL counts
    in our database, whoever makes them, less what the same processes commit in the same time without a run: leases,
    heartbeats, ticks. ``commits_per_node_gross`` has those in it, for the runs and the wait for the counters.
    """
    dag = montage(random.Random(3), 1312)
    workflow = stand.store(definition_of(dag, scale=None, kind="bench.note"))
    stand.queue(workflow, number=random.getrandbits(48))
    wait_for_end(stand)
    idle_commits, idle_s = commits_of(stand, lambda: time.sleep(STATISTICS_S))
    run_ids: list[uuid.UUID] = []

    def carry() -> None:
        for _ in range(rounds):
            run_ids.append(stand.queue(workflow, number=random.getrandbits(48)))
            wait_for_end(stand)

    commits, carry_s = commits_of(stand, carry)
    found = stand.sql("SELECT extract(epoch FROM finished_at - queued_at)::float8 FROM run WHERE id = ANY(%s)", run_ids)
    seconds = [row[0] for row in found]
    tasks = len(dag.seconds)
    return {
        "commits_per_node": round((commits - idle_commits * carry_s / idle_s) / (tasks * rounds), 4),
        "commits_per_node_gross": round(commits / (tasks * rounds), 4),
        "idle_commits_per_s": round(idle_commits / idle_s, 2),
        "montage_s": round(statistics.median(seconds), 3),
        "montage_high_s": round(max(seconds), 3),
        "montage_nodes": tasks,
        "montage_edges": sum(len(needs) for needs in dag.needs.values()),
    }


def commits_of(stand: Stand, work: Any) -> tuple[int, float]:
    """Return how many transactions our database committed during *work* and the wait for the counters; and seconds."""
    with psycopg.connect(stand.postgres.dsn_of("postgres"), autocommit=True) as outside:

        def count() -> int:
            row = outside.execute("SELECT xact_commit FROM pg_stat_database WHERE datname = 'helmsight'").fetchone()
            assert row is not None
            return int(row[0])

        time.sleep(STATISTICS_S)
        before, began = count(), time.perf_counter()
        work()
        time.sleep(STATISTICS_S)
        return count() - before, time.perf_counter() - began


def makespan(stand: Stand, *, bound_s: float, at_once: int, sizes: Sequence[int]) -> dict[str, Any]:
    """Return the time of generated scientific workflows over its lower bound, at 16 slots; really executed.

    Each is scaled so that its lower bound is *bound_s*, its tasks sleep that long, and a few are carried at once by
    one worker. The time is the run's own, from start to end. Level batches, and a schedule without any overhead by
    exact and by mean runtimes, are simulated beside it.
    """
    dags = [dag for dag in science() if int(dag.name.rpartition("-")[2]) in sizes]
    measured: dict[str, float] = {}
    for start in range(0, len(dags), at_once):
        group = dags[start : start + at_once]
        run_ids = {
            stand.queue(
                stand.store(
                    definition_of(dag, scale=bound_s / dag.lower_bound(SLOTS), kind="bench.sleep", max_parallel=SLOTS)
                )
            ): dag.name
            for dag in group
        }
        wait_for_end(stand, within_s=60 + 10 * bound_s)
        for run_id, seconds in stand.sql(
            "SELECT id, extract(epoch FROM finished_at - started_at)::float8 FROM run WHERE id = ANY(%s)",
            list(run_ids),
        ):
            measured[run_ids[run_id]] = seconds / bound_s
    bounds = {dag.name: dag.lower_bound(SLOTS) for dag in dags}
    return {
        "makespan_ratio": spread(list(measured.values())),
        "makespan_simulated": spread([simulated_s(dag, SLOTS, dag.path_weights()) / bounds[dag.name] for dag in dags]),
        "makespan_simulated_mean_runtimes": spread(
            [simulated_s(dag, SLOTS, dag.path_weights(dag.mean_of_type())) / bounds[dag.name] for dag in dags]
        ),
        "makespan_level_batches": spread([batched_s(dag, SLOTS) / bounds[dag.name] for dag in dags]),
        "makespan_dags": len(dags),
        "makespan_tasks": sum(len(dag.seconds) for dag in dags),
        "makespan_bound_s": bound_s,
    }


def spread(ratios: list[float]) -> dict[str, float]:
    """Return median, 90th percentile and highest."""
    return {
        "median": round(statistics.median(ratios), 3),
        "p90": round(statistics.quantiles(ratios, n=10)[-1], 3),
        "max": round(max(ratios), 3),
    }


def rss_mb(stand: Stand, worker: Worker) -> dict[str, Any]:
    """Return the memory of a run worker with 50 runs under way, in MB of 10^6 bytes, and once they ended."""
    tasks = [node(f"n{i}", "bench.sleep", [f"n{i - 1}"] if i else [], seconds=0.5) for i in range(10)]
    workflow = stand.store({"name": "held", "nodes": tasks})
    run_ids = [stand.queue(workflow) for _ in range(50)]
    with stand.look() as connection:
        counted = "SELECT count(*) = 50 FROM run_active WHERE status = 'running' AND run_id = ANY(%s)"
        until(
            lambda: connection.execute(counted, (run_ids,)).fetchone() == (True,),
            "fifty runs under way",
            within_s=30,
        )
    process = psutil.Process(worker.pid)
    highest = 0
    for _ in range(10):
        highest = max(highest, process.memory_info().rss)
        time.sleep(0.2)
    wait_for_end(stand)
    return {
        "rss_mb_50_runs": round(highest / 1e6, 1),
        "pss_mb_after": round(process.memory_full_info().pss / 1e6, 1) if sys.platform == "linux" else None,
    }


def plan_10k_s(rounds: int = 5) -> dict[str, Any]:
    """Return the seconds in which a definition of 10,000 nodes is read, checked and planned, each in a new process."""
    return {
        "plan_10k_s": statistics.median(_planned("json") for _ in range(rounds)),
        "plan_10k_yaml_s": _planned("yaml"),
    }


def _planned(form: str) -> float:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.single", form], check=True, capture_output=True, text=True, env=os.environ
    )
    return round(float(done.stdout), 3)


def big_definition() -> dict[str, Any]:
    """Return 10,000 nodes with 25,000 needs, templates over what they need, and estimates."""
    chance = random.Random(11)
    nodes = []
    for place in range(BIG):
        near = range(max(0, place - 200), place)
        needs = [f"n{other}" for other in sorted(chance.sample(near, min(len(near), chance.randint(1, 4))))]
        config: dict[str, Any] = {"input": f"{{{{ nodes.{needs[0]}.output }}}}" if needs else "{{ params.text }}"}
        config["steps"] = [{"get": "text"}]
        nodes.append(
            {
                "id": f"n{place}",
                "kind": "transform",
                "config": config,
                "needs": needs,
                "estimated_duration_s": round(chance.uniform(0.1, 10), 3),
            }
        )
    schema = {"type": "object", "properties": {"text": {"type": "string"}}}
    return {"name": "big", "params": schema, "nodes": nodes}


def plan(form: str) -> float:
    """Return the seconds of reading bytes, checking them, and planning: the engine's own plan, and levels for pages.

    JSON is read as the API does, before the definition is looked at; YAML as the editor does, keeping lines.
    """
    from worker.workflow.definition import levels, parse_definition  # noqa: PLC0415 - not to be timed
    from worker.workflow.kinds import registry  # noqa: PLC0415
    from worker.workflow.scopes import Plan  # noqa: PLC0415

    registry()
    value = big_definition()
    source = orjson.dumps(value) if form == "json" else yaml.dump(value, Dumper=yaml.CSafeDumper).encode()
    gc.collect()
    gc.freeze()  # As the dashboard and the run worker do once they are up.
    began = time.perf_counter()
    definition = parse_definition(orjson.loads(source) if form == "json" else source.decode())
    Plan.of(definition)
    levels(definition)
    return time.perf_counter() - began


if __name__ == "__main__":
    print(plan(sys.argv[1]))
