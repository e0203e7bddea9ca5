"""The nine objectives that Helmsight keeps of itself.

Latency objectives count the share of answers under a bound, and every bound is a bucket of the histogram.
"""

from collections.abc import Sequence
from decimal import Decimal

from analytics.core.errors import NotFoundError
from analytics.core.telemetry import LATENCY_BUCKETS_S
from analytics.slo.model import LatencyEvents, Objective, PromEvents, SqlEvents
from analytics.sources.prometheus import matcher

_API = matcher("group", "api")


def objectives() -> Sequence[Objective]:
    """Return the objectives, in the order in which they are shown."""
    return _OBJECTIVES


def objective(slo_id: str) -> Objective:
    """Return the objective *slo_id*.

    Raises:
        NotFoundError: If there is none.
    """
    found = next((item for item in _OBJECTIVES if item.id == slo_id), None)
    if found is None:
        raise NotFoundError(f"There is no objective called {slo_id!r}.", slo_id=slo_id)
    return found


def counted(metric: str, *, matchers: str = "", bad: str | None = None, good: str | None = None) -> PromEvents:
    """Return events of a counter; *bad* or *good* are matchers that tell them apart."""
    both = ",".join(part for part in (matchers, good or bad) if part)
    part = f"sum(increase({metric}{{{both}}}[{{window}}]))"
    return PromEvents(
        total=f"sum(increase({metric}{{{matchers}}}[{{window}}]))",
        good=part if good else None,
        bad=part if bad else None,
    )


def answered_within(histogram: str, bound_s: float, *, matchers: str = "") -> LatencyEvents:
    """Return events of a histogram, good when not slower than *bound_s* seconds.

    Raises:
        NotFoundError: If *bound_s* is no bucket of our histograms; the message lists those there are.
    """
    if bound_s not in LATENCY_BUCKETS_S:
        raise NotFoundError(
            f"No histogram of ours has a bucket at {bound_s:g} s; there are"
            f" {', '.join(f'{bound:g}' for bound in LATENCY_BUCKETS_S)}."
        )
    return LatencyEvents(histogram, Decimal(f"{bound_s:g}"), matchers)


_ASSESSMENTS = SqlEvents("""
    SELECT finished_at AS at, status = 'completed' AS good
    FROM work_item
    WHERE kind = 'assessment' AND status IN ('completed', 'failed') AND origin = 'live'
""")

_MODEL_CALLS = SqlEvents("SELECT at, ok AS good FROM llm_call WHERE origin = 'live'")

_OBJECTIVES = (
    Objective(
        id="api_availability",
        title="API availability",
        service="api",
        target=Decimal("0.999"),
        indicator=counted("helmsight_http_requests_total", matchers=_API, bad=matcher("status_class", "5xx")),
        description="Requests to the API that were not answered with a server error.",
    ),
    Objective(
        id="api_latency_p95",
        title="API answers under 500 ms",
        service="api",
        target=Decimal("0.95"),
        indicator=answered_within("helmsight_http_request_duration_seconds", 0.5, matchers=_API),
        description="Requests to the API answered within 500 ms.",
    ),
    Objective(
        id="api_latency_p99",
        title="API answers under 2 s",
        service="api",
        target=Decimal("0.99"),
        indicator=answered_within("helmsight_http_request_duration_seconds", 2.0, matchers=_API),
        description="Requests to the API answered within 2 s.",
    ),
    Objective(
        id="dashboard_load_time",
        title="Pages under 3 s",
        service="dashboard",
        target=Decimal("0.90"),
        indicator=answered_within("helmsight_page_load_duration_seconds", 3.0),
        description="Pages whose first content stood within 3 s, as browsers report it.",
    ),
    Objective(
        id="llm_api_success_rate",
        title="Model calls that succeed",
        service="agents",
        target=Decimal("0.99"),
        indicator=_MODEL_CALLS,
        description="Calls of language models that returned an answer.",
    ),
    Objective(
        id="assessment_completion_rate",
        title="Assessments completed",
        service="projects",
        target=Decimal("0.95"),
        indicator=_ASSESSMENTS,
        description="Of the assessments that ended, those that were completed.",
    ),
    Objective(
        id="database_query_latency",
        title="SQL statements under 100 ms",
        service="database",
        target=Decimal("0.99"),
        indicator=answered_within("helmsight_db_query_duration_seconds", 0.1),
        description="SQL statements of all processes that took at most 100 ms.",
    ),
    Objective(
        id="cache_hit_rate",
        title="Cache hits",
        service="cache",
        target=Decimal("0.80"),
        indicator=counted("helmsight_cache_lookups_total", good=matcher("result", "hit")),
        description="Lookups that a cache could answer.",
    ),
    Objective(
        id="websocket_connection_success",
        title="Live sockets that open",
        service="live",
        target=Decimal("0.995"),
        indicator=counted("helmsight_websocket_opens_total", good=matcher("outcome", "ok")),
        description="Attempts to open a live socket that succeeded.",
    ),
)
