"""The key figures that exist, in the order in which they are shown."""

from collections.abc import Sequence

from analytics.core.errors import NotFoundError
from analytics.kpi.model import CounterSource, Direction, FactSource, Kpi, QuantileSource
from analytics.sources.prometheus import matcher

_ASKED_BY_PEOPLE = 'group=~"api|page|auth"'
_REQUESTS = f"helmsight_http_requests_total{{{_ASKED_BY_PEOPLE}}}"
_FAILED_REQUESTS = f"helmsight_http_requests_total{{{_ASKED_BY_PEOPLE},{matcher('status_class', '5xx')}}}"


def registry() -> Sequence[Kpi]:
    """Return every key figure."""
    return _REGISTRY


def kpi(kpi_id: str) -> Kpi:
    """Return the key figure *kpi_id*.

    Raises:
        NotFoundError: If there is none.
    """
    found = next((item for item in _REGISTRY if item.id == kpi_id), None)
    if found is None:
        raise NotFoundError(f"There is no key figure called {kpi_id!r}.", kpi_id=kpi_id)
    return found


_REGISTRY = (
    Kpi(
        "runs",
        "Workflow runs",
        "workflows",
        "count",
        Direction.HIGHER,
        "Workflow runs that were asked for.",
        FactSource("run", "n", "n"),
    ),
    Kpi(
        "run_success",
        "Runs completed",
        "workflows",
        "ratio",
        Direction.HIGHER,
        "Of the runs that completed or failed, those that completed.",
        FactSource("run", "completed", "ended", total="ended"),
        target=0.99,
        good=0.95,
        warning=0.90,
    ),
    Kpi(
        "run_p95",
        "Run time, p95",
        "workflows",
        "s",
        Direction.LOWER,
        "95 % of the completed runs took no longer than this, from their start to their end; exact.",
        FactSource("run", "p95_s", "completed"),
        target=5,
        good=15,
        warning=60,
    ),
    Kpi(
        "agent_runs",
        "Agent runs",
        "agents",
        "count",
        Direction.HIGHER,
        "Pieces of work that agents began.",
        FactSource("agent_run", "n", "n"),
    ),
    Kpi(
        "agent_success",
        "Agent runs completed",
        "agents",
        "ratio",
        Direction.HIGHER,
        "Of the agent runs that completed or failed, those that completed.",
        FactSource("agent_run", "completed", "ended", total="ended"),
        target=0.98,
        good=0.95,
        warning=0.90,
    ),
    Kpi(
        "agent_cost",
        "Agent cost",
        "agents",
        "usd",
        Direction.LOWER,
        "What agent runs cost, where the price of the model is known; others are not counted.",
        FactSource("agent_run", "cost_usd", "priced"),
    ),
    Kpi(
        "llm_success",
        "Model calls answered",
        "models",
        "ratio",
        Direction.HIGHER,
        "Calls of language models that returned an answer.",
        FactSource("llm_call", "succeeded", "n", total="n"),
        target=0.99,
        good=0.98,
        warning=0.95,
    ),
    Kpi(
        "llm_tokens",
        "Tokens",
        "models",
        "tokens",
        Direction.NEITHER,
        "Tokens read and written by language models.",
        FactSource("llm_call", "tokens", "n"),
    ),
    Kpi(
        "leads",
        "New leads",
        "business",
        "count",
        Direction.HIGHER,
        "Leads that came in.",
        FactSource("lead", "n", "n"),
    ),
    Kpi(
        "lead_conversion",
        "Leads converted",
        "business",
        "ratio",
        Direction.HIGHER,
        "Of the leads that came in, those that have become customers since.",
        FactSource("lead", "converted", "n", total="n"),
    ),
    Kpi(
        "assessment_completion",
        "Assessments completed",
        "business",
        "ratio",
        Direction.HIGHER,
        "Of the assessments that ended, those that were completed.",
        FactSource("assessment", "completed", "n", total="n"),
        target=0.95,
        good=0.90,
        warning=0.80,
    ),
    Kpi(
        "active_people",
        "Active people",
        "business",
        "count",
        Direction.HIGHER,
        "Different people of whom there was an event.",
        FactSource("event", "subjects", "n"),
    ),
    Kpi(
        "events",
        "Events",
        "business",
        "count",
        Direction.NEITHER,
        "Events from web, social media, messages and other sources.",
        FactSource("event", "n", "n"),
    ),
    Kpi(
        "system_cpu",
        "Processor",
        "system",
        "ratio",
        Direction.LOWER,
        "Share of processor time in use, averaged over the samples.",
        FactSource("system_cpu_ratio", "average", "n"),
        target=0.70,
        good=0.80,
        warning=0.90,
    ),
    Kpi(
        "system_memory",
        "Memory",
        "system",
        "ratio",
        Direction.LOWER,
        "Share of memory in use, averaged over the samples.",
        FactSource("system_memory_ratio", "average", "n"),
        target=0.80,
        good=0.90,
        warning=0.95,
    ),
    Kpi(
        "http_requests",
        "Requests",
        "http",
        "count",
        Direction.NEITHER,
        "Requests to the API, to pages and to sign in.",
        CounterSource(_REQUESTS),
    ),
    Kpi(
        "http_p95",
        "Answer time, p95",
        "http",
        "s",
        Direction.LOWER,
        "95 % of the requests to the API, to pages and to sign in were answered within this time;"
        " exact to a bucket of the histogram.",
        QuantileSource("helmsight_http_request_duration_seconds", 0.95, _ASKED_BY_PEOPLE),
        target=0.2,
        good=0.5,
        warning=1.0,
    ),
    Kpi(
        "http_errors",
        "Requests that fail",
        "http",
        "ratio",
        Direction.LOWER,
        "Requests to the API, to pages and to sign in that were answered with a server error.",
        CounterSource(_FAILED_REQUESTS, total=_REQUESTS),
        target=0.001,
        good=0.005,
        warning=0.01,
    ),
    Kpi(
        "cache_hits",
        "Cache hits",
        "cache",
        "ratio",
        Direction.HIGHER,
        "Lookups that a cache could answer.",
        CounterSource(
            f"helmsight_cache_lookups_total{{{matcher('result', 'hit')}}}", total="helmsight_cache_lookups_total"
        ),
        target=0.95,
        good=0.85,
        warning=0.75,
    ),
    Kpi(
        "db_wait_p95",
        "Wait for a connection, p95",
        "database",
        "s",
        Direction.LOWER,
        "95 % of the times somebody took a connection of a pool, it was there within this time.",
        QuantileSource("helmsight_db_connection_wait_seconds", 0.95),
        target=0.05,
        good=0.1,
        warning=0.5,
    ),
)
