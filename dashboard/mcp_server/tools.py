"""The tools: questions about objectives and key figures, answered as the API answers them, with the same numbers."""

import functools
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from importlib.metadata import version
from typing import Annotated, Any, Concatenate, ParamSpec, TypeAlias, TypeVar

import orjson
from anyio import to_thread
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, utc_now
from analytics.core.errors import HelmsightError
from analytics.kpi import KpiReading, read_kpis
from analytics.slo import SloState, SloStatus, catalogue, slo_report
from analytics.slo.explain import explain_burn as explanation_of
from analytics.slo.model import CalendarUnit
from analytics.store.engine import session_scope
from dashboard.api.areas import slo_answers as answers
from dashboard.api.areas import slo_trials
from dashboard.api.operations import to_json
from dashboard.context import get_context

P = ParamSpec("P")
T = TypeVar("T")
Answer: TypeAlias = dict[str, Any]

_READS = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False, destructive_hint=False)
_INSTRUCTIONS = (
    "Service level objectives with their error budgets, and key figures. Begin with list_slos; get_slo tells all of"
    " one, explain_burn what spent its budget, what_if what another target or window would mean, backtest what its"
    " alerts would have done. list_kpis tells the key figures. Shares are 0 to 1, times UTC; null means that nothing"
    " was measured, never that all is well."
)

SloId = Annotated[str, Field(max_length=100, description="Id of the objective, from list_slos.")]


async def list_slos(
    *,
    state: Annotated[SloState | None, Field(description="Only those in this state.")] = None,
    service: Annotated[str | None, Field(max_length=100, description="Only those of this service.")] = None,
) -> Answer:
    """List the objectives, least error budget left first: state, target, sli, share of the budget left, burn rates."""
    report = await _ask(slo_report, now=utc_now())
    wanted = [
        status
        for status in report.statuses
        if state in {None, status.state} and service in {None, status.objective.service}
    ]
    return _plain({"summary": report.summary, "slos": [_brief(status) for status in sorted(wanted, key=_left)]})


async def get_slo(slo_id: SloId) -> Answer:
    """Tell how one objective stands and how it is defined.

    ``status`` has the error budget in events and in minutes of a full outage, burn rates by window (1 spends the
    budget in exactly the window of the objective), the alert windows that fire, coverage, groups and members.
    """
    return _plain(await _ask(_detail, slo_id))


async def explain_burn(slo_id: SloId) -> Answer:
    """Tell where the error budget of an objective went.

    What each window that ends now has spent; the hours, the groups, and the deployments and incidents that cost
    most, dearest first, as shares of the whole budget; alerts.
    """
    return _plain(answers.explanation(await _ask(explanation_of, slo_id, now=utc_now())))


async def what_if(
    slo_id: SloId,
    *,
    targets: Annotated[
        list[str | float] | None, Field(max_length=20, description='Such as "99.5%" or 0.995; null for its own.')
    ] = None,
    window: Annotated[
        str | None,
        Field(max_length=20, description='A length like "28d"; day, week, month, quarter, year; null for its own.'),
    ] = None,
    zone: Annotated[str, Field(max_length=64, description="IANA time zone of a window of the calendar.")] = "UTC",
) -> Answer:
    """Tell how an objective would stand with other targets or another window: budget, compliance, pages."""
    found = await _ask(slo_trials.what_ifs, slo_id, now=utc_now(), targets=targets or (), window=_window(window, zone))
    return _plain({"outcomes": found})


async def backtest(
    slo_id: SloId,
    *,
    days: Annotated[int, Field(ge=1, le=90, description="How much of the past to judge.")] = 30,
    min_bad: Annotated[
        int | None, Field(ge=0, le=1_000_000, description="Try this many bad events before an alert.")
    ] = None,
) -> Answer:
    """Tell which pages and tickets the past would have had, which of them false, and how late incidents were told of.

    ``current`` is the policy as it is, ``tried`` the same with *min_bad*.
    """
    return _plain(await _ask(_backtests, slo_id, days=days, min_bad=min_bad))


