"""`helmsight run`: look at a run, cancel it, do it again, read what its nodes wrote."""

import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from analytics.core.clock import utc_now
from analytics.core.errors import InputError, NotFoundError
from analytics.store.engine import session_scope
from analytics.store.queries import runs
from analytics.store.queries.nodes import MOST_LINES, LogRow
from analytics.store.queries.run_log import OVERLAP, run_log
from dashboard.commands.answers import EXIT_DONE, EXIT_FAILED, EXIT_OPEN, Answer, Say, Table
from dashboard.commands.reach import ACTOR, reached
from dashboard.formats import DASH, duration, moment, plural
from worker.enqueue import BulkReport

ENDED = frozenset({"completed", "failed", "cancelled"})
_LOOK_EVERY_S = 0.5


def show(run_id: str) -> Answer:
    """Show a run: how it stands, and each node."""
    with reached() as here, session_scope(here.engine) as session:
        found = _found(runs.run_detail(session, parse_id(run_id)), run_id)
    return Answer(list(_detail_lines(found)), _detail_data(found))


def cancel(run_ids: Sequence[str]) -> Answer:
    """Cancel runs; one that cannot be cancelled does not stop the others."""
    with reached() as here:
        report = here.door.cancel_many([parse_id(item) for item in run_ids], requested_by=ACTOR)
    return _bulk(report, "cancelled")


def retry(
    run_ids: Sequence[str],
    *,
    from_nodes: Sequence[str],
    current: bool,
    wait: bool,
    most_s: float | None,
    say: Say,
) -> Answer:
    """Queue runs that keep what was completed and do the rest.

    Args:
        run_ids: Which; with more than one, the other arguments stay as they are by default.
        from_nodes: Do again from these on; none: what failed or was cancelled.
        current: Use the workflow's current version instead of the run's.
        wait: Whether to wait for the end.
        most_s: The longest to wait, in seconds; None: until it ends.
        say: Takes what happens meanwhile.
    """
    wanted = [parse_id(item) for item in run_ids]
    with reached() as here:
        if len(wanted) > 1:
            if from_nodes or current or wait:
                raise InputError("--from, --current and --wait go with one run; nothing was queued.")
            return _bulk(here.door.retry_many(wanted, requested_by=ACTOR, trigger="cli"), "queued again")
        queued = here.door.retry_run(
            wanted[0],
            from_nodes=from_nodes,
            version="current" if current else "same",
            requested_by=ACTOR,
            trigger="cli",
        )
        if wait:
            return follow_to_end(here.engine, queued.run_id, most_s=most_s, say=say)
    return Answer(
        [f"run {queued.run_id} is {queued.status}; it keeps what {wanted[0]} completed"],
        {"run_id": str(queued.run_id), "status": queued.status, "source_run_id": str(wanted[0])},
    )


def logs(
    run_id: str, *, node: str | None, index: int | None, attempt: int | None, limit: int, follow: bool
) -> Iterator[LogRow]:
    """Yield lines that nodes of a run wrote, oldest first; with *follow*, go on until the run has ended.

    Args:
        run_id: Which run.
        node: Only this node; None: all.
        index: Only this item of a fan-out, from 0; None: all.
        attempt: Only this attempt, from 1; None: all.
        limit: The last so many, at first.
        follow: Whether to wait for more.
    """
    wanted = parse_id(run_id)
    seen: dict[tuple[Any, ...], datetime] = {}
    since: datetime | None = None
    was_ended = False
    with reached() as here:
        while True:
            with session_scope(here.engine) as session:
                is_ended = _found(runs.run_head(session, wanted), run_id).row.status in ENDED
                found = run_log(
                    session,
                    wanted,
                    node_id=node,
                    map_index=index,
                    attempt=attempt,
                    since=since,
                    limit=limit if since is None else MOST_LINES,
                )
            fresh = [line for line in found if _key(line) not in seen]
            yield from fresh
            if not follow or (is_ended and was_ended and not fresh):
                return
            seen |= {_key(line): line.at for line in fresh}
            if seen:
                since = max(seen.values())
                seen = {key: at for key, at in seen.items() if at >= since - OVERLAP}
            was_ended = is_ended
            time.sleep(_LOOK_EVERY_S)


def log_line(line: LogRow) -> str:
    """Return a line as a reader sees it."""
    place = line.node_id if line.map_index < 0 else f"{line.node_id}[{line.map_index}]"
    again = f" #{line.attempt}" if line.attempt > 1 else ""
    return f"{line.at:%H:%M:%S.%f}"[:-3] + f" {line.level:<7} {place}{again}: {line.message}"


def log_data(line: LogRow) -> dict[str, Any]:
    """Return a line as JSON."""
    return {
        "at": line.at,
        "level": line.level,
        "node_id": line.node_id,
        "map_index": line.map_index,
        "attempt": line.attempt,
        "seq": line.seq,
        "message": line.message,
    }


