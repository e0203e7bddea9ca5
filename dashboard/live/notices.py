"""What PostgreSQL tells about runs, heard over one connection a process and handed to whoever watches a run.

A notice says only that something changed; what, is read from the tables. Notices can be lost, so readers look again
by themselves now and then, and everybody is woken when the connection was made anew.
"""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psycopg
from sqlalchemy import make_url

from analytics.core.logging import get_logger
from analytics.store.engine import driver_url

RUNS_CHANNEL = "helmsight_runs"
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_log = get_logger(__name__)


class RunNotices:
    """The listener of one process; the first watcher opens the connection and the last one closes it."""

    def __init__(self, dsn: Callable[[], str]) -> None:
        self._dsn = dsn
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._task: asyncio.Task[None] | None = None
        self.is_listening = False
        """Whether notices arrive now."""

    @asynccontextmanager
    async def watching(self, run_id: uuid.UUID) -> AsyncIterator[asyncio.Event]:
        """Give an event that is set whenever the run may have changed; who waits for it clears it."""
        changed = asyncio.Event()
        self._watchers.setdefault(str(run_id), set()).add(changed)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._listen(), name="run-notices")
        try:
            yield changed
        finally:
            watchers = self._watchers[str(run_id)]
            watchers.discard(changed)
            if not watchers:
                del self._watchers[str(run_id)]
            if not self._watchers:
                await self.close()

    async def close(self) -> None:
        """Stop listening; safe to run twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self.is_listening = False

    def hear(self, payload: str) -> None:
        """Wake who watches one of the runs that *payload* names, ids with commas between."""
        for run_id in payload.split(","):
            for changed in self._watchers.get(run_id.strip(), ()):
                changed.set()

    async def _listen(self) -> None:
        url = make_url(driver_url(self._dsn())).set(drivername="postgresql")
        address = url.render_as_string(hide_password=False)
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    address, autocommit=True, application_name="helmsight-dashboard-listen", connect_timeout=5
                ) as connection:
                    await connection.execute(f"LISTEN {RUNS_CHANNEL}")
                    self.is_listening, pause_s = True, _FIRST_PAUSE_S
                    self._wake_all()
                    async for notice in connection.notifies():
                        self.hear(notice.payload)
            except psycopg.Error as error:
                _log.warning("run_notices_lost", reason=str(error).strip().split("\n")[0])
            finally:
                self.is_listening = False
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _wake_all(self) -> None:
        for watchers in self._watchers.values():
            for changed in watchers:
                changed.set()
