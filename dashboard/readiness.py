"""Whether the database has the schema this version needs; watched, so that a migration is noticed without a restart."""

import asyncio
from datetime import timedelta
from enum import StrEnum

from anyio import to_thread
from sqlalchemy import Engine

from analytics.core.errors import ConfigError, DependencyError
from analytics.core.logging import get_logger
from analytics.store.migrate import require_current

_SOON = timedelta(seconds=3)
_LATER = timedelta(seconds=60)
_log = get_logger(__name__)


class SchemaState(StrEnum):
    """What is known about the schema."""

    UNKNOWN = "unknown"
    """PostgreSQL has not answered yet."""
    CURRENT = "current"
    WRONG = "wrong"
    """Older or newer than this version needs, or empty."""


class SchemaWatch:
    """Keeps the last known state of the schema."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.state = SchemaState.UNKNOWN
        self.problem: str | None = None
        """What is wrong and what to run, when :attr:`state` is wrong."""

    def check(self) -> SchemaState:
        """Look now; while PostgreSQL is away the last state stands."""
        try:
            require_current(self._engine)
        except ConfigError as error:
            if self.state is not SchemaState.WRONG:
                _log.error("schema_wrong", reason=error.message)
            self.state, self.problem = SchemaState.WRONG, error.message
        except DependencyError as error:
            _log.warning("schema_not_checked", reason=error.message)
        else:
            self.state, self.problem = SchemaState.CURRENT, None
        return self.state

    async def watch(self) -> None:
        """Look again and again until cancelled: often while something is wrong, seldom when all is well."""
        while True:
            state = await to_thread.run_sync(self.check)
            await asyncio.sleep((_LATER if state is SchemaState.CURRENT else _SOON).total_seconds())
