"""Checkpoints, committed in groups: what arrives while one commit is under way goes out with the next.

One task writes, on one connection, all statements of a batch in one round trip. The first locks the rows of
``run_active``; only what belongs to runs that are still ours (owner and epoch) is stored, so that a worker whose lease
ran out cannot overwrite its successor. While PostgreSQL is away the batch is kept and tried again.

The driver is spoken to directly: over SQLAlchemy a batch costs more than the node it stores (ADR 0009).
"""

import asyncio
import contextlib
import uuid
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, LiteralString

import psycopg
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from analytics.core.errors import DependencyError, InvariantError
from analytics.core.ids import new_id
from analytics.core.logging import get_logger
from analytics.store.engine import translated
from worker.doors.control import CONTROL_CHANNEL
from worker.doors.queueing import RUNS_CHANNEL
from worker.workflow import statements
from worker.workflow.artifacts import count_stored
from worker.workflow.literals import array, arrays
from worker.workflow.records import (
    AttemptRecord,
    Change,
    NodeRecord,
    Outcome,
    RunLostError,
    RunRecord,
    WaitEnd,
    WaitRecord,
)

ANNOUNCE_AFTER_S = 0.03
"""A node that ends sooner is not written down as running first."""

_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 2.0
_RUNS_PER_NOTE = 150
_LOST = Outcome(kept=False)
_KEPT = Outcome(kept=True)

_Key = tuple[uuid.UUID, int, str, int]
_Arrays = dict[str, Any]


