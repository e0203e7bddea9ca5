"""The loop that measures this process every half minute and keeps what it found as history."""

import asyncio

from anyio import to_thread

from analytics.core.clock import utc_now
from analytics.core.errors import HelmsightError
from analytics.core.logging import get_logger
from analytics.sources.process import ProcessSampler
from analytics.sources.system import record
from analytics.store.engine import pool_state, session_scope
from dashboard.cache_stats import all_caches, open_sockets, page_sessions
from dashboard.context import AppContext

EVERY_S = 30.0

_log = get_logger(__name__)


async def keep_sampling(context: AppContext) -> None:
    """Measure every half minute until cancelled; what fails is logged, and measured again the next time."""
    sampler = ProcessSampler()
    while True:
        await asyncio.sleep(EVERY_S)
        try:
            await to_thread.run_sync(sample_once, context, sampler)
        except HelmsightError as error:
            _log.warning("process_not_sampled", reason=error.message)


def sample_once(context: AppContext, sampler: ProcessSampler) -> None:
    """Measure this process and keep what was found.

    Raises:
        DependencyError: If PostgreSQL is away; what was measured is lost.
    """
    pools = [pool_state(context.engine), pool_state(context.async_engine)]
    connections = {"live": open_sockets(), "page": page_sessions()}
    measurements = sampler.sample(pools, all_caches(context), connections)
    with session_scope(context.engine) as session:
        record(session, measurements, utc_now())
