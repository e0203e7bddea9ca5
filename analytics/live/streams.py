"""Streams of events for live viewers: the newest ten thousand, read on from any of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import redis
import redis.asyncio

from analytics.live.client import redis_errors

MAX_EVENTS = 10_000
FROM_START = "0-0"

_PREFIX = "helmsight:stream:"
_FIELD = b"event"
_LONGEST_BLOCK_MS = 2_000


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event of a stream."""

    id: str
    """Where it stands; pass it as ``after_id`` to read on from here."""
    event: Mapping[str, Any]


def publish(client: redis.Redis, stream: str, event: Mapping[str, Any]) -> str:
    """Add *event* to *stream* and return its id; the oldest beyond 10,000 leave.

    Raises:
        DependencyError: If Redis is away.
    """
    with redis_errors(f"publishing to the stream {stream}"):
        written: Any = client.xadd(_PREFIX + stream, _fields(event), maxlen=MAX_EVENTS, approximate=False)
    return str(written.decode())


async def async_publish(client: redis.asyncio.Redis, stream: str, event: Mapping[str, Any]) -> str:
    """Do what :func:`publish` does, for asyncio."""
    with redis_errors(f"publishing to the stream {stream}"):
        written: Any = await client.xadd(_PREFIX + stream, _fields(event), maxlen=MAX_EVENTS, approximate=False)
    return str(written.decode())


def read(
    client: redis.Redis, stream: str, after_id: str = FROM_START, block_ms: int | None = None, *, limit: int = 1000
) -> list[StreamEvent]:
    """Return up to *limit* events after *after_id*, oldest first; empty when none came in time.

    Args:
        client: The connection.
        stream: The stream's name.
        after_id: The id of the last event seen, :data:`FROM_START`, or :func:`last_id` for what comes from now on.
        block_ms: How long to wait for an event; None does not wait. At most 2 s a call, below any command timeout:
            call again with the same id.
        limit: The most events to return.

    Raises:
        DependencyError: If Redis is away.
    """
    with redis_errors(f"reading the stream {stream}"):
        return _events(client.xread({_PREFIX + stream: after_id}, count=limit, block=_block(block_ms)))


async def async_read(
    client: redis.asyncio.Redis,
    stream: str,
    after_id: str = FROM_START,
    block_ms: int | None = None,
    *,
    limit: int = 1000,
) -> list[StreamEvent]:
    """Do what :func:`read` does, for asyncio."""
    with redis_errors(f"reading the stream {stream}"):
        return _events(await client.xread({_PREFIX + stream: after_id}, count=limit, block=_block(block_ms)))


def last_id(client: redis.Redis, stream: str) -> str:
    """Return the id of the newest event of *stream*, or :data:`FROM_START` when it has none.

    Raises:
        DependencyError: If Redis is away.
    """
    with redis_errors(f"reading the stream {stream}"):
        newest: Any = client.xrevrange(_PREFIX + stream, count=1)
    return str(newest[0][0].decode()) if newest else FROM_START


def _fields(event: Mapping[str, Any]) -> dict[Any, Any]:
    return {_FIELD: orjson.dumps(dict(event))}


def _block(block_ms: int | None) -> int | None:
    # BLOCK 0 would wait for ever.
    return None if block_ms is None or block_ms <= 0 else min(block_ms, _LONGEST_BLOCK_MS)


def _events(reply: Any) -> list[StreamEvent]:
    """Return the events of a reply, which is a list of pairs in RESP2 and a mapping in RESP3."""
    if not reply:
        return []
    if isinstance(reply, dict):
        batches = [entries for value in reply.values() for entries in value]
    else:
        batches = [entries for _, entries in reply]
    flat = [entry for batch in batches for entry in (batch if isinstance(batch, list) else [batch])]
    return [StreamEvent(entry_id.decode(), orjson.loads(fields[_FIELD])) for entry_id, fields in flat]
