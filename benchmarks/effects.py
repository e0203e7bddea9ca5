"""What really happened, written down by the nodes themselves, and what came of it: lost, repeated, resumed.

Each node of the fault runs leaves a mark when it begins and when it ends, in a transaction of its own. A trigger on
``node_run``, a measuring instrument that the product does not have, keeps the moment at which a node was first stored
as completed. A mark that begins after that moment is a completed node that was run again.
"""

import time
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.stand import Stand, node, until

ENDED = ("completed", "failed", "cancelled")

_INSTRUMENT = """
CREATE TABLE IF NOT EXISTS bench_effect (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run_id uuid NOT NULL, node_id text NOT NULL,
    map_index int NOT NULL, attempt int NOT NULL, pid int NOT NULL, phase text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE INDEX IF NOT EXISTS bench_effect_run ON bench_effect (run_id, node_id);
CREATE TABLE IF NOT EXISTS bench_done (
    run_id uuid, node_id text, map_index int, at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id, node_id, map_index));
CREATE OR REPLACE FUNCTION bench_done() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO bench_done (run_id, node_id, map_index) VALUES (NEW.run_id, NEW.node_id, NEW.map_index)
    ON CONFLICT DO NOTHING; RETURN NULL; END $$;
CREATE OR REPLACE TRIGGER bench_done AFTER INSERT OR UPDATE OF status ON node_run
    FOR EACH ROW WHEN (NEW.status = 'completed') EXECUTE FUNCTION bench_done();
"""
_RERUN = (
    "SELECT count(DISTINCT (e.run_id, e.node_id, e.map_index)) FROM bench_effect e JOIN bench_done d"
    " USING (run_id, node_id, map_index) WHERE e.phase = 'begun' AND e.at > d.at AND e.run_id = ANY(%s)"
)
_REPEATED = (
    "SELECT count(*) FROM (SELECT FROM bench_effect WHERE phase = 'begun' AND run_id = ANY(%s) AND node_id LIKE %s"
    " GROUP BY run_id, node_id, map_index HAVING count(*) > 1) AS twice"
)
_NEVER = (
    "SELECT count(*) FROM node_run n JOIN run r ON r.id = n.run_id WHERE n.run_id = ANY(%s) AND r.status = 'completed'"
    " AND n.status = 'completed' AND n.kind LIKE 'bench.%%effect' AND NOT EXISTS (SELECT FROM bench_effect e"
    " WHERE (e.run_id, e.node_id, e.map_index, e.phase) = (n.run_id, n.node_id, n.map_index, 'begun'))"
)


