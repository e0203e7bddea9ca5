"""Connections to Redis or Valkey, and the one place where its errors become ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
import redis.asyncio
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from analytics.core.errors import DependencyError
from analytics.core.settings import Settings

_HEALTH_CHECK_S = 30


def connect(settings: Settings) -> redis.Redis:
    """Return a client for threads; it answers in bytes, as RQ needs, and connects at its first command.

    Raises:
        ConfigError: If no server is named.
    """
    return redis.Redis.from_url(
        settings.redis_url, retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 1), **_options(settings)
    )


def connect_async(settings: Settings) -> redis.asyncio.Redis:
    """Return a client for asyncio; it answers in bytes and connects at its first command.

    Raises:
        ConfigError: If no server is named.
    """
    return redis.asyncio.Redis.from_url(settings.redis_url, **_options(settings))


@contextmanager
def redis_errors(doing: str) -> Iterator[None]:
    """Turn errors of the client into ours; *doing* completes "Redis did not answer while …".

    Raises:
        DependencyError: If Redis or Valkey is away, too slow, or refuses.
    """
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError) as error:
        raise DependencyError(
            f"Redis did not answer while {doing}; nothing is lost, PostgreSQL keeps the truth. Try again shortly.",
            part="redis",
        ) from error
    except RedisError as error:
        raise DependencyError(
            f"Redis refused while {doing} ({str(error)[:200]}). Run `helmsight doctor`.", part="redis"
        ) from error


def _options(settings: Settings) -> dict[str, Any]:
    timeout_s = settings.redis.timeout.total_seconds()
    return {
        "decode_responses": False,
        "socket_connect_timeout": timeout_s,
        "socket_timeout": timeout_s,
        "health_check_interval": _HEALTH_CHECK_S,
    }
