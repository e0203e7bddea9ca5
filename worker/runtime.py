"""The scope of one job: its correlation id, its metrics, and what becomes of its errors.

Every job is counted started, then finished, retried or failed, and timed, here and not by hand. An error goes to RQ
as it is; RQ repeats the job only when the error says that trying again may help.
"""

import functools
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from rq import get_current_job

from analytics.core.errors import HelmsightError
from analytics.core.logging import correlated, get_logger
from analytics.core.telemetry import JOB_SECONDS, JOBS

P = ParamSpec("P")
R = TypeVar("R")

_log = get_logger(__name__)


def job(function: Callable[P, R]) -> Callable[P, R]:
    """Make *function* a job: the decorator of every function that the catalog names."""
    name = function.__name__

    @functools.wraps(function)
    def scoped(*args: P.args, **kwargs: P.kwargs) -> R:
        current: Any = get_current_job()
        meta = current.meta if current is not None else {}
        with correlated(meta.get("correlation_id")):
            return _measured(name, current, functools.partial(function, *args, **kwargs))

    return scoped


def _measured(name: str, current: Any, call: Callable[[], R]) -> R:
    JOBS.labels(name, "started").inc()
    started = time.perf_counter()
    try:
        result = call()
    except Exception as error:
        outcome = "retried" if _may_repeat(current, error) else "failed"
        JOBS.labels(name, outcome).inc()
        _log.warning("job ended with an error", job=name, outcome=outcome, error=str(error)[:500])
        raise
    else:
        JOBS.labels(name, "finished").inc()
        return result
    finally:
        JOB_SECONDS.labels(name).observe(time.perf_counter() - started)


def _may_repeat(current: Any, error: Exception) -> bool:
    """Tell whether RQ shall repeat the job, and take its retries away when it shall not."""
    if current is None or not current.retries_left:
        return False
    if isinstance(error, HelmsightError) and error.retryable:
        return True
    current.retries_left = 0
    return False
