"""What the nodes of a run wrote, all of them together in the order of time."""

import uuid
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.core.clock import require_aware
from analytics.core.errors import InputError
from analytics.store.queries.nodes import MOST_LINES, LogRow

OVERLAP = timedelta(seconds=2)
"""Lines are written in batches, so one may be stored after another that is younger."""


def run_log(
    session: Session,
    run_id: uuid.UUID,
    *,
    node_id: str | None = None,
    map_index: int | None = None,
    attempt: int | None = None,
    since: datetime | None = None,
    limit: int = 500,
) -> list[LogRow]:
    """Return lines of a run, oldest first.

    Args:
        session: The caller's transaction.
        run_id: The run.
        node_id: Only of this node; None: of all.
        map_index: Only of this item of a fan-out; None: of all.
        attempt: Only of this attempt, from 1; None: of all.
        since: Lines from two seconds before this moment on, so some that were read before come again; None: the last
            ones.
        limit: How many at most, 1 to 2,000.
    """
    if not 1 <= limit <= MOST_LINES:
        raise InputError(f"1 to {MOST_LINES} lines can be read at once, not {limit}; nothing was read.")
    wanted = {
        "node_id": ("node_id = :node_id", node_id),
        "map_index": ("map_index = :map_index", map_index),
        "attempt": ("attempt = :attempt", attempt),
        "since": ("at >= :since", None if since is None else require_aware(since) - OVERLAP),
    }
    conditions = [condition for condition, value in wanted.values() if value is not None]
    order = "at, node_id, map_index, attempt, seq"
    newest = "at DESC, node_id DESC, map_index DESC, attempt DESC, seq DESC"
    rows = session.execute(
        text(
            "SELECT * FROM (SELECT node_id, map_index, attempt, seq, at, level, message FROM node_log"  # noqa: S608
            " WHERE run_id = :run_id AND run_created_at = (SELECT created_at FROM run WHERE id = :run_id)"
            f"{''.join(f' AND {condition}' for condition in conditions)}"
            f" ORDER BY {newest if since is None else order} LIMIT :limit) found ORDER BY {order}"
        ),
        {"run_id": run_id, "limit": limit} | {name: value for name, (_, value) in wanted.items() if value is not None},
    )
    return [LogRow(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name
