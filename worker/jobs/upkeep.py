"""Jobs of the queue ``upkeep``, which the scheduler process works off."""

from collections.abc import Callable

from analytics.core.errors import InvariantError
from worker.runtime import job

_refresh: Callable[[], object] | None = None


def bind(refresh: Callable[[], object]) -> None:
    """Say how MCP servers are asked in this process; the scheduler does so at its start.

    Said twice, the later holds.
    """
    global _refresh  # noqa: PLW0603 - one scheduler a process
    _refresh = refresh


@job
def refresh_mcp() -> None:
    """Ask every MCP server for its tools again. Safe to run twice: the later answer replaces the earlier."""
    if _refresh is None:
        raise InvariantError("The lists of tools were asked for in a process that keeps none; nothing was read.")
    _refresh()
