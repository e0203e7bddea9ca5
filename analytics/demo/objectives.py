"""Objectives that the demo adds to the standard ones: one of each kind these are not, with corrections of their time.

They measure this installation itself, so that they go on after the demo history ends.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import orjson

from analytics.demo.rows import History
from analytics.slo.defaults import objective
from analytics.slo.model import (
    Budgeting,
    CalendarWindow,
    CompositeEvents,
    CompositeMode,
    Member,
    Objective,
    Slices,
    SqlEvents,
)
from analytics.slo.specs.native import dump_document

AGENT_RUNS = "demo_agent_runs_of_month"
API_SLICES = "demo_api_slices"
MODEL_CALLS = "demo_model_calls"
ZONE = "Europe/Berlin"
_BY = "demo"
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)

OBJECTIVES = (
    Objective(
        id=AGENT_RUNS,
        title="Agent runs completed this month (demo)",
        service="agents",
        target=Decimal("0.97"),
        indicator=SqlEvents("""
            SELECT finished_at AS at, status = 'completed' AS good
            FROM agent_run
            WHERE status IN ('completed', 'failed') AND origin = 'live'
        """),
        description="Of the agent runs that ended in a month of the calendar, those that were completed.",
        window=CalendarWindow(zone=ZONE),
    ),
    Objective(
        id=API_SLICES,
        title="Five minutes in which the API answers (demo)",
        service="api",
        target=Decimal("0.995"),
        indicator=objective("api_availability").indicator,
        description="Stretches of five minutes in which at least 99 % of requests had no server error.",
        budgeting=Budgeting.TIMESLICES,
        slices=Slices(target=Decimal("0.99")),
    ),
    Objective(
        id=MODEL_CALLS,
        title="Model calls that succeed, by model (demo)",
        service="agents",
        target=Decimal("0.985"),
        indicator=SqlEvents("SELECT at, ok AS good, model FROM llm_call WHERE origin = 'live'"),
        description="Calls of language models that returned an answer, all together and each model for itself.",
        group_by=("model",),
    ),
    Objective(
        id="demo_first_impression",
        title="A visitor's way: page, API, live socket (demo)",
        service="dashboard",
        target=Decimal("0.97"),
        indicator=CompositeEvents(
            CompositeMode.WEIGHTED,
            (
                Member("api_availability", Decimal(2)),
                Member("dashboard_load_time"),
                Member("websocket_connection_success"),
            ),
        ),
        description="What a visitor meets first, weighted.",
    ),
)

OF_SLOS: Mapping[str, Sequence[str]] = {
    "slo_definition": ("slo_id", "revision", "document", "created_at", "updated_at", "updated_by", "origin"),
    "slo_revision": ("slo_id", "revision", "document", "note", "created_at", "created_by"),
    "slo_correction": (
        "id",
        "slo_id",
        "service",
        "starts_at",
        "ends_at",
        "rrule",
        "zone",
        "reason",
        "created_at",
        "created_by",
        "withdrawn_at",
        "withdrawn_by",
        "origin",
    ),
}
"""Columns of the rows, in order, by table; tables stand in the order in which they are filled."""


def add_objectives(history: History, *, known: Collection[str]) -> None:
    """Add the definitions, but for ids that are *known* already, and corrections of their time."""
    for item in OBJECTIVES:
        if item.id not in known:
            document = orjson.dumps(dump_document(item)).decode()
            history.rows["slo_definition"].append((item.id, 1, document, history.since, history.since, _BY, "demo"))
            history.rows["slo_revision"].append((item.id, 1, document, "Of the demo", history.since, _BY))
    sunday = _first_sunday(history.since)
    load = (history.until - 13 * _DAY).replace(hour=14, minute=0, second=0, microsecond=0)
    wrong = load + 6 * _DAY
    once = (None, "UTC")
    kept, withdrawn = (None, None), (wrong + _DAY, _BY)
    for concerns, span, again, reason, ended in (
        ((None, "database"), (sunday, sunday + _HOUR), ("FREQ=WEEKLY;BYDAY=SU", ZONE), "Maintenance on Sundays", kept),
        ((None, "api"), (load, load + 2 * _HOUR), once, "Load test that was announced", kept),
        (("cache_hit_rate", None), (wrong, wrong + 3 * _HOUR), once, "Entered for the wrong day", withdrawn),
    ):
        made = (span[0] - _DAY, _BY)
        history.add("slo_correction", span[0], *concerns, *span, *again, f"{reason} (demo)", *made, *ended)


def _first_sunday(since: datetime) -> datetime:
    """Return three o'clock by the clock of :data:`ZONE` on the first Sunday after *since*."""
    day = since.astimezone(ZoneInfo(ZONE)).replace(hour=3, minute=0, second=0, microsecond=0) + _DAY
    return day + (6 - day.weekday()) * _DAY
