"""What a kind of node is: its schema, where it runs, and whether it may run twice.

A kind is one file below :mod:`worker.workflow.kinds` with a constant ``KIND``, or an object that another
distribution names in the entry-point group ``helmsight.node_kinds``. Nothing here runs a node.
"""

import enum
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from redis import Redis
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from analytics.core.errors import InvariantError
from analytics.core.settings import Settings

Path = tuple[str | int, ...]


class Transport(enum.StrEnum):
    """Where the work of a node happens."""

    INLINE = "inline"
    """On the worker's event loop: ``async def run(call)``; cancelled where it waits."""
    THREAD = "thread"
    """In a thread of the worker: ``def run(call)``; has to watch ``call.stop``."""
    PROCESS = "process"
    """In a child process of a model worker: ``def run(call)``; killed when it must stop."""
    CONTROL = "control"
    """Nowhere: the engine itself steers it, so it has no ``run``; Helmsight's own kinds only."""


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


class NodeLogger(Protocol):
    """Where a node writes lines for its reader; may be called from any thread, never blocks, never fails."""

    def debug(self, message: str) -> None:
        """Write what helps to find a mistake."""

    def info(self, message: str) -> None:
        """Write what happened."""

    def warning(self, message: str) -> None:
        """Write what is odd, though the node goes on."""

    def error(self, message: str) -> None:
        """Write what went wrong."""


class SilentLog:
    """A :class:`NodeLogger` that keeps nothing, for a node that is called outside a run."""

    def debug(self, message: str) -> None:
        """Keep nothing of *message*."""

    def info(self, message: str) -> None:
        """Keep nothing of *message*."""

    def warning(self, message: str) -> None:
        """Keep nothing of *message*."""

    def error(self, message: str) -> None:
        """Keep nothing of *message*."""


def _no_store(name: str, content: bytes, media_type: str) -> dict[str, Any]:
    raise InvariantError(f"Nothing here keeps artifacts, so {name!r} ({len(content)} bytes, {media_type}) is lost.")


@dataclass(frozen=True, slots=True)
class WorkerResources:
    """Connections a node may use; those that its process does not have are None."""

    engine: Engine | None = None
    async_engine: AsyncEngine | None = None
    reader: AsyncEngine | None = None
    """Of a role that may only read, where there is one."""
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
    map_index: int = -1
    """Which item of a fan-out or which turn of a loop it is, from 0; -1 outside both."""
    log: NodeLogger = field(default_factory=SilentLog)
    """Takes lines for the reader of the run."""
    save: Callable[[str, bytes, str], dict[str, Any]] = _no_store
    """Keeps bytes beside the run, given name, content and media type; returns ``artifact`` (its id), ``name``,
    ``media_type`` and ``size_bytes`` to put into the output."""


def steered(call: NodeCall) -> Any:
    """Stand for the work of a kind that the engine itself steers.

    Raises:
        InvariantError: Always; nothing calls such a kind.
    """
    raise InvariantError(f"{call.node_id!r} is steered by the engine and cannot be called; nothing was run.")


def _nothing_amiss(_: Mapping[str, Any]) -> Iterable[tuple[Path, str]]:
    return ()


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
    run: Callable[[NodeCall], Any] = steered
    """Returns what JSON can say, or an awaitable of it when the transport is ``INLINE``."""
    literals: tuple[str, ...] = ()
    """Keys of ``config`` in which templates are refused, because a value inside would be read as code."""
    warm: Callable[[Settings], None] | None = None
    """Loads what the first node would otherwise wait for; called once in each child that may carry it."""
    observe: Callable[[Mapping[str, Any]], None] | None = None
    """Counts a node's output in the worker's metrics; what a child counts itself nobody reads."""
    cacheable: bool = False
    """Whether the same configuration gives the same result for a while, so that ``cache`` may be set on a node."""
    version: int = 1
    """Part of the key under which results are kept; raise it when the same configuration gives another result."""
    fingerprint: Callable[[Mapping[str, Any], Engine], list[str]] | None = None
    """Returns hashes of what the resolved configuration only names, a document for example; runs in a thread."""
    has_body: bool = False
    """Whether the node carries nodes of its own."""
    lazy: tuple[str, ...] = ()
    """Keys of ``config`` that reach the engine unresolved, because it looks at their templates at its own time."""
    check: Callable[[Mapping[str, Any]], Iterable[tuple[Path, str]]] = _nothing_amiss
    """Yields what is wrong with a configuration that fits the schema, as path inside it and reason; sees templates."""
    docs: str = ""
    """Markdown for the reference: what comes out, what to know, an example."""
