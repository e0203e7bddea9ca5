"""The tools: questions about objectives, answered from the ledger with the numbers that pages and reports show."""

import functools
from collections.abc import Awaitable, Callable
from datetime import datetime
from importlib.metadata import version
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.core.errors import HelmsightError, NotFoundError
from analytics.slo import SloState, SloStatus, slo_report
from analytics.store.engine import async_session_scope
from dashboard.context import get_context
from dashboard.mcp_server.answers import Slo, SloList, slo_of

P = ParamSpec("P")
T = TypeVar("T")

_READS = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False, destructive_hint=False)
_INSTRUCTIONS = (
    "Service level objectives and their error budgets. Begin with list_slos; get_slo tells all of one, explain_burn"
    " what spends its budget, what_if what another target or window would mean, backtest what its alerts would have"
    " done. Shares are 0 to 1, times UTC; null means that nothing was measured, never that all is well."
)

SloId = Annotated[str, Field(max_length=100, description="Id of the objective, from list_slos.")]


async def list_slos(
    *,
    state: Annotated[SloState | None, Field(description="Only those in this state.")] = None,
    service: Annotated[str | None, Field(max_length=100, description="Only those of this service.")] = None,
) -> SloList:
    """List the objectives with state, target, share of good events and error budget left, worst budget first."""
    report = await _ask(slo_report, now=utc_now())
    wanted = [
        status
        for status in report.statuses
        if (state is None or status.state is state) and (service is None or status.objective.service == service)
    ]
    return SloList(slos=[slo_of(status) for status in sorted(wanted, key=_budget_left)])


async def get_slo(slo_id: SloId) -> Slo:
    """Tell how one objective stands: definition, error budget in events and minutes, burn rates, coverage."""
    return slo_of(await _ask(_status, slo_id, now=utc_now()))


_TOOLS: tuple[tuple[str, Callable[..., Awaitable[Any]]], ...] = (
    ("List objectives", list_slos),
    ("Tell of one objective", get_slo),
)


def make_server() -> MCPServer:
    """Return a server with the tools."""
    server = MCPServer(
        "helmsight",
        title="Helmsight objectives",
        instructions=_INSTRUCTIONS,
        version=version("helmsight"),
        log_level="WARNING",
        subscriptions=False,
    )
    for title, tool in _TOOLS:
        server.add_tool(_answering(tool), title=title, annotations=_READS)
    return server


def _answering(tool: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Return *tool* with our errors as answers that the agent can read."""

    @functools.wraps(tool)
    async def answer(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await tool(*args, **kwargs)
        except HelmsightError as error:
            raise ToolError(error.message) from error

    return answer


async def _ask(question: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
    async with async_session_scope(get_context().async_engine) as session:
        return await session.run_sync(functools.partial(question, **kwargs), *args)


def _status(session: Session, slo_id: str, *, now: datetime) -> SloStatus:
    statuses = slo_report(session, now=now, ids=[slo_id]).statuses
    if not statuses:
        raise NotFoundError(f"There is no objective called {slo_id!r}; list_slos names them.", slo_id=slo_id)
    return statuses[0]


def _budget_left(status: SloStatus) -> float:
    return status.budget.remaining_ratio if status.budget is not None else 2.0