def follow_to_end(engine: Engine, run_id: uuid.UUID, *, most_s: float | None, say: Say) -> Answer:
    """Wait for the end of a run and tell *say* when something changes; 0 when it completed, 1 when not, 4 when open."""
    began = time.monotonic()
    told = ""
    statuses: dict[tuple[str, int], str] = {}
    with session_scope(engine) as session:
        since = _found(runs.run_head(session, run_id), str(run_id)).row.created_at
    while True:
        with session_scope(engine) as session:
            head = _found(runs.run_head(session, run_id), str(run_id))
            changed, since = runs.changed_nodes(session, run_id, since)
        statuses |= {(node.node_id, node.map_index): node.status for node in changed}
        inner = [status for (node_id, _), status in statuses.items() if "/" in node_id]
        outer = Counter(status for (node_id, _), status in statuses.items() if "/" not in node_id)
        line = progress(head.row, outer, Counter(inner))
        if line != told:
            say(line)
            told = line
        if head.row.status in ENDED:
            break
        if most_s is not None and time.monotonic() - began >= most_s:
            return Answer([f"run {run_id} is still {head.row.status}; it goes on"], _detail_data(head), EXIT_OPEN)
        time.sleep(_LOOK_EVERY_S)
    with session_scope(engine) as session:
        found = _found(runs.run_detail(session, run_id), str(run_id))
    code = EXIT_DONE if found.row.status == "completed" else EXIT_FAILED
    return Answer(list(_detail_lines(found)), _detail_data(found), code)


def progress(row: runs.RunRow, counts: "Counter[str]", inside: "Counter[str]") -> str:
    """Return in one line how far a run is: its nodes by status, and those *inside* its loops."""
    total = f" of {plural(row.nodes_total, 'node')}" if row.nodes_total else ""
    so_far = f": {_counted(counts)}{total}" if counts else ""
    in_loops = f"; in loops {_counted(inside)}" if inside else ""
    return f"run {row.id} is {row.status.replace('_', ' ')}{so_far}{in_loops}"


def _counted(counts: "Counter[str]") -> str:
    return ", ".join(f"{counts[status]} {status.replace('_', ' ')}" for status in sorted(counts))


def parse_id(text: str) -> uuid.UUID:
    """Return the id of a run.

    Raises:
        InputError: If *text* is none.
    """
    try:
        return uuid.UUID(text)
    except ValueError as error:
        raise InputError(f"{text!r} is not the id of a run; nothing was done.") from error


def _found(detail: runs.RunDetail | None, run_id: str) -> runs.RunDetail:
    if detail is None:
        raise NotFoundError(f"There is no run {run_id}; nothing was done.")
    return detail


def _key(line: LogRow) -> tuple[Any, ...]:
    return line.node_id, line.map_index, line.attempt, line.seq


def _bulk(report: BulkReport, what: str) -> Answer:
    lines = [f"{plural(report.done, 'run')} {what}"] if report.done else []
    lines += [f"{run_id} was not: {reason}" for run_id, reason in report.refused]
    data = {
        "done": report.done,
        "refused": [{"run_id": str(run_id), "reason": reason} for run_id, reason in report.refused],
    }
    return Answer(lines, data, EXIT_FAILED if report.refused else EXIT_DONE)


def _detail_lines(found: runs.RunDetail) -> Iterator[str]:
    row = found.row
    yield f"run       {row.id}"
    yield f"workflow  {row.workflow_name}, version {row.version}"
    place = f", place {found.queue_position} in the queue" if found.queue_position else ""
    wish = ", asked to stop" if found.cancel_requested else ", asked to pause" if found.pause_requested else ""
    yield f"status    {row.status.replace('_', ' ')}{place}{wish}"
    yield f"queued    {moment(row.queued_at)} by {row.requested_by or DASH} ({row.trigger})"
    if row.started_at is not None:
        yield f"started   {moment(row.started_at)} after {duration(row.wait_s)}"
    if row.finished_at is not None:
        yield f"finished  {moment(row.finished_at)} after {duration(row.duration_s)}"
    if row.tags:
        yield f"tags      {', '.join(row.tags)}"
    if found.error:
        at = f" at {found.error['node_id']}" if found.error.get("node_id") else ""
        yield f"error     {found.error.get('message')}{at}"
    if found.nodes:
        yield ""
        yield from _node_table(found.nodes).lines()


def _node_table(nodes: Sequence[runs.NodeRow]) -> Table:
    table = Table(("NODE", "KIND", "STATUS", "ATTEMPT", "TOOK", "NOTE"))
    for node in nodes:
        place = node.node_id if node.map_index < 0 else f"{node.node_id}[{node.map_index}]"
        note = "from the cache" if node.cache_hit else str((node.error or {}).get("message") or "")
        status = node.status.replace("_", " ")
        table.rows.append((place, node.kind, status, str(node.attempt), duration(node.duration_s), note))
    return table


def _detail_data(found: runs.RunDetail) -> dict[str, Any]:
    row = found.row
    return {
        "run_id": str(row.id),
        "workflow": row.workflow_name,
        "version": row.version,
        "status": row.status,
        "trigger": row.trigger,
        "requested_by": row.requested_by,
        "tags": list(row.tags),
        "priority": row.priority,
        "queue_position": found.queue_position,
        "queued_at": row.queued_at,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "wait_s": row.wait_s,
        "duration_s": row.duration_s,
        "params": found.params,
        "output": found.output,
        "error": found.error,
        "read_at": utc_now(),
        "nodes": [
            {
                "node_id": node.node_id,
                "map_index": node.map_index,
                "kind": node.kind,
                "status": node.status,
                "attempt": node.attempt,
                "started_at": node.started_at,
                "finished_at": node.finished_at,
                "duration_s": node.duration_s,
                "cache_hit": node.cache_hit,
                "output": node.output,
                "error": node.error,
            }
            for node in found.nodes
        ],
    }
