"""Every operation of the API in one list, and the routes made from it."""

from functools import cache
from typing import Any

from starlette.routing import Route

from dashboard.api import hooks
from dashboard.api.areas import (
    analytics,
    caches,
    contexts,
    database,
    documents,
    events,
    insights,
    journeys,
    kpis,
    leads,
    mcp,
    numbers,
    people,
    performance,
    projects,
    queue,
    runs,
    schedules,
    slos,
    system,
    workflows,
)
from dashboard.api.openapi import openapi_document
from dashboard.api.operations import Call, Operation
from dashboard.auth.roles import Role


async def get_openapi(_: Call) -> dict[str, Any]:
    """Return this document."""
    return _document()


OPERATIONS: tuple[Operation, ...] = (
    *people.OPERATIONS,
    *projects.OPERATIONS,
    *workflows.OPERATIONS,
    *runs.OPERATIONS,
    *queue.OPERATIONS,
    *schedules.OPERATIONS,
    *documents.OPERATIONS,
    *events.OPERATIONS,
    *journeys.OPERATIONS,
    *leads.OPERATIONS,
    *mcp.OPERATIONS,
    *kpis.OPERATIONS,
    *numbers.OPERATIONS,
    *analytics.OPERATIONS,
    *performance.OPERATIONS,
    *insights.OPERATIONS,
    *contexts.OPERATIONS,
    *database.OPERATIONS,
    *slos.OPERATIONS,
    *caches.OPERATIONS,
    *system.OPERATIONS,
    Operation(
        "GET",
        "/openapi.json",
        get_openapi,
        "Return the OpenAPI document of this API.",
        Role.VIEWER,
        dict[str, Any],
        max_age_s=300,
    ),
)


def routes() -> list[Route]:
    """Return the routes of the API."""
    return [operation.route() for operation in OPERATIONS]


@cache
def _document() -> dict[str, Any]:
    document = openapi_document(OPERATIONS)
    document["paths"] |= hooks.openapi_paths()
    return document
