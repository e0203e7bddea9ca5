"""Durable nodes a second beside the peers, naps beside a worker that does one thing at a time; arms in turn.

A round asks every arm once, in an order drawn anew; the figure is the median over the rounds. While one arm works the
others are stopped by a signal. Ours is measured from the moment when the run worker may go on, with the runs already
queued, until no run is left; and once more from the first call of the door, which then works beside the worker.
"""

import random
import signal
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import psycopg

from benchmarks.arms import Arm, arm, peers_python
from benchmarks.stand import Stand, Worker, node, until
from dashboard.processes.servers import free_port

CHAIN = 10
NAP_S = 0.05
AT_ONCE = 50
NUMBERED = {"type": "object", "properties": {"number": {"type": "integer"}}}
"""The parameters of runs whose nodes must not find each other's results."""


@dataclass
class Sizes:
    """How much each arm does in a round."""

    rounds: int = 5
    runs: int = 300
    dbos_runs: int = 100
    celery_tasks: int = 2000
    rq_runs: int = 40
    prefect_runs: int = 3
    nap_runs: int = 300
    simple_naps: int = 4


QUICK = Sizes(rounds=3, runs=150, dbos_runs=50, celery_tasks=1000, rq_runs=15, nap_runs=150, simple_naps=3)


@dataclass
class Rounds:
    """What each arm reached in each round, a second."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """Take note of one round."""
        self.values.setdefault(name, []).append(value)

    def median(self, name: str) -> float:
        """Return the median of an arm."""
        return statistics.median(self.values[name])

    def ratio(self, ours: str, theirs: str) -> float | None:
        """Return the median over the rounds of ours over theirs in the same round; None when they did not run."""
        if theirs not in self.values:
            return None
        pairs = zip(self.values[ours], self.values[theirs], strict=True)
        return round(statistics.median(own / other for own, other in pairs), 2)

    def spread(self) -> dict[str, dict[str, float]]:
        """Return lowest, median and highest of each arm."""
        return {
            name: {
                "low": round(min(found), 1),
                "median": round(statistics.median(found), 1),
                "high": round(max(found), 1),
            }
            for name, found in self.values.items()
        }


def chain(name: str, *, features: bool) -> dict[str, Any]:
    """Return a chain of ten nodes, each given what the one before returned.

    With *features* each node keeps its result for ten minutes, may be retried, and writes a line of log; the results
    differ by the run's number, so that every look-up of the cache misses and every result is stored.
    """
    nodes: list[dict[str, Any]] = []
    for place in range(CHAIN):
        before = f"n{place - 1}"
        given = {"given": f"{{{{ nodes.{before}.output }}}}"} if place else {}
        more: dict[str, Any] = {"retries": 3, "cache": "10m"} if features else {"retries": 0}
        kind = "bench.note" if features else "bench.sleep"
        config = {"number": "{{ params.number }}", **given} if features else {"seconds": 0}
        nodes.append(node(f"n{place}", kind, [before] if place else [], **more, **config))
    return {"name": name, "params": NUMBERED, "nodes": nodes}


def naps(name: str) -> dict[str, Any]:
    """Return a chain of ten nodes of 50 ms."""
    nodes = [
        node(f"n{place}", "bench.sleep", [f"n{place - 1}"] if place else [], seconds=NAP_S) for place in range(CHAIN)
    ]
    return {"name": name, "params": NUMBERED, "nodes": nodes}


def freeze(workers: Sequence[Worker]) -> None:
    """Stop our workers, so that they take nothing from the arm that is measured."""
    for worker in workers:
        worker.send(signal.SIGSTOP)


def thaw(workers: Sequence[Worker]) -> None:
    """Let our workers go on."""
    for worker in workers:
        worker.send(signal.SIGCONT)


def fill(stand: Stand, workflow: str, runs: int, *, threads: int = 4) -> None:
    """Queue *runs* runs through the door from a few threads, as a web server does."""
    numbers = [random.getrandbits(48) for _ in range(runs)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda number: stand.queue(workflow, number=number), numbers))


def wait_for_end(stand: Stand, *, within_s: float = 120.0) -> None:
    """Wait until no run is active."""
    with stand.look() as connection:
        until(lambda: none_active(connection), "the end of all runs", within_s=within_s, every_s=0.01)


def none_active(connection: psycopg.Connection[Any]) -> bool:
    """Tell whether no run is left."""
    return connection.execute("SELECT NOT EXISTS (SELECT FROM run_active)").fetchone() == (True,)


def execute(stand: Stand, workers: Sequence[Worker], workflow: str, runs: int) -> float:
    """Return the seconds in which the run worker carries *runs* queued runs, from a standing start."""
    freeze(workers)
    fill(stand, workflow, runs)
    began = time.perf_counter()
    thaw(workers)
    wait_for_end(stand)
    return time.perf_counter() - began


def end_to_end(stand: Stand, workers: Sequence[Worker], workflow: str, runs: int) -> float:
    """Return the seconds from the first call of the door to the end of the last run."""
    thaw(workers)
    began = time.perf_counter()
    fill(stand, workflow, runs)
    wait_for_end(stand)
    return time.perf_counter() - began


def require_all_completed(stand: Stand) -> None:
    """Check that the measured runs did what they should.

    Raises:
        RuntimeError: If one did not complete; then no figure would mean anything.
    """
    wrong = stand.sql("SELECT status, count(*), min(error::text) FROM run WHERE status <> 'completed' GROUP BY 1")
    if wrong:
        raise RuntimeError(f"Runs did not complete: {wrong}")


def measure(stand: Stand, workers: Sequence[Worker], sizes: Sizes, *, with_prefect: bool) -> dict[str, Any]:
    """Return the throughput figures of all arms."""
    rounds = Rounds()
    full, bare, nap = (
        stand.store(chain("chain", features=True)),
        stand.store(chain("bare", features=False)),
        stand.store(naps("naps")),
    )
    with ExitStack() as stack:
        freeze(workers)
        peers = start_peers(stand, stack, with_prefect=with_prefect)
        ours: dict[str, Callable[[], float]] = {
            "helmsight": lambda: sizes.runs * CHAIN / execute(stand, workers, full, sizes.runs),
            "helmsight_end_to_end": lambda: sizes.runs * CHAIN / end_to_end(stand, workers, full, sizes.runs),
            "helmsight_bare": lambda: sizes.runs * CHAIN / execute(stand, workers, bare, sizes.runs),
            "helmsight_naps_runs": lambda: sizes.nap_runs / execute(stand, workers, nap, sizes.nap_runs),
        }
        theirs = {name: ask_for(name, peer, sizes) for name, peer in peers.items() if name != "rq"}
        theirs["rq"] = lambda: rate(peers["rq"].ask(runs=sizes.rq_runs, nodes=CHAIN))
        theirs["simple_worker_naps_runs"] = lambda: rate(
            peers["rq"].ask(runs=sizes.simple_naps, naps=CHAIN, nap_s=NAP_S), "runs"
        )
        warm_up(stand, workers, full)
        for number in range(sizes.rounds):
            one_round(rounds, number, {**ours, **theirs}, workers)
        thaw(workers)
    require_all_completed(stand)
    return figures(rounds)


def one_round(rounds: Rounds, number: int, arms: Mapping[str, Callable[[], float]], workers: Sequence[Worker]) -> None:
    """Ask every arm once, in an order of this round's own."""
    names = list(arms)
    random.Random(number).shuffle(names)
    for name in names:
        rounds.add(name, arms[name]())
        freeze(workers)
        time.sleep(0.3)  # What the servers still write for one arm is not to be the next one's burden.


