"""Keep the leases of a worker's runs, and hear what is asked of them: one statement for all, every few seconds."""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from analytics.store.engine import translated

BEATS_PER_LEASE = 3

_RENEW = text(
    "WITH mine AS (SELECT run_id FROM run_active WHERE owner = :owner AND status = 'running'"
    " ORDER BY run_id FOR UPDATE)"
    " UPDATE run_active a SET lease_until = now() + :lease FROM mine WHERE a.run_id = mine.run_id"
    " RETURNING a.run_id, a.epoch, a.cancel_requested, a.pause_requested"
)


@dataclass(frozen=True, slots=True)
class Held:
    """A run that is still ours."""

    epoch: int
    cancel_requested: bool
    pause_requested: bool


def beat_s(lease: timedelta) -> float:
    """Return the seconds between two renewals."""
    return lease.total_seconds() / BEATS_PER_LEASE


async def renew(engine: AsyncEngine, *, owner: str, lease: timedelta) -> dict[uuid.UUID, Held]:
    """Renew every lease of *owner*; return the runs it still holds.

    Raises:
        DependencyError: If PostgreSQL does not answer; the leases run on.
    """
    with translated():
        async with engine.begin() as connection:
            rows = await connection.execute(_RENEW, {"owner": owner, "lease": lease})
            return {row.run_id: Held(row.epoch, row.cancel_requested, row.pause_requested) for row in rows}
