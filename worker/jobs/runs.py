"""Jobs of the queue ``runs``."""

import uuid
from collections.abc import Callable

from analytics.core.errors import InvariantError
from worker.runtime import job

_claim: Callable[[], uuid.UUID | None] | None = None


def bind(claim: Callable[[], uuid.UUID | None]) -> None:
    """Say how a run is claimed in this process; the run worker does so at its start. Said twice, the later holds."""
    global _claim  # noqa: PLW0603 - one worker a process
    _claim = claim


@job
def wake(*, run_id: str) -> None:
    """Claim the best queued run, which need not be *run_id*.

    Safe to run twice: without a queued run it does nothing.
    """
    del run_id
    if _claim is None:
        raise InvariantError("A wake token reached a process that carries no runs; the reconciler sends another.")
    _claim()
