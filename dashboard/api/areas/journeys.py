"""Journeys: funnels, saved or asked for this once, and paths."""

from datetime import timedelta
from typing import Any

from pydantic import Field
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.journeys.acts import MOST_ROWS, MOST_ROWS_PATIENT
from analytics.journeys.funnels import LONGEST_WINDOW, MOST_STEPS, FunnelResult, FunnelSpec, Step, measure
from analytics.journeys.paths import MOST_DEPTH, SESSION_GAP, Paths, paths
from analytics.journeys.saved_funnels import SavedFunnel, delete_funnel, get_funnel, list_funnels, save_funnel
from dashboard.api.operations import Asked, Call, Operation, RangeQuery
from dashboard.auth.roles import Role

_BY = "Split by this of the first step: source, service, project, props.<name>, lead.score, lead.source, lead.owner,"
_MOST_GROUPS = 50
_EVENTS = Field(
    default=MOST_ROWS,
    ge=1_000,
    le=MOST_ROWS_PATIENT,
    description="Events that are looked at; where there are more, a share of the people is, and counts are scaled up.",
)


class StepAsked(Asked):
    """What an event has to be to count as a step."""

    kind: str = Field(min_length=1, max_length=200, description="Such as `web.page_view`; `web.*`: all that begin so.")
    label: str = Field(default="", max_length=200)
    where: dict[str, str] = Field(default_factory=dict, description="By source, service or props.<name>.")


class FunnelAsked(Asked):
    """Steps, and how long people have for them."""

    steps: list[StepAsked] = Field(min_length=2, max_length=MOST_STEPS)
    window_s: float = Field(gt=0, le=LONGEST_WINDOW.total_seconds(), description="From the first step to the last.")

    def spec(self) -> FunnelSpec:
        """Return the funnel."""
        steps = tuple(Step(step.kind, step.label, step.where) for step in self.steps)
        return FunnelSpec(steps, timedelta(seconds=self.window_s))


class FunnelSaved(FunnelAsked):
    """A funnel with its name."""

    name: str = Field(min_length=1, max_length=100)


class FunnelQuery(RangeQuery):
    """When the first step was taken, and what to split by."""

    by: str | None = Field(default=None, max_length=200, description=f"{_BY} lead.status.")
    most: int = Field(default=10, ge=1, le=_MOST_GROUPS, description="Groups that are told apart.")
    events: int = _EVENTS


class PathsQuery(RangeQuery):
    """Which visits."""

    start: str | None = Field(default=None, max_length=100, description="From this kind of event on.")
    depth: int = Field(default=4, ge=1, le=MOST_DEPTH)
    most: int = Field(default=6, ge=1, le=_MOST_GROUPS, description="Kinds told apart at each step.")
    gap_s: float = Field(
        default=SESSION_GAP.total_seconds(), gt=0, le=30 * 86400, description="So long without an event ends a visit."
    )
    events: int = _EVENTS


async def list_saved(call: Call) -> list[SavedFunnel]:
    """Return the funnels that are saved."""
    return await call.ask(list_funnels)


async def create_funnel(call: Call) -> SavedFunnel:
    """Save a funnel."""
    body = call.body(FunnelSaved)
    return await call.ask(save_funnel, body.name, body.spec(), actor=call.viewer.actor)


async def change_funnel(call: Call) -> SavedFunnel:
    """Change a funnel."""
    body = call.body(FunnelSaved)
    return await call.ask(
        save_funnel, body.name, body.spec(), actor=call.viewer.actor, funnel_id=call.path("funnel_id")
    )


async def remove_funnel(call: Call) -> None:
    """Remove a funnel."""
    await call.ask(delete_funnel, call.path("funnel_id"), actor=call.viewer.actor)


async def measure_saved(call: Call) -> FunnelResult:
    """Return how a saved funnel went."""
    query = call.query(FunnelQuery)

    def work(session: Session) -> FunnelResult:
        return _measured(session, get_funnel(session, call.path("funnel_id")).spec, query)

    return await call.ask(work)


async def measure_funnel(call: Call) -> FunnelResult:
    """Return how a funnel went, without saving it."""
    return await call.ask(_measured, call.body(FunnelAsked).spec(), call.query(FunnelQuery))


async def follow_paths(call: Call) -> Paths:
    """Return what people did next."""
    query = call.query(PathsQuery)
    return await call.ask(
        paths,
        query.interval(),
        start=query.start,
        depth=query.depth,
        most=query.most,
        gap=timedelta(seconds=query.gap_s),
        most_rows=query.events,
    )


def _measured(session: Session, spec: FunnelSpec, query: FunnelQuery) -> FunnelResult:
    now = utc_now()
    interval = query.interval(now=now)
    return measure(session, spec, interval, now=now, by=query.by, most=query.most, most_rows=query.events)


_ONE = "/journeys/funnels/{funnel_id:uuid}"
_SAVED: Any = list[SavedFunnel]

OPERATIONS = (
    Operation(
        "GET", "/journeys/funnels", list_saved, "List the funnels that are saved, by name.", Role.ANALYST, _SAVED
    ),
    Operation(
        "POST",
        "/journeys/funnels",
        create_funnel,
        "Save a funnel.",
        Role.OPERATOR,
        SavedFunnel,
        body=FunnelSaved,
        status=201,
        doing="save a funnel",
    ),
    Operation(
        "PUT",
        _ONE,
        change_funnel,
        "Change a funnel.",
        Role.OPERATOR,
        SavedFunnel,
        body=FunnelSaved,
        doing="change a funnel",
    ),
    Operation("DELETE", _ONE, remove_funnel, "Remove a funnel.", Role.OPERATOR, status=204, doing="delete a funnel"),
    Operation(
        "GET",
        f"{_ONE}/result",
        measure_saved,
        "Return how many people took the steps of a funnel, in what time, where they left and what it cost.",
        Role.ANALYST,
        FunnelResult,
        query=FunnelQuery,
    ),
    Operation(
        "POST",
        "/journeys/funnel",
        measure_funnel,
        "Return the same for a funnel that is not saved; stores nothing.",
        Role.ANALYST,
        FunnelResult,
        query=FunnelQuery,
        body=FunnelAsked,
        doing="measure a funnel",
    ),
    Operation(
        "GET",
        "/journeys/paths",
        follow_paths,
        "Return what people did next, step by step.",
        Role.ANALYST,
        Paths,
        query=PathsQuery,
    ),
)