async def list_kpis(
    *,
    hours: Annotated[int, Field(ge=1, le=9600, description="Over the last so many hours.")] = 24,
    group: Annotated[
        str | None, Field(max_length=50, description="Only those of this group, such as http, agents or models.")
    ] = None,
) -> Answer:
    """List the key figures: value, unit, state, target, the value before, and on how many samples each rests.

    A value is null when nothing was measured: ``no_data`` when its source saw nothing, ``no_source`` when that is away.
    """
    readings = await _ask(_readings, Interval.last(timedelta(hours=hours)))
    return _plain({"kpis": [_figure(reading) for reading in readings if group in {None, reading.kpi.group}]})


_TOOLS: Mapping[str, Callable[..., Awaitable[Answer]]] = {
    "List objectives": list_slos,
    "Tell of one objective": get_slo,
    "Explain what spent a budget": explain_burn,
    "Try targets and windows": what_if,
    "Try alerts on the past": backtest,
    "List key figures": list_kpis,
}


def make_server() -> MCPServer:
    """Return a server with the tools."""
    server = MCPServer(
        "helmsight",
        title="Helmsight",
        instructions=_INSTRUCTIONS,
        version=version("helmsight"),
        log_level="WARNING",
        subscriptions=False,
    )
    for title, tool in _TOOLS.items():
        server.add_tool(_readable(tool), title=title, annotations=_READS)
    return server


def _readable(tool: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Return *tool* with our errors as answers that the agent can read."""

    @functools.wraps(tool)
    async def answer(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await tool(*args, **kwargs)
        except HelmsightError as error:
            raise ToolError(error.message) from error

    return answer


async def _ask(question: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Ask in a thread: what is computed of histories would hold up the event loop."""

    def ask() -> T:
        with session_scope(get_context().engine) as session:
            return question(session, *args, **kwargs)

    return await to_thread.run_sync(ask)


def _plain(answer: object) -> Answer:
    """Return *answer* as the API writes it, without courses that only charts need."""
    found: Answer = _without_series(orjson.loads(to_json(answer)))
    return found


def _without_series(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {name: item for name, item in value.items() if not (name == "series" and isinstance(item, list))}
        return {name: _without_series(item) for name, item in kept.items()}
    return [_without_series(item) for item in value] if isinstance(value, list) else value


def _brief(status: SloStatus) -> Answer:
    objective, budget = status.objective, status.budget
    whole = answers.slo(status)
    return {
        "id": objective.id,
        "title": objective.title,
        "service": objective.service,
        "state": status.state,
        "target": whole.target,
        "window": whole.window,
        "sli": status.sli,
        "compliant": status.compliant,
        "budget_left": None if budget is None else budget.remaining_ratio,
        "burn_rates": whole.burn_rates,
        "coverage": status.coverage_ratio,
        "read_error": status.read_error,
        "includes_demo": status.includes_demo,
    }


def _readings(session: Session, interval: Interval) -> list[KpiReading]:
    return read_kpis(session, get_context().prom, interval)


def _figure(reading: KpiReading) -> Answer:
    return {
        "id": reading.kpi.id,
        "title": reading.kpi.title,
        "group": reading.kpi.group,
        "doc": reading.kpi.doc,
        "value": reading.value,
        "unit": reading.kpi.unit,
        "state": reading.state,
        "target": reading.kpi.target,
        "previous": reading.previous,
        "samples": reading.samples,
        "measured_at": reading.measured_at,
        "since": reading.interval.since,
        "until": reading.interval.until,
        "includes_demo": reading.includes_demo,
    }


def _left(status: SloStatus) -> float:
    return 2.0 if status.budget is None else status.budget.remaining_ratio


def _detail(session: Session, slo_id: str) -> answers.SloDetailOut:
    catalogue.find(session, slo_id)
    entry = next(item for item in catalogue.entries(session) if item.slo_id == slo_id)
    (status,) = slo_report(session, now=utc_now(), ids=[slo_id], group_keys=True).statuses
    return answers.detail(status, entry)


def _backtests(session: Session, slo_id: str, *, days: int, min_bad: int | None) -> answers.BacktestsOut:
    alerting = None if min_bad is None else slo_trials.own_alerting(session, slo_id) | {"min_bad": min_bad}
    return slo_trials.backtests(session, slo_id, now=utc_now(), days=days, alerting=alerting)


def _window(window: str | None, zone: str) -> Mapping[str, str] | None:
    """Return the window in the native form."""
    if window is None:
        return None
    return {"calendar": window, "zone": zone} if window in set(CalendarUnit) else {"rolling": window}
