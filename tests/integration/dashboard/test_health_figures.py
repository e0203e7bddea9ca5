"""The counts that stand beside the health of the parts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import insert

from analytics.core.clock import utc_now
from analytics.core.ids import new_id
from analytics.core.settings import PrometheusSettings, Settings
from analytics.rollup.upkeep import keep_up
from analytics.store.engine import session_scope
from analytics.store.tables import AgentRun
from dashboard.api.health import PartStatus, close_health, collect_health
from dashboard.context import AppContext, build_context

pytestmark = pytest.mark.integration
MINUTE = timedelta(minutes=1)
_NAME = "helmsight_mcp_circuit_breaker_open"


@contextmanager
def context_of(settings: Settings) -> Iterator[AppContext]:
    context = build_context(settings)
    try:
        yield context
    finally:
        close_health(context)
        context.close()


def test_agent_runs_that_failed_within_a_day_are_counted(settings: Settings) -> None:
    now = utc_now()
    with context_of(settings) as context:
        with session_scope(context.engine) as session:
            for agent, status, age in (
                ("a", "failed", 1),
                ("b", "failed", 2),
                ("b", "completed", 3),
                ("c", "running", 4),
            ):
                row = {"id": new_id(), "started_at": now - age * MINUTE, "agent_id": agent, "task_kind": "k"}
                session.execute(insert(AgentRun).values(**row, status=status))
        keep_up(context.engine, now=utc_now(), late_every=timedelta(0))
        health = collect_health(context)
    assert health.metrics["agent_failures_24h"] == 2
    assert "mcp_breakers_open" not in health.metrics, "no Prometheus is set up"


@pytest.mark.prometheus
def test_a_breaker_that_two_workers_find_open_is_one_open_breaker(
    settings: Settings, serve: Callable[[str], str]
) -> None:
    stamp = int((utc_now() - MINUTE).timestamp())
    said = [("a", "away", 1), ("b", "away", 1), ("a", "here", 0)]
    lines = [f'{_NAME}{{server="{server}",instance="{worker}"}} {value} {stamp}' for worker, server, value in said]
    url = serve("\n".join([f"# TYPE {_NAME} gauge", *lines, "# EOF", ""]))
    with context_of(settings.model_copy(update={"prometheus": PrometheusSettings(url=url)})) as context:
        health = collect_health(context)
    part = next(part for part in health.parts if part.name == "prometheus")
    assert (part.status, health.metrics["mcp_breakers_open"]) == (PartStatus.UP, 1)