class Checkpointer:
    """Stores changes for one worker process; belongs to one event loop."""

    def __init__(self, engine: AsyncEngine, *, owner: str) -> None:
        self._engine = engine
        self._owner = owner
        self._pending: list[Change] = []
        self._announced: dict[_Key, tuple[float, Change]] = {}
        self._arrived = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._held: AsyncConnection | None = None
        self._driver: psycopg.AsyncConnection[Any] | None = None
        self.commits = 0
        """How many transactions were committed."""
        self.records = 0
        """How many nodes they held."""

    def submit(self, change: Change) -> None:
        """Store *change* with the next commit, then call its ``then``."""
        if self._announced:
            for node in change.nodes:
                self._announced.pop((node.run_id, node.epoch, node.node_id, node.map_index), None)
        self._pending.append(change)
        self._arrived.set()

    def announce(self, change: Change) -> None:
        """Store the one node of *change* in a moment, unless a later change of the node comes first."""
        node = change.nodes[0]
        loop = asyncio.get_running_loop()
        self._announced[node.run_id, node.epoch, node.node_id, node.map_index] = (
            loop.time() + ANNOUNCE_AFTER_S,
            change,
        )
        if self._alarm is None:
            self._alarm = loop.call_later(ANNOUNCE_AFTER_S, self._ring)

    async def store(self, change: Change) -> None:
        """Store *change*; return once it is committed.

        Raises:
            RunLostError: If the run is no longer ours; nothing was stored.
            InvariantError: If PostgreSQL refuses it; nothing was stored.
        """
        settled: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        change.then = lambda outcome: None if settled.done() else settled.set_result(outcome)
        self.submit(change)
        outcome = await settled
        if outcome.refusal is not None:
            raise InvariantError(f"PostgreSQL refuses a checkpoint: {outcome.refusal}")
        if not outcome.kept:
            raise RunLostError(f"The run {change.run_id} is no longer ours.")

    async def write_forever(self) -> None:
        """Write what arrives, until cancelled."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                self._collect_announced()
                while self._pending:
                    batch, self._pending = self._pending, []
                    await self._write(batch)
        finally:
            await self._drop()

    def _ring(self) -> None:
        self._alarm = None
        self._arrived.set()

    def _collect_announced(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        due = deque[_Key]()
        for key, (at, _) in self._announced.items():
            if at > now:
                break
            due.append(key)
        self._pending += [self._announced.pop(key)[1] for key in due]
        if self._announced and self._alarm is None:
            first_at = next(iter(self._announced.values()))[0]
            self._alarm = loop.call_at(first_at, self._ring)

    async def _write(self, batch: list[Change]) -> None:
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                ours, parked = await self._commit(batch)
            except DependencyError as error:
                get_logger(__name__).warning("checkpoint waits", changes=len(batch), error=error.message)
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
            except psycopg.Error as error:
                await self._isolate(batch, error)
                return
            else:
                self.commits += 1
                _settle(batch, ours, parked)
                return

    async def _isolate(self, batch: list[Change], error: psycopg.Error) -> None:
        """Store the changes one by one, because one of them is refused."""
        if len(batch) > 1:
            for change in batch:
                await self._write([change])
            return
        reason = str(error)[:300]
        get_logger(__name__).error("checkpoint refused", error=reason)
        if batch[0].then is not None:
            batch[0].then(Outcome(kept=False, refusal=reason))

    async def _commit(self, batch: Sequence[Change]) -> tuple[set[tuple[uuid.UUID, int]], Mapping[uuid.UUID, str]]:
        """Store *batch*; return the runs that are ours, and what became of those that were parked.

        Raises:
            DependencyError: If PostgreSQL does not answer; nothing is known of the batch, and it is safe to repeat.
            psycopg.Error: If PostgreSQL refuses a change; nothing was stored.
        """
        driver = await self._connection()
        try:
            async with driver.pipeline():
                locked = await _lock(driver, batch)
                self.records += await _send_nodes(driver, self._owner, batch)
                await _send_rest(driver, self._owner, batch)
                parks = await _send_ends(driver, self._owner, batch)
                await _notify(driver, batch)
                await driver.commit()
            ours = {
                (row[0], row[1]) for row in await locked.fetchall() if row[2] == self._owner and row[3] == "running"
            }
            parked = {row[0]: row[1] for row in await parks.fetchall()} if parks is not None else {}
        except psycopg.Error as error:
            if not (driver.closed or isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))):
                await driver.rollback()
                raise
            await self._drop()
            raise DependencyError(
                f"PostgreSQL did not take a checkpoint ({str(error).strip()[:200]}); it waits.", part="postgres"
            ) from error
        return ours, parked

    async def _connection(self) -> psycopg.AsyncConnection[Any]:
        if self._driver is None:
            with translated():
                self._held = await self._engine.connect()
                raw = await self._held.get_raw_connection()
            driver = raw.driver_connection
            assert isinstance(driver, psycopg.AsyncConnection)  # noqa: S101 - our engines have no other driver
            self._driver = driver
        return self._driver

    async def _drop(self) -> None:
        """Give the connection up; what was under way on it is rolled back by PostgreSQL."""
        held, self._held, self._driver = self._held, None, None
        if held is not None:
            with contextlib.suppress(psycopg.Error):
                await held.invalidate()
                await held.close()


def _settle(batch: Iterable[Change], ours: set[tuple[uuid.UUID, int]], parked: Mapping[uuid.UUID, str]) -> None:
    for change in batch:
        if change.then is None:
            continue
        if (change.run_id, change.epoch) not in ours:
            change.then(_LOST)
        elif change.park is not None:
            change.then(Outcome(kept=True, parked_as=parked.get(change.run_id)))
        else:
            change.then(_KEPT)


async def _lock(driver: psycopg.AsyncConnection[Any], batch: Sequence[Change]) -> psycopg.AsyncCursor[Any]:
    with_parents = any(change.end is not None and change.has_parent for change in batch)
    statement = statements.LOCK_WITH_PARENTS if with_parents else statements.LOCK
    return await driver.execute(statement, {"ids": list({change.run_id for change in batch})})


async def _send_nodes(driver: psycopg.AsyncConnection[Any], owner: str, batch: Sequence[Change]) -> int:
    newest: dict[_Key, NodeRecord] = {}
    for change in batch:
        for node in change.nodes:
            newest[node.run_id, node.epoch, node.node_id, node.map_index] = node
    if newest:
        values: _Arrays = {**arrays(list(newest.values()), NodeRecord._fields), "owner": owner}
        await driver.execute(statements.NODES, values)
    return len(newest)


async def _send_rest(driver: psycopg.AsyncConnection[Any], owner: str, batch: Sequence[Change]) -> None:
    """Send what only some batches have."""
    pieces: tuple[tuple[LiteralString, str, tuple[str, ...]], ...] = (
        (statements.ATTEMPTS, "attempts", AttemptRecord._fields),
        (statements.WAITS, "waits", WaitRecord._fields),
        (statements.WAIT_ENDS, "wait_ends", WaitEnd._fields),
    )
    for statement, kind, fields in pieces:
        rows = [(change, item) for change in batch for item in getattr(change, kind)]
        if rows:
            values = _fence(owner, [change for change, _ in rows])
            values |= arrays([item for _, item in rows], fields)
            await driver.execute(statement, values)
    for change in batch:
        for wait in change.waits:
            if wait.kind == "signal":
                await driver.execute(
                    statements.TAKE_SIGNAL,
                    {
                        "run_id": change.run_id,
                        "epoch": change.epoch,
                        "owner": owner,
                        "name": wait.name,
                        "node_id": wait.node_id,
                        "map_index": wait.map_index,
                    },
                )
    await _send_events(driver, owner, batch)
    await _send_artifacts(driver, owner, batch)


async def _send_events(driver: psycopg.AsyncConnection[Any], owner: str, batch: Sequence[Change]) -> None:
    rows = [(change, event) for change in batch for event in change.events]
    if rows:
        values = _fence(owner, [change for change, _ in rows]) | {
            "id": [new_id() for _ in rows],
            "kind": [event.kind for _, event in rows],
            "node_id": [event.node_id for _, event in rows],
            "map_index": [event.map_index for _, event in rows],
            "data": [event.data for _, event in rows],
        }
        await driver.execute(statements.EVENTS, values)


async def _send_artifacts(driver: psycopg.AsyncConnection[Any], owner: str, batch: Sequence[Change]) -> None:
    rows = [(change, artifact) for change in batch for artifact in change.artifacts]
    if rows:
        names = ("id", "node_id", "map_index", "name", "media_type", "size_bytes", "sha256", "content")
        values = _fence(owner, [change for change, _ in rows])
        values |= {name: [getattr(artifact, name) for _, artifact in rows] for name in names}
        await driver.execute(statements.ARTIFACTS, values)
        count_stored(artifact for _, artifact in rows)


async def _send_ends(
    driver: psycopg.AsyncConnection[Any], owner: str, batch: Sequence[Change]
) -> psycopg.AsyncCursor[Any] | None:
    """Send ends and parks, last, because what they change is what the fence looks at."""
    ended = [(change, change.end) for change in batch if change.end is not None]
    if ended:
        with_waits = [change for change, _ in ended if change.has_waits]
        if with_waits:
            await driver.execute(statements.CLOSE_WAITS, _fence(owner, with_waits))
        told = [(change, end) for change, end in ended if change.has_parent]
        if told:
            values = _fence(owner, [change for change, _ in told])
            values |= {"status": [end.status for _, end in told], "control": CONTROL_CHANNEL}
            await driver.execute(statements.TELL_PARENTS, values)
        values = _fence(owner, [change for change, _ in ended])
        values |= arrays([end for _, end in ended], RunRecord._fields)
        await driver.execute(statements.ENDS, values)
    parked = [(change, change.park) for change in batch if change.park is not None]
    if not parked:
        return None
    values = _fence(owner, [change for change, _ in parked])
    values |= {name: [getattr(park, name) for _, park in parked] for name in ("status", "timeout_in_s")}
    return await driver.execute(statements.PARKS, values)


async def _notify(driver: psycopg.AsyncConnection[Any], batch: Sequence[Change]) -> None:
    ids = [str(run_id) for run_id in {change.run_id for change in batch}]
    for start in range(0, len(ids), _RUNS_PER_NOTE):
        payload = ",".join(ids[start : start + _RUNS_PER_NOTE])
        await driver.execute(statements.NOTIFY, {"channel": RUNS_CHANNEL, "payload": payload})
    if any(change.concurrency_key is not None and (change.end or change.park) for change in batch):
        # A run that had to keep its place because of the key may go now.
        await driver.execute(statements.NOTIFY, {"channel": CONTROL_CHANNEL, "payload": "claim:"})


def _fence(owner: str, changes: Sequence[Change]) -> _Arrays:
    return {
        "owner": owner,
        "run_id": array(change.run_id for change in changes),
        "run_created_at": array(change.run_created_at for change in changes),
        "epoch": array(change.epoch for change in changes),
    }