def warm_up(stand: Stand, workers: Sequence[Worker], workflow: str) -> None:
    """Carry a few runs that are not counted: every arm has had its first ones before the clock starts."""
    execute(stand, workers, workflow, 20)


def ask_for(name: str, peer: Arm, sizes: Sizes) -> Callable[[], float]:
    """Return what measures the peer *name* once."""
    question = {
        "dbos": {"runs": sizes.dbos_runs, "at_once": AT_ONCE, "nodes": CHAIN},
        "celery": {"tasks": sizes.celery_tasks},
        "prefect": {"runs": sizes.prefect_runs, "nodes": CHAIN},
    }[name]
    return lambda: rate(peer.ask(**question))


def rate(answer: Mapping[str, Any], unit: str = "nodes") -> float:
    """Return how many *unit* a peer carried a second."""
    return float(answer[unit]) / float(answer["seconds"])


def start_peers(stand: Stand, stack: ExitStack, *, with_prefect: bool) -> dict[str, Arm]:
    """Start the peers on our servers, each in a database of its own."""
    python = peers_python()
    redis = stand.valkey.url
    scripts: dict[str, tuple[str, Any, dict[str, str]]] = {
        "dbos": ("dbos_arm.py", python, {"PEER_DSN": database(stand, "peer_dbos")}),
        "celery": ("celery_arm.py", python, {"PEER_REDIS": redis.removesuffix("/0") + "/2"}),
        "rq": ("rq_arm.py", sys.executable, {"PEER_REDIS": redis.removesuffix("/0") + "/3"}),
    }
    if with_prefect:
        port = str(free_port())
        scripts["prefect"] = (
            "prefect_arm.py",
            python,
            {
                "PEER_PORT": port,
                "PREFECT_HOME": str(stand.root / "prefect"),
                "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
                "PREFECT_API_DATABASE_CONNECTION_URL": database(stand, "peer_prefect").replace(
                    "postgresql://", "postgresql+asyncpg://"
                ),
                "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
                "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
                "DO_NOT_TRACK": "1",
            },
        )
    return {
        name: stack.enter_context(
            arm(name, script, python=interpreter, environment=environment, log=stand.root / f"peer-{name}.log")
        )
        for name, (script, interpreter, environment) in scripts.items()
    }


def database(stand: Stand, name: str) -> str:
    """Make an empty database on our server and return its address."""
    with psycopg.connect(stand.postgres.dsn_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return stand.postgres.dsn_of(name)


def figures(rounds: Rounds) -> dict[str, Any]:
    """Return the figures of the issue."""
    bare_over_full = rounds.ratio("helmsight_bare", "helmsight")
    return {
        "nodes_per_s": round(rounds.median("helmsight")),
        "nodes_per_s_end_to_end": round(rounds.median("helmsight_end_to_end")),
        "nodes_per_s_bare": round(rounds.median("helmsight_bare")),
        "bare_over_full": bare_over_full,
        "vs_dbos": rounds.ratio("helmsight", "dbos"),
        "vs_dbos_end_to_end": rounds.ratio("helmsight_end_to_end", "dbos"),
        "vs_celery": rounds.ratio("helmsight", "celery"),
        "vs_rq_job_per_node": rounds.ratio("helmsight", "rq"),
        "vs_prefect": rounds.ratio("helmsight", "prefect"),
        "runs_50ms_vs_simpleworker": rounds.ratio("helmsight_naps_runs", "simple_worker_naps_runs"),
        "per_second": rounds.spread(),
        "rounds": len(rounds.values["helmsight"]),
    }
