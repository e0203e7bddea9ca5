"""Requests, pages and live updates, as Prometheus counts them."""

from analytics.kpi.model import CounterSource, Direction, Kpi, QuantileSource
from analytics.sources.prometheus import matcher

_ASKED_BY_PEOPLE = 'group=~"api|page|auth"'
_REQUESTS = f"helmsight_http_requests_total{{{_ASKED_BY_PEOPLE}}}"
_FAILED = f"helmsight_http_requests_total{{{_ASKED_BY_PEOPLE},{matcher('status_class', '5xx')}}}"
_NOT_FAILED = f"helmsight_http_requests_total{{{_ASKED_BY_PEOPLE},{matcher('status_class', '5xx', '!=')}}}"
_HTTP_TIME = "helmsight_http_request_duration_seconds"
_OF_REQUESTS = {"group": "group", "area": "area", "method": "method"}
_OF_ANSWERS = {"group": "group", "area": "area"}

KPIS = (
    Kpi(
        "http_requests",
        "Requests",
        "http",
        "count",
        Direction.NEITHER,
        "Requests to the API, to pages and to sign in.",
        CounterSource(_REQUESTS),
        dims=_OF_REQUESTS,
    ),
    Kpi(
        "availability",
        "Availability",
        "http",
        "ratio",
        Direction.HIGHER,
        "Requests to the API, to pages and to sign in that were not answered with a server error.",
        CounterSource(_NOT_FAILED, total=_REQUESTS),
        target=0.999,
        good=0.995,
        warning=0.99,
        weight=3.0,
        dims=_OF_REQUESTS,
    ),
    Kpi(
        "http_errors",
        "Requests that fail",
        "http",
        "ratio",
        Direction.LOWER,
        "Requests to the API, to pages and to sign in that were answered with a server error; what"
        " availability lacks to 100 %, so the score counts that.",
        CounterSource(_FAILED, total=_REQUESTS),
        target=0.001,
        good=0.005,
        warning=0.01,
        weight=0.0,
        dims=_OF_REQUESTS,
    ),
    Kpi(
        "http_p50",
        "Answer time, median",
        "http",
        "s",
        Direction.LOWER,
        "Half of the requests to the API, to pages and to sign in were answered within this time; exact to a"
        " bucket of the histogram.",
        QuantileSource(_HTTP_TIME, 0.50, _ASKED_BY_PEOPLE),
        dims=_OF_ANSWERS,
    ),
    Kpi(
        "http_p95",
        "Answer time, p95",
        "http",
        "s",
        Direction.LOWER,
        "95 % of the requests to the API, to pages and to sign in were answered within this time; exact to a"
        " bucket of the histogram.",
        QuantileSource(_HTTP_TIME, 0.95, _ASKED_BY_PEOPLE),
        target=0.2,
        good=0.35,
        warning=0.5,
        weight=2.0,
        dims=_OF_ANSWERS,
    ),
    Kpi(
        "http_p99",
        "Answer time, p99",
        "http",
        "s",
        Direction.LOWER,
        "99 % of the requests to the API, to pages and to sign in were answered within this time; exact to a"
        " bucket of the histogram.",
        QuantileSource(_HTTP_TIME, 0.99, _ASKED_BY_PEOPLE),
        target=0.2,
        good=0.5,
        warning=1.0,
        dims=_OF_ANSWERS,
    ),
    Kpi(
        "http_bytes",
        "Bytes sent",
        "http",
        "bytes",
        Direction.NEITHER,
        "Bytes of the bodies of all answers.",
        CounterSource("helmsight_http_response_bytes_total"),
        dims={"group": "group"},
    ),
    Kpi(
        "page_load_p95",
        "Page on screen, p95",
        "http",
        "s",
        Direction.LOWER,
        "95 % of the pages showed their first content within this time after somebody opened them, as"
        " browsers report it.",
        QuantileSource("helmsight_page_load_duration_seconds", 0.95),
        target=3,
        good=4,
        warning=6,
        dims={"page": "page"},
        weight=0.5,
    ),
    Kpi(
        "websocket_p95",
        "Live update, p95",
        "http",
        "s",
        Direction.LOWER,
        "95 % of the live events were sent to browsers within this time after they were published.",
        QuantileSource("helmsight_websocket_latency_seconds", 0.95),
        target=0.04,
        good=0.1,
        warning=0.25,
        dims={"channel": "channel"},
        weight=0.5,
    ),
)
