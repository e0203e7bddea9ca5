"""Checkpoints, committed in groups: what arrives while one commit is under way goes out with the next.

One task writes. A batch first locks the rows of ``run_active`` that are still ours (owner and epoch), in order of
their ids; only what belongs to those is stored, so that a worker whose lease ran out cannot overwrite its successor.
While PostgreSQL is away the batch is kept and tried again.
"""

import asyncio
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from analytics.core.errors import DependencyError, InvariantError
from analytics.core.logging import get_logger
from analytics.store.engine import translated
from worker.workflow.records import NodeRecord, RunLostError, RunRecord

Record = NodeRecord | RunRecord

_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 2.0

_LOCK = text(
    "SELECT run_id, epoch FROM run_active WHERE run_id = ANY(:ids) AND owner = :owner AND status = 'running'"
    " ORDER BY run_id FOR UPDATE"
)

_NODE_COLUMNS = (
    ("run_id", "uuid"),
    ("run_created_at", "timestamptz"),
    ("node_id", "text"),
    ("map_index", "int4"),
    ("kind", "text"),
    ("status", "text"),
    ("attempt", "int2"),
    ("executor", "text"),
    ("started_at", "timestamptz"),
    ("finished_at", "timestamptz"),
    ("output", "text"),
    ("error", "text"),
)
_NAMES = ", ".join(name for name, _ in _NODE_COLUMNS)
_ARRAYS = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in _NODE_COLUMNS)
_NODES = text(
    f"INSERT INTO node_run ({_NAMES}) SELECT run_id, run_created_at, node_id, map_index, kind,"  # noqa: S608 - constants
    " status, attempt, executor, started_at, finished_at,"
    f" CAST(output AS jsonb), CAST(error AS jsonb) FROM unnest({_ARRAYS}) AS x({_NAMES})"
    " ON CONFLICT (run_id, run_created_at, node_id, map_index) DO UPDATE SET status = EXCLUDED.status,"
    " attempt = EXCLUDED.attempt, executor = EXCLUDED.executor, started_at = EXCLUDED.started_at,"
    " finished_at = EXCLUDED.finished_at, output = EXCLUDED.output, error = EXCLUDED.error"
    " WHERE node_run.status <> 'completed'"
)
_RUNS = text(
    "WITH ended AS (SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:created AS timestamptz[]),"
    " CAST(:statuses AS text[]), CAST(:outputs AS text[]), CAST(:errors AS text[]), CAST(:counts AS text[]))"
    " AS x(id, created_at, status, output, error, counts)),"
    " gone AS (DELETE FROM run_active a USING ended e WHERE a.run_id = e.id),"
    " told AS (INSERT INTO run_ended (run_id, run_created_at) SELECT id, created_at FROM ended ON CONFLICT DO NOTHING)"
    " UPDATE run r SET status = e.status, output = CAST(e.output AS jsonb), error = CAST(e.error AS jsonb),"
    " node_counts = CAST(e.counts AS jsonb), finished_at = now()"
    " FROM ended e WHERE r.id = e.id AND r.created_at = e.created_at"
)


@dataclass(frozen=True, slots=True)
class _Pending:
    record: Record
    stored: asyncio.Future[None] | None
    """Resolved at the commit; None when nobody waits."""


class Checkpointer:
    """Stores records for one worker process; belongs to one event loop."""

    def __init__(self, engine: AsyncEngine, *, owner: str) -> None:
        self._engine = engine
        self._owner = owner
        self._pending: list[_Pending] = []
        self._arrived = asyncio.Event()
        self.commits = 0
        """How many transactions were committed."""
        self.records = 0
        """How many records they held."""

    def note(self, record: Record) -> None:
        """Store *record* with the next commit, without waiting; a later record of the node may take its place."""
        self._pending.append(_Pending(record, None))
        self._arrived.set()

    async def store(self, record: Record) -> None:
        """Store *record*; return once it is committed.

        Raises:
            RunLostError: If the run is no longer ours; nothing was stored.
        """
        await self.store_all([record])

    async def store_all(self, records: Sequence[Record]) -> None:
        """Store *records* in one commit.

        Raises:
            RunLostError: If one of the runs is no longer ours.
        """
        loop = asyncio.get_running_loop()
        waiting = [_Pending(record, loop.create_future()) for record in records]
        self._pending += waiting
        self._arrived.set()
        for item in waiting:
            if item.stored is not None:
                await item.stored

    async def write_forever(self) -> None:
        """Write what arrives, until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._pending:
                batch, self._pending = self._pending, []
                await self._write(batch)

    async def _write(self, batch: list[_Pending]) -> None:
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                ours = await self._commit(batch)
            except DependencyError as error:
                get_logger(__name__).warning("checkpoint waits", records=len(batch), error=error.message)
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
            except exc.DBAPIError as error:
                await self._isolate(batch, error)
                return
            else:
                self.commits += 1
                self.records += len(batch)
                _settle(batch, ours)
                return

    async def _isolate(self, batch: list[_Pending], error: exc.DBAPIError) -> None:
        """Store the records one by one, because one of them is refused."""
        if len(batch) > 1:
            for item in batch:
                await self._write([item])
            return
        refusal = InvariantError(f"PostgreSQL refuses a checkpoint: {str(error.orig)[:300]}")
        get_logger(__name__).error("checkpoint refused", error=str(error.orig)[:300])
        if batch[0].stored is not None and not batch[0].stored.done():
            batch[0].stored.set_exception(refusal)

    async def _commit(self, batch: Sequence[_Pending]) -> set[tuple[uuid.UUID, int]]:
        records = [item.record for item in batch]
        with translated():
            async with self._engine.begin() as connection:
                locked = await connection.execute(
                    _LOCK, {"ids": list({record.run_id for record in records}), "owner": self._owner}
                )
                ours = {(row.run_id, row.epoch) for row in locked}
                kept = [record for record in records if (record.run_id, record.epoch) in ours]
                await _store_nodes(connection, [record for record in kept if isinstance(record, NodeRecord)])
                await _store_runs(connection, [record for record in kept if isinstance(record, RunRecord)])
        return ours


def _settle(batch: Iterable[_Pending], ours: set[tuple[uuid.UUID, int]]) -> None:
    for item in batch:
        if item.stored is None or item.stored.done():
            continue
        if (item.record.run_id, item.record.epoch) in ours:
            item.stored.set_result(None)
        else:
            item.stored.set_exception(RunLostError(f"The run {item.record.run_id} is no longer ours."))


async def _store_nodes(connection: AsyncConnection, records: Sequence[NodeRecord]) -> None:
    newest = {(record.run_id, record.node_id, record.map_index): record for record in records}
    if newest:
        values: dict[str, list[Any]] = {
            name: [getattr(record, name) for record in newest.values()] for name, _ in _NODE_COLUMNS
        }
        await connection.execute(_NODES, values)


async def _store_runs(connection: AsyncConnection, records: Sequence[RunRecord]) -> None:
    if records:
        await connection.execute(
            _RUNS,
            {
                "ids": [record.run_id for record in records],
                "created": [record.run_created_at for record in records],
                "statuses": [record.status for record in records],
                "outputs": [record.output for record in records],
                "errors": [record.error for record in records],
                "counts": [record.counts for record in records],
            },
        )
