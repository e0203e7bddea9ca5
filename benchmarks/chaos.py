"""What the engine keeps when its parts are killed, stopped, emptied and restarted, and when the clock steps.

Run with ``python -m benchmarks.chaos --kills 20``; the last line is one JSON object. Everything is real: worker
processes are killed with SIGKILL, stopped past their lease, the servers restarted. The nodes themselves write down
that they ran; :mod:`benchmarks.effects` counts. Settings are the product's own, with a lease of 15 seconds.
"""

import argparse
import io
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from analytics.store.engine import session_scope
from benchmarks import aims
from benchmarks.effects import (
    Report,
    install,
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
from benchmarks.stand import Stand, Worker, node, until
from worker.ocr.sample import sample_image_path
from worker.workflow.schedules import ScheduleSpec, save_schedule

FLEET = 5
SLOTS = 50
UNSAFE_EACH = 5
STEP_S = 2.0
SETTLED_S = 90.0
LEASE_S = 15.0
LONG_NODE_S = 60.0


def main() -> None:
    """Break things, count, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="how many workers are killed with runs in flight")
    parser.add_argument("--only", nargs="*", help="faults to try; all when absent")
    given = parser.parse_args()
    began = time.monotonic()
    random.seed(20261122)
    reports: list[Report] = []
    cancels: dict[str, list[float]] = {}
    temporary = tempfile.TemporaryDirectory(prefix="helmsight-chaos-", ignore_cleanup_errors=True)
    with temporary as name, Stand(Path(name)) as stand:
        install(stand)
        for fault, work in faults(stand, given.kills, cancels).items():
            if not given.only or fault in given.only:
                reports += told(fault, work)
                stop_workers(stand)
    result = summary(reports, cancels) | {"kills": given.kills, "seconds": round(time.monotonic() - began)}
    print(aims.table(result, aims.CHAOS), file=sys.stderr)
    print(json.dumps(result | {"missed": aims.missed(result, aims.CHAOS)}))


def faults(stand: Stand, kills: int, cancels: dict[str, list[float]]) -> dict[str, Callable[[], list[Report]]]:
    """Return what is tried, by name, in order."""
    return {
        "sigkill": lambda: sigkill(stand, kills),
        "sigstop": lambda: [sigstop(stand)],
        "model_child": lambda: [model_child(stand)],
        "flushall": lambda: [flushall(stand)],
        "redis_restart": lambda: [redis_restart(stand)],
        "postgres_restart": lambda: [postgres_restart(stand, how) for how in (signal.SIGINT, signal.SIGQUIT)],
        "two_schedulers": lambda: [two_schedulers(stand)],
        "clock_step": lambda: [clock_step(stand, forward=True), clock_step(stand, forward=False)],
        "cancel": lambda: [cancel(stand, cancels)],
    }


def told(fault: str, work: Callable[[], list[Report]]) -> list[Report]:
    """Try one fault and say on standard error what came of it."""
    began = time.monotonic()
    found = work()
    for item in found:
        print(f"{item.fault}: {json.dumps(item.as_dict())}", file=sys.stderr)
    print(f"{fault}: {time.monotonic() - began:.1f} s, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    return found


def summary(reports: Sequence[Report], cancels: dict[str, list[float]]) -> dict[str, Any]:
    """Return the figures of the issue and each fault's own."""
    resumes = [seconds for item in reports for seconds in item.resume_s]
    waits = [seconds for found in cancels.values() for seconds in found]
    by_fault: dict[str, list[dict[str, Any]]] = {}
    for item in reports:
        by_fault.setdefault(item.fault, []).append(item.as_dict())
    return {
        "runs": sum(item.runs for item in reports),
        "lost_runs": sum(item.lost_runs for item in reports),
        "completed_nodes_rerun": sum(item.completed_nodes_rerun for item in reports),
        "nodes_without_effect": sum(item.nodes_without_effect for item in reports),
        "double_unsafe": sum(item.double_unsafe for item in reports),
        "resume_s_max": round(max(resumes), 2) if resumes else None,
        "cancel_p95_s": percentile(waits),
        "cancel_p95_s_by_kind": {kind: percentile(found) for kind, found in cancels.items()},
        "faults": by_fault,
    }


def percentile(values: Sequence[float]) -> float | None:
    """Return the 95th percentile; None of nothing."""
    if len(values) < 2:
        return round(values[0], 3) if values else None
    return round(statistics.quantiles(values, n=20, method="inclusive")[-1], 3)


def sigkill(stand: Stand, kills: int) -> list[Report]:
    """Kill whole fleets of workers, each with fifty runs in flight; new ones start at once, as by a supervisor."""
    waves = max(1, round(kills / FLEET))
    size = min(FLEET, kills)
    plain = stand.store(steps("steps", seconds=STEP_S))
    guarded = stand.store(with_unsafe("guarded", seconds=LONG_NODE_S))
    stand.wait_ready(stand.start_worker("scheduler"))
    fleet = start_fleet(stand, size)
    reports = []
    for _ in range(waves):
        found, fleet = wave(stand, fleet, plain, guarded)
        reports.append(found)
    return reports


def start_fleet(stand: Stand, size: int) -> list[Worker]:
    """Start run workers and wait until they take work."""
    fleet = [stand.start_worker("run") for _ in range(size)]
    stand.wait_ready(*fleet)
    return fleet


def wave(stand: Stand, fleet: Sequence[Worker], plain: str, guarded: str) -> tuple[Report, list[Worker]]:
    """Fill every slot, kill everyone, start as many again, wait for the end; return what came of it, and the new."""
    unsafe = queue_many(stand, guarded, UNSAFE_EACH * len(fleet))
    with ThreadPoolExecutor(4) as pool:
        run_ids = list(pool.map(lambda _: stand.queue(plain), range((SLOTS - UNSAFE_EACH) * len(fleet))))
    wait_in_flight(stand, [*unsafe, *run_ids])
    time.sleep(random.uniform(0.2, 1.5 * STEP_S))
    killed_at = now(stand)
    for worker in fleet:
        worker.kill()
    for worker in fleet:
        stand.workers.pop(worker.name)
    new = start_fleet(stand, len(fleet))
    wait_settled(stand, run_ids, within_s=SETTLED_S)
    attended = attend(stand, unsafe)
    resume_s = resumed_s(stand, run_ids, since=killed_at, without=[worker.pid for worker in fleet])
    found = report(
        stand, "sigkill", [*run_ids, *unsafe], resume_s=resume_s, workers=len(fleet), needed_attention=attended
    )
    return found, new


def attend(stand: Stand, run_ids: Sequence[uuid.UUID]) -> int:
    """Decide that what was interrupted happened, as a person would; return how many runs waited for that."""
    wait_settled(stand, run_ids, within_s=SETTLED_S, also=("needs_attention",))
    waiting = stand.sql(
        "SELECT w.run_id, w.node_id, w.map_index FROM node_wait w WHERE w.run_id = ANY(%s) AND w.kind = 'attention'"
        " AND w.resolved_at IS NULL",
        list(run_ids),
    )
    for run_id, node_id, map_index in waiting:
        stand.door.resolve_attention(
            run_id, node_id, map_index, action="completed", output=2, requested_by="bench@example.com"
        )
    wait_settled(stand, run_ids, within_s=SETTLED_S)
    return len(waiting)


def sigstop(stand: Stand) -> Report:
    """Stop a worker past its lease while another takes over, then let it go on: nothing of it may count."""
    plain = stand.store(steps("steps", seconds=STEP_S))
    (first,) = start_fleet(stand, 1)
    run_ids = queue_many(stand, plain, SLOTS)
    wait_in_flight(stand, run_ids)
    start_fleet(stand, 1)
    stopped_at = now(stand)
    first.send(signal.SIGSTOP)
    until(lambda: len(resumed_s(stand, run_ids, since=stopped_at, without=[first.pid])) == SLOTS, "all", within_s=40)
    resume_s = resumed_s(stand, run_ids, since=stopped_at, without=[first.pid])
    first.send(signal.SIGCONT)
    wait_settled(stand, run_ids, within_s=SETTLED_S)
    return report(stand, "sigstop", run_ids, resume_s=resume_s)


def model_child(stand: Stand) -> Report:
    """Kill the child of a model worker while it carries a node, three times; then the model worker itself."""
    tasks = [
        node("before", "bench.effect", seconds=0.1),
        node("model", "bench.child_effect", ["before"], seconds=STEP_S, timeout="5m"),
        node("after", "bench.effect", ["model"], seconds=0.1),
    ]
    workflow = stand.store({"name": "modelled", "nodes": tasks})
    start_fleet(stand, 1)
    model = stand.start_worker("model")
    stand.wait_ready(model)
    run_ids, resume_s = [], []
    for kill_worker in (False, False, False, True):
        run_id = stand.queue(workflow)
        run_ids.append(run_id)
        pid = until(lambda run_id=run_id: carrier(stand, run_id), "the node in the child", within_s=60)
        time.sleep(0.3)
        killed_at = now(stand)
        if kill_worker:
            model.kill()
            stand.workers.pop(model.name)
            stand.wait_ready(stand.start_worker("model"))
        else:
            psutil.Process(pid).kill()
        wait_settled(stand, [run_id], within_s=SETTLED_S)
        resume_s += resumed_s(stand, [run_id], since=killed_at, without=[pid])
    return report(stand, "model_child", run_ids, resume_s=resume_s)


def carrier(stand: Stand, run_id: uuid.UUID) -> int | None:
    """Return the process that carries the run's node ``model``, or None."""
    found = stand.sql("SELECT pid FROM bench_effect WHERE run_id = %s AND node_id = 'model'", run_id)
    return None if not found else int(found[0][0])


def flushall(stand: Stand) -> Report:
    """Empty Redis with fifty runs in flight and fifty in the queue, twice."""
    plain = stand.store(steps("short-steps", seconds=STEP_S / 2))
    start_fleet(stand, 1)
    run_ids = queue_many(stand, plain, 2 * SLOTS)
    wait_in_flight(stand, run_ids[:SLOTS])
    emptied_at = now(stand)
    stand.redis.flushall()
    time.sleep(1)
    run_ids += queue_many(stand, plain, 10)
    stand.redis.flushall()
    wait_settled(stand, run_ids, within_s=SETTLED_S)
    return report(stand, "flushall", run_ids, waited_s=queued_s(stand, run_ids, emptied_at))


def queued_s(stand: Stand, run_ids: Sequence[uuid.UUID], since: Any) -> float | None:
    """Return the longest that a slot stood empty for want of a token: from a run's end to the next one's start."""
    rows = stand.sql(
        "SELECT extract(epoch FROM max(started_at - %s))::float8 FROM run WHERE id = ANY(%s)", since, list(run_ids)
    )
    return None if rows[0][0] is None else round(rows[0][0], 2)


def redis_restart(stand: Stand) -> Report:
    """Kill Valkey, queue runs while it is away, start it again."""
    plain = stand.store(steps("short-steps", seconds=STEP_S / 2))
    start_fleet(stand, 1)
    run_ids = queue_many(stand, plain, SLOTS // 2)
    wait_in_flight(stand, run_ids)
    stand.end_server(stand.valkey, signal.SIGKILL)
    killed_at = now(stand)
    run_ids += queue_many(stand, plain, 10)
    time.sleep(3)
    stand.start_server(stand.valkey)
    run_ids += queue_many(stand, plain, 10)
    wait_settled(stand, run_ids, within_s=SETTLED_S)
    return report(stand, "redis_restart", run_ids, waited_s=queued_s(stand, run_ids, killed_at))


def postgres_restart(stand: Stand, how: signal.Signals) -> Report:
    """End PostgreSQL, in order or as in a crash, with fifty runs in flight; start it again after three seconds."""
    plain = stand.store(steps("steps", seconds=STEP_S))
    if not stand.workers:
        start_fleet(stand, 1)
    run_ids = queue_many(stand, plain, SLOTS)
    wait_in_flight(stand, run_ids)
    ended_at = now(stand)
    stand.engine.dispose()
    stand.end_server(stand.postgres, how)
    time.sleep(3)
    stand.start_server(stand.postgres)
    wait_settled(stand, run_ids, within_s=SETTLED_S)
    name = "postgres_restart" if how is signal.SIGINT else "postgres_crash"
    return report(stand, name, run_ids, resume_s=resumed_s(stand, run_ids, since=ended_at, without=[]))


def two_schedulers(stand: Stand, *, seconds: float = 12.0) -> Report:
    """Let two schedulers tick a schedule of every second, and kill the one that leads."""
    plain = stand.store({"name": "ticked", "nodes": [node("a", "bench.effect", seconds=0.01)]})
    start_fleet(stand, 1)
    schedulers = [stand.start_worker("scheduler"), stand.start_worker("scheduler")]
    stand.wait_ready(*schedulers)
    with session_scope(stand.engine) as session:
        spec = ScheduleSpec(name="every second", workflow=plain, every_s=1.0, catchup="all")
        schedule_id = save_schedule(session, spec, requested_by="bench@example.com")
    time.sleep(seconds / 2)
    killed_at = now(stand)
    leader = leading(stand, schedulers)
    leader.kill()
    stand.workers.pop(leader.name)
    until(
        lambda: (
            stand.sql(
                "SELECT count(*) FROM schedule_run WHERE schedule_id = %s AND created_at > %s AND run_id IS NOT NULL",
                schedule_id,
                killed_at,
            )[0][0]
            >= 3
        ),
        "runs by the other scheduler",
        within_s=30,
    )
    time.sleep(seconds / 2)
    stand.sql("UPDATE schedule SET paused_at = now() WHERE id = %s", schedule_id)
    time.sleep(1)
    times = [row[0] for row in stand.sql("SELECT scheduled_for FROM run WHERE schedule_id = %s", schedule_id)]
    run_ids = [row[0] for row in stand.sql("SELECT id FROM run WHERE schedule_id = %s", schedule_id)]
    wait_settled(stand, run_ids, within_s=SETTLED_S)
    expected = round((max(times) - min(times)) / timedelta(seconds=1)) + 1
    return report(
        stand,
        "two_schedulers",
        run_ids,
        times=expected,
        double_starts=len(times) - len(set(times)),
        missed_starts=expected - len(set(times)),
    )


def leading(stand: Stand, schedulers: Sequence[Worker]) -> Worker:
    """Return the scheduler that holds the lock, by the address of its connection."""
    held = stand.sql(
        "SELECT a.client_port FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE l.locktype = 'advisory' AND a.application_name LIKE 'helmsight-worker-scheduler%%'"
    )
    ports = {row[0] for row in held}
    for worker in schedulers:
        mine = {link.laddr.port for link in psutil.Process(worker.pid).net_connections() if link.laddr}
        if mine & ports:
            return worker
    return schedulers[0]


def clock_step(stand: Stand, *, forward: bool) -> Report:
    """Step the clock by an hour with fifty runs in flight.

    The engine reads the database's clock only, so the stored times are shifted instead: back when the clock steps
    forward, and forward when it steps back. After a step back the worker is killed too, for then its lease is far off.
    """
    plain = stand.store(steps("steps", seconds=STEP_S))
    if not stand.workers:
        start_fleet(stand, 1)
    (worker,) = [item for item in stand.workers.values() if item.kind == "run"]
    run_ids = queue_many(stand, plain, SLOTS)
    wait_in_flight(stand, run_ids)
    stepped_at = now(stand)
    if not forward:
        worker.send(signal.SIGSTOP)  # So that it cannot renew its leases between the step and its end.
    shift_clock(stand, forward=forward)
    without: list[int] = []
    if not forward:
        worker.kill()
        stand.workers.pop(worker.name)
        without = [worker.pid]
        start_fleet(stand, 1)
    wait_settled(stand, run_ids, within_s=SETTLED_S)
    resume_s = resumed_s(stand, run_ids, since=stepped_at, without=without)
    return report(stand, "clock_forward" if forward else "clock_back", run_ids, resume_s=resume_s, by="shifted rows")


def shift_clock(stand: Stand, *, forward: bool) -> None:
    """Shift what the engine stored by an hour, as if the database's clock had stepped."""
    hour = timedelta(hours=-1 if forward else 1)
    stand.sql(
        "UPDATE run_active SET lease_until = lease_until + %s, queued_at = queued_at + %s, rank = rank + %s,"
        " token_at = token_at + %s",
        *[hour] * 4,
    )
    stand.sql("UPDATE worker_process SET seen_at = seen_at + %s", hour)


def cancel(stand: Stand, waits: dict[str, list[float]]) -> Report:
    """Cancel runs with a node under way: on the event loop, and OCR, until the child that reads is gone too."""
    long = stand.store(steps("long-steps", seconds=LONG_NODE_S))
    with session_scope(stand.engine):
        stand.door.ensure_builtins()
    start_fleet(stand, 1)
    model = stand.start_worker("model")
    stand.wait_ready(model)
    run_ids = queue_many(stand, long, 20)
    wait_in_flight(stand, run_ids)
    waits["inline"] = [cancelled_s(stand, run_id) for run_id in run_ids]
    document = long_document()
    for number in range(5):
        run_id = stand.door.queue_ocr(
            name=f"long-{number}.pdf", content=document, options={}, requested_by="bench@example.com"
        ).run_id
        until(lambda run_id=run_id: reading(stand, run_id), "a page being read", within_s=60)
        time.sleep(0.7)
        children = model.children()
        began = time.perf_counter()
        cancelled_s(stand, run_id)
        _, alive = psutil.wait_procs(children, timeout=5)
        assert not alive, "the child outlived the run"
        waits.setdefault("ocr", []).append(time.perf_counter() - began)
        run_ids.append(run_id)
    found = statuses(stand, run_ids)
    item = report(stand, "cancel", [])
    item.runs = len(run_ids)
    item.lost_runs = len(run_ids) - found.get("cancelled", 0)
    item.detail = {f"cancel_{kind}_max_s": round(max(values), 3) for kind, values in waits.items()}
    return item


def cancelled_s(stand: Stand, run_id: uuid.UUID) -> float:
    """Cancel a run and return the seconds until it is."""
    with stand.look() as connection:
        began = time.perf_counter()
        stand.door.cancel_run(run_id, requested_by="bench@example.com")
        sql = "SELECT status = 'cancelled' FROM run WHERE id = %s"
        until(lambda: connection.execute(sql, (run_id,)).fetchone() == (True,), "the end", within_s=20, every_s=0.01)
        return time.perf_counter() - began


def reading(stand: Stand, run_id: uuid.UUID) -> bool:
    """Tell whether a model worker carries the run's node."""
    return bool(stand.sql("SELECT 1 FROM node_run WHERE run_id = %s AND status = 'running'", run_id))


def long_document(pages: int = 12) -> bytes:
    """Return a PDF whose every page takes Tesseract a while."""
    with Image.open(sample_image_path()) as picture:
        page = picture.convert("L")
        copies = [page.rotate(0.2 * number, fillcolor=255) for number in range(pages)]
    content = io.BytesIO()
    copies[0].save(content, "PDF", save_all=True, append_images=copies[1:], resolution=200)
    return content.getvalue()


def stop_workers(stand: Stand) -> None:
    """Stop every worker, so that the next fault begins with its own."""
    for worker in list(stand.workers.values()):
        stand.stop_worker(worker)


if __name__ == "__main__":
    main()
