"""How commands reach the installation: the store that settings name, or the one that runs on their home."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine

from analytics.core.errors import ConfigError
from analytics.core.settings import Settings, load_settings
from analytics.live.client import connect
from analytics.store.engine import make_engine
from analytics.store.migrate import require_current
from dashboard.processes.addresses import connected
from worker.enqueue import Door
from worker.workflow.kinds import python_call

ACTOR = "cli"


@dataclass(frozen=True, slots=True)
class Reached:
    """An installation within reach."""

    settings: Settings
    engine: Engine
    door: Door


@contextmanager
def reached() -> Iterator[Reached]:
    """Open the installation for the block; Redis is used when there is one.

    Raises:
        ConfigError: If no store is named and none runs here, or its schema is not ours.
        DependencyError: If it does not answer.
    """
    settings = connected(load_settings())
    if settings.store.dsn is None:
        raise ConfigError(
            f"No Helmsight runs on {settings.home} and no store is named, so nothing was done. Start `helmsight up`,"
            " or set HELMSIGHT_STORE__DSN and HELMSIGHT_REDIS__URL to those of yours."
        )
    know_settings(settings)
    engine = make_engine(settings, role="cli")
    redis = connect(settings) if settings.redis.url is not None else None
    try:
        require_current(engine)
        yield Reached(settings, engine, Door(engine, redis, settings))
    finally:
        engine.dispose()
        if redis is not None:
            redis.close()


def know_settings(settings: Settings) -> None:
    """Let definitions be checked against what *settings* allow."""
    python_call.allow(settings.worker.python_allowed)
