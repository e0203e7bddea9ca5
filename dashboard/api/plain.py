"""Routes outside of the versioned API: ``/healthz`` for probes and ``/metrics`` for Prometheus."""

from importlib.metadata import version

import orjson
from anyio import to_thread
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Match, Route

from analytics.core.clock import utc_now
from analytics.core.errors import DependencyError
from analytics.core.logging import get_logger
from analytics.core.telemetry import QUEUE_DEPTH
from dashboard.cache_stats import show_caches
from dashboard.context import AppContext, get_context
from dashboard.middleware.bundles import ASSETS
from dashboard.readiness import SchemaState
from worker.queues import queue_depths

_log = get_logger(__name__)
_WORDS = {SchemaState.CURRENT: "ok", SchemaState.UNKNOWN: "degraded", SchemaState.WRONG: "wrong_schema"}


async def healthz(_: Request) -> Response:
    """Tell whether this process serves, from what it knows already; asks nobody, so that probes cost nothing.

    503 only when the schema is not the one this version needs: a restart would not help against anything else.
    """
    watch = get_context().schema
    status = {SchemaState.CURRENT: "ok", SchemaState.UNKNOWN: "degraded", SchemaState.WRONG: "wrong_schema"}[
        watch.state
    ]
    document = {"status": status, "time": utc_now(), "version": version("helmsight")}
    if watch.problem is not None:
        document["detail"] = watch.problem
    return Response(
        orjson.dumps(document),
        status_code=503 if watch.state is SchemaState.WRONG else 200,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


async def metrics(_: Request) -> Response:
    """Return everything this process counts, in the text form of Prometheus."""
    body = await to_thread.run_sync(_collect, get_context())
    return Response(body, media_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})


def _collect(context: AppContext) -> bytes:
    show_caches(context)
    if context.redis is not None:
        try:
            for depth in queue_depths(context.redis):
                QUEUE_DEPTH.labels(depth.name).set(depth.waiting)
        except DependencyError as error:
            QUEUE_DEPTH.clear()
            _log.warning("queue_depths_not_read", reason=error.message)
    return generate_latest()


async def favicon(_: Request) -> Response:
    """Return our icon to browsers that ask for it by its old name."""
    return FileResponse(ASSETS / "favicon.svg", media_type="image/svg+xml", headers={"Cache-Control": "max-age=86400"})


async def robots(_: Request) -> Response:
    """Ask search engines to stay out."""
    return Response("User-agent: *\nDisallow: /\n", media_type="text/plain")


async def nothing_here(request: Request) -> Response:
    """Answer paths below ``/api`` that no route takes, which Streamlit would answer with a page.

    A path that a route takes with another method is told apart.
    """
    others = [
        route
        for route in request.app.routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is Match.PARTIAL
    ]
    if others:
        allowed = ", ".join(sorted({method for route in others for method in route.methods or ()}))
        raise HTTPException(405, headers={"Allow": allowed})
    raise HTTPException(404)


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        Route("/healthz", healthz, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
        Route("/favicon.ico", favicon, methods=["GET"]),
        Route("/robots.txt", robots, methods=["GET"]),
    ]


def last_routes() -> list[Route]:
    """Return the routes that come after all others."""
    every = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return [
        Route("/api/{rest:path}", nothing_here, methods=every),
        Route("/hooks/{rest:path}", nothing_here, methods=every),
        Route("/ws/{rest:path}", nothing_here),
    ]