@dataclass
class Report:
    """What came of one fault."""

    fault: str
    runs: int
    lost_runs: int
    """Runs that the door took and that did not complete."""
    completed_nodes_rerun: int
    nodes_without_effect: int
    """Nodes stored as completed that never ran."""
    double_unsafe: int
    interrupted_rerun: int
    """Nodes in flight at the fault that ran again, as they should."""
    resume_s: list[float] = field(default_factory=list)
    detail: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return it for the JSON line."""
        values = {name: value for name, value in vars(self).items() if name not in {"fault", "resume_s", "detail"}}
        if self.resume_s:
            values["resume_s_max"] = round(max(self.resume_s), 2)
            values["resume_s_median"] = round(sorted(self.resume_s)[len(self.resume_s) // 2], 2)
        return {**values, **self.detail}


def install(stand: Stand) -> None:
    """Make the tables and the trigger."""
    stand.sql(_INSTRUMENT)


def steps(name: str, *, seconds: float, kind: str = "bench.effect") -> dict[str, Any]:
    """Return a workflow of eight marked nodes on five levels."""
    shape = {"a": "", "b": "a", "c": "a", "d": "b c", "e": "d", "f": "d", "g": "e f", "h": "g"}
    tasks = [
        node(node_id, kind, needs.split(), seconds=seconds, timeout="5m", value=node_id)
        for node_id, needs in shape.items()
    ]
    return {"name": name, "nodes": tasks}


def with_unsafe(name: str, *, seconds: float) -> dict[str, Any]:
    """Return a workflow with a node in its middle that must not run twice."""
    return {
        "name": name,
        "nodes": [
            node("before", "bench.effect", seconds=0.1, value=1),
            node("unsafe", "bench.unsafe_effect", ["before"], seconds=seconds, timeout="5m", value=2),
            node("after", "bench.effect", ["unsafe"], seconds=0.1, value=3),
        ],
    }


def queue_many(stand: Stand, workflow: str, count: int) -> list[uuid.UUID]:
    """Queue *count* runs."""
    return [stand.queue(workflow) for _ in range(count)]


def wait_in_flight(stand: Stand, run_ids: Sequence[uuid.UUID], *, within_s: float = 60.0) -> None:
    """Wait until every run has begun a node."""
    sql = "SELECT count(DISTINCT run_id) FROM bench_effect WHERE run_id = ANY(%s)"
    with stand.look() as connection:
        until(
            lambda: connection.execute(sql, (list(run_ids),)).fetchone() == (len(run_ids),),
            f"{len(run_ids)} runs in flight",
            within_s=within_s,
            every_s=0.1,
        )


def statuses(stand: Stand, run_ids: Sequence[uuid.UUID]) -> dict[str, int]:
    """Return how many of the runs are in each status."""
    return dict(stand.sql("SELECT status, count(*) FROM run WHERE id = ANY(%s) GROUP BY 1", list(run_ids)))


def wait_settled(
    stand: Stand, run_ids: Sequence[uuid.UUID], *, within_s: float, also: Collection[str] = ()
) -> dict[str, int]:
    """Wait until every run has ended, or has a status of *also*; return the statuses, also when time is up."""
    deadline = time.monotonic() + within_s
    final = {*ENDED, *also}
    while True:
        found = statuses(stand, run_ids)
        if set(found) <= final or time.monotonic() > deadline:
            return found
        time.sleep(0.25)


def resumed_s(stand: Stand, run_ids: Sequence[uuid.UUID], *, since: Any, without: Collection[int]) -> list[float]:
    """Return for each run how long after the moment *since* a process that is not one of *without* began a node.

    A run that nobody went on with is not in the list; it is lost, or it had nothing left to do.
    """
    rows = stand.sql(
        "SELECT extract(epoch FROM min(at) - %s)::float8 FROM bench_effect WHERE run_id = ANY(%s) AND at > %s"
        " AND phase = 'begun' AND pid <> ALL(%s) GROUP BY run_id",
        since,
        list(run_ids),
        since,
        list(without),
    )
    return [row[0] for row in rows]


def now(stand: Stand) -> Any:
    """Return the time of the database, which is the time of the marks."""
    return stand.sql("SELECT clock_timestamp()")[0][0]


def report(
    stand: Stand,
    fault: str,
    run_ids: Sequence[uuid.UUID],
    *,
    resume_s: list[float] | None = None,
    **detail: Any,
) -> Report:
    """Count what came of the runs; call it when they have settled."""
    ids = list(run_ids)
    found = statuses(stand, ids)
    lost = len(ids) - found.get("completed", 0)
    if lost:
        detail["statuses"] = found
        detail["errors"] = [
            row[0]
            for row in stand.sql(
                "SELECT DISTINCT error->>'message' FROM run WHERE id = ANY(%s) AND error IS NOT NULL LIMIT 3", ids
            )
        ]
    return Report(
        fault=fault,
        runs=len(ids),
        lost_runs=lost,
        completed_nodes_rerun=stand.sql(_RERUN, ids)[0][0],
        nodes_without_effect=stand.sql(_NEVER, ids)[0][0],
        double_unsafe=stand.sql(_REPEATED, ids, "unsafe%")[0][0],
        interrupted_rerun=stand.sql(_REPEATED, ids, "%")[0][0],
        resume_s=resume_s or [],
        detail=detail,
    )
