"""Which group of routes a path belongs to; the only label that metrics of requests carry about it."""

from analytics.core.telemetry import HTTP_REQUEST_SECONDS, HTTP_REQUESTS, HTTP_RESPONSE_BYTES

API = "/api/v1/"
AREAS = (
    "agents",
    "audit",
    "documents",
    "health",
    "kpis",
    "mcp",
    "me",
    "openapi",
    "projects",
    "queue",
    "rum",
    "runs",
    "slos",
    "socket-tokens",
    "tasks",
    "tokens",
    "users",
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
    ("/api", "api_other"),
)
_GROUPS = (
    "page",
    "static",
    "files",
    "streamlit",
    "auth",
    "health",
    "metrics",
    "other",
    "api_other",
    *(f"api_{area.replace('-', '_')}" for area in AREAS),
)


def group_of(path: str, *, is_page: bool) -> str:
    """Return the group of *path*; *is_page* tells whether it is one of the pages."""
    if path.startswith(API):
        area = path[len(API) :].partition("/")[0].removesuffix(".json")
        return f"api_{area.replace('-', '_')}" if area in AREAS else "api_other"
    if path in _EXACT:
        return _EXACT[path]
    for prefix, group in _PREFIXES:
        if path.startswith(prefix):
            return group
    return "page" if is_page else "other"


def prepare_metrics() -> None:
    """Make every label set that objectives count, at 0, so that its first event is seen as an increase."""
    for group in _GROUPS:
        HTTP_REQUEST_SECONDS.labels(group)
        HTTP_RESPONSE_BYTES.labels(group)
        for status_class in ("2xx", "3xx", "4xx", "5xx"):
            HTTP_REQUESTS.labels(group, "GET", status_class)
            if group.startswith("api_") or group == "auth":
                HTTP_REQUESTS.labels(group, "POST", status_class)
