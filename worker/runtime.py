"""The scope of one job and of one attempt at a node: correlation id, metrics, and what becomes of errors.

Every job is counted started, then finished, retried or failed, and timed, here and not by hand. An error goes to RQ
as it is; RQ repeats the job only when the error says that trying again may help. This is the one place of the worker
where unknown errors end: a node may raise anything, and a process has to live on.
"""

import functools
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from rq import get_current_job

from analytics.core.errors import HelmsightError
from analytics.core.logging import correlated, get_logger
from analytics.core.telemetry import JOB_SECONDS, JOBS

P = ParamSpec("P")
R = TypeVar("R")

_TRACE_CHARACTERS = 6000

_log = get_logger(__name__)


class NodeTimeoutError(HelmsightError):
    """A node took longer than it may; the work was stopped."""

    code = "timeout"
    status = 504
    retryable = True


class NodeDiedError(HelmsightError):
    """The process that carried a node died or was killed."""

    code = "died"
    retryable = True


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt did not succeed, in a form that can be stored."""

    code: str
    message: str
    retryable: bool
    retry_after_s: float | None = None
    """How long the other side asked us to wait, if it did."""
    part: str | None = None
    """What did not answer, for example ``postgres``; None when it was something else."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as it stands in ``node_run.error``."""
        return {"code": self.code, "message": self.message, "retryable": self.retryable}


def failure_of(error: BaseException) -> Failure:
    """Return *error* as a failure; what we do not know is not worth a second attempt."""
    if isinstance(error, HelmsightError):
        wait = error.context.get("retry_after_s")
        retryable = error.retryable or wait is not None
        part = error.context.get("part")
        return Failure(
            error.code,
            error.message[:2000],
            retryable,
            None if wait is None else float(wait),
            str(part) if part else None,
        )
    message = f"{type(error).__name__}: {error}"[:2000]
    return Failure("unexpected", message, retryable=isinstance(error, OSError))


async def attempted(work: Awaitable[R]) -> R | Failure:
    """Wait for *work* and return what it returns, or the failure of the error it raises; cancellation passes."""
    try:
        return await work
    except Exception as error:  # noqa: BLE001 - an edge: a node may raise anything
        return _logged(error)


def tried(work: Callable[[], R]) -> R | Failure:
    """Call *work* and return what it returns, or the failure of the error it raises."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - an edge: a node or a tick may raise anything
        return _logged(error)


def _logged(error: Exception) -> Failure:
    failure = failure_of(error)
    if failure.code == "unexpected":
        # As text, because a renderer that draws local variables would hold up the event loop for seconds.
        trace = "".join(traceback.format_exception(error, limit=-8))[-_TRACE_CHARACTERS:]
        _log.warning("unexpected error", error=failure.message, trace=trace)
    return failure


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
