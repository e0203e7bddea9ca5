"""What a kind of node is: its schema, where it runs, and whether it may run twice.

A kind is one file below :mod:`worker.workflow.kinds` with a constant ``KIND``, or an object that another
distribution names in the entry-point group ``helmsight.node_kinds``. Nothing here runs a node.
"""

import enum
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from redis import Redis
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from analytics.core.settings import Settings


class Transport(enum.StrEnum):
    """Where the work of a node happens."""

    INLINE = "inline"
    """On the worker's event loop: ``async def run(call)``; cancelled where it waits."""
    THREAD = "thread"
    """In a thread of the worker: ``def run(call)``; has to watch ``call.stop``."""
    PROCESS = "process"
    """In a child process of a model worker: ``def run(call)``; killed when it must stop."""


class Idempotence(enum.StrEnum):
    """What happens when a node whose worker died is run again."""

    IDEMPOTENT = "idempotent"
    """Nothing new: it reads, or computes."""
    RETRY_SAFE = "retry_safe"
    """Nothing new as long as the other side honours ``call.key``."""
    UNSAFE = "unsafe"
    """Something happens twice, so it is never repeated by itself."""


class McpCaller(Protocol):
    """What a node needs of the MCP session pool."""

    async def call(
        self,
        server: str,
        tool: str,
        arguments: Mapping[str, Any],
        timeout: timedelta,  # noqa: ASYNC109 - the pool ends the call on the server too
    ) -> dict[str, Any]:
        """Call *tool* of *server* and return its result."""


@dataclass(frozen=True, slots=True)
class WorkerResources:
    """Connections a node may use; those that its process does not have are None."""

    engine: Engine | None = None
    async_engine: AsyncEngine | None = None
    redis: Redis | None = None
    mcp: McpCaller | None = None


@dataclass(frozen=True, slots=True)
class NodeCall:
    """One attempt at one node."""

    run_id: uuid.UUID
    run_created_at: datetime
    node_id: str
    attempt: int
    """From 1."""
    key: str
    """The same on every attempt: for ``Idempotency-Key`` and the like."""
    config: Mapping[str, Any]
    """The node's configuration with every template resolved, valid against the kind's schema."""
    timeout: timedelta
    settings: Settings
    resources: WorkerResources
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the run was cancelled or the time is over; threads look at it between steps."""


@dataclass(frozen=True, slots=True)
class NodeKind:
    """A kind of node, registered by name."""

    name: str
    """``subject.verb``, for example ``http.request``."""
    summary: str
    """One sentence for the reader of a list."""
    config_schema: Mapping[str, Any]
    """JSON Schema of the node's ``config``."""
    transport: Transport
    idempotence: Idempotence
    run: Callable[[NodeCall], Any]
    """Returns what JSON can say, or an awaitable of it when the transport is ``INLINE``."""
    literals: tuple[str, ...] = ()
    """Keys of ``config`` in which templates are refused, because a value inside would be read as code."""
    warm: Callable[[Settings], None] | None = None
    """Loads what the first node would otherwise wait for; called once in each child that may carry it."""
    observe: Callable[[Mapping[str, Any]], None] | None = None
    """Counts a node's output in the worker's metrics; what a child counts itself nobody reads."""
