"""Which group of routes a path belongs to: all that metrics of requests tell about it."""

from analytics.core.telemetry import HTTP_REQUEST_SECONDS, HTTP_REQUESTS, PAGE_LOAD_SECONDS, WEBSOCKET_OPENS
from dashboard.links import PAGES

API = "/api/v1/"
OTHER_PAGE = "other"
AREAS = (
    "agents",
    "analytics",
    "annotations",
    "artifacts",
    "audit",
    "caches",
    "costs",
    "database",
    "documents",
    "events",
    "health",
    "insights",
    "journeys",
    "kpis",
    "leads",
    "mcp",
    "me",
    "metrics",
    "openapi",
    "performance",
    "pools",
    "projects",
    "queue",
    "rum",
    "runs",
    "schedules",
    "slo-corrections",
    "slos",
    "socket-tokens",
    "tasks",
    "tokens",
    "triggers",
    "users",
    "views",
    "work-items",
    "workers",
    "workflows",
)
"""First segments of the API's paths; a test compares them with the routes."""

_EXACT = {
    "/healthz": "health",
    "/metrics": "metrics",
    "/login": "auth",
    "/logout": "auth",
    "/password": "auth",
}
_PREFIXES = (
    ("/static/", "static"),
    ("/assets/", "static"),
    ("/media/", "files"),
    ("/component/", "static"),
    ("/_stcore/upload_file", "files"),
    ("/_stcore/bidi-components", "static"),
    ("/_stcore/metrics", "metrics"),
    ("/_stcore/", "streamlit"),
    ("/api", "api"),
    ("/hooks/", "api"),
)
_GROUPS = ("page", "static", "files", "streamlit", "auth", "health", "metrics", "other")
_OTHER_AREA = "other"
_CLASSES = ("2xx", "3xx", "4xx", "5xx")


def group_of(path: str, *, is_page: bool) -> tuple[str, str]:
    """Return the group and the area of *path*; *is_page* tells whether it is one of the pages."""
    if path.startswith(API):
        area = path[len(API) :].partition("/")[0].removesuffix(".json")
        return "api", area if area in AREAS else _OTHER_AREA
    if path in _EXACT:
        return _EXACT[path], ""
    for prefix, group in _PREFIXES:
        if path.startswith(prefix):
            return group, _OTHER_AREA if group == "api" else ""
    return ("page" if is_page else "other"), ""


def prepare_metrics() -> None:
    """Make every label set that objectives count, at 0, so that its first event is seen as an increase."""
    for group, area in (*((group, "") for group in _GROUPS), *(("api", area) for area in (*AREAS, _OTHER_AREA))):
        HTTP_REQUEST_SECONDS.labels(group, area)
        for method in ("GET", "POST") if group in {"api", "auth"} else ("GET",):
            for status_class in _CLASSES:
                HTTP_REQUESTS.labels(group, area, method, status_class)
    for outcome in ("ok", "failed"):
        WEBSOCKET_OPENS.labels(outcome)
    for page in (*(page.key for page in PAGES), OTHER_PAGE):
        PAGE_LOAD_SECONDS.labels(page)
