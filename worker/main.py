"""One worker process, of one of three kinds; `helmsight worker` and the supervisor start it."""

import logging
from typing import Literal

from analytics.core.logging import configure_logging
from analytics.core.settings import Settings
from analytics.store.engine import make_engine
from analytics.store.migrate import require_current
from worker.workflow.kinds import python_call


def main(kind: Literal["run", "model", "scheduler"], settings: Settings) -> None:
    """Run a worker process until SIGTERM, then give back what it holds.

    Raises:
        ConfigError: If the database does not have the schema of this version; nothing was started.
    """
    configure_logging(level=settings.log.level, json=settings.log.format == "json", part=f"worker-{kind}")
    python_call.allow(settings.worker.python_allowed)
    for talkative in ("alembic", "httpx", "sqlalchemy.pool"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    engine = make_engine(settings, role=f"worker-{kind}")
    try:
        require_current(engine)
    finally:
        engine.dispose()
    match kind:
        case "run":
            from worker.pools.run_worker import run_worker  # noqa: PLC0415 - each kind loads only its own

            run_worker(settings)
        case "model":
            from worker.pools.model_worker import model_worker  # noqa: PLC0415

            model_worker(settings)
        case "scheduler":
            from worker.pools.scheduler import scheduler  # noqa: PLC0415

            scheduler(settings)
