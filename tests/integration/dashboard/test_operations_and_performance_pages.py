"""The pages Operations and Performance, with thirty days of history, and what is read before anybody asks."""

import threading

import pytest
from sqlalchemy import select

from analytics.core.clock import utc_now
from analytics.sources.process import ProcessSampler
from analytics.store.engine import make_engine, session_scope
from analytics.store.queries.mcp import ServerListing, save_catalogue
from analytics.store.tables import MetricSample
from dashboard import data, overview_questions, warming
from dashboard.auth.roles import Role
from dashboard.context import build_context, set_context
from dashboard.filters import DEFAULT_RANGE, Span
from dashboard.sampling import sample_once

pytestmark = pytest.mark.integration


def test_operations_names_what_needs_a_hand_and_shows_parts_queues_and_the_host(open_page, full_place):
    app = open_page(full_place, Role.ANALYST, "operations")
    assert not app.exception
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["Health"] == "Degraded", "no worker runs in this test"
    assert metrics["Workers alive"] == "0"
    troubles = next(table.value for table in app.dataframe if "Why" in table.value.columns)
    assert troubles["What"].iloc[0].endswith(": away"), "critical things come first"
    assert {"Workers: away", "Scheduler: away"} <= set(troubles["What"])
    assert len(app.get("plotly_chart")) == 1


def test_operations_tells_beside_the_servers_whether_their_breakers_were_open(open_page, empty_place):
    engine = make_engine(empty_place, role="test")
    with session_scope(engine) as session:
        save_catalogue(session, [ServerListing("clock", enabled=True, status="up", transport="stdio", tools=())])
    engine.dispose()
    app = open_page(empty_place, Role.ANALYST, "operations")
    assert not app.exception
    assert any("Whether circuit breakers were open is not known" in caption.value for caption in app.caption)


def test_performance_shows_courses_with_bounds_caches_with_strategies_and_pools(open_page, full_place):
    app = open_page(full_place, Role.VIEWER, "performance", range="7d")
    assert not app.exception
    by_first_column = {table.value.columns[0]: table.value for table in app.dataframe}
    assert by_first_column["Pool"]["Pool"].tolist() == ["Threads", "Event loop"]
    caches = by_first_column["Cache"].set_index("Cache")
    assert caches.loc["Leads", "Stands"] == "5 min"
    assert len(caches.loc["Leads", "Trend"]) > 100, "a week by the hour"
    charts = [chart.proto.spec for chart in app.get("plotly_chart")]
    assert len(charts) == 2, "no answers were sampled in the history of the demo"
    assert all("Critical beyond this" in spec for spec in charts)
    assert by_first_column["Sent by"]["Count"].sum() > 0, "statements of this process, as no Prometheus is set up"


@pytest.fixture
def context(full_place):
    context = build_context(full_place)
    set_context(context)
    yield context
    set_context(None)
    context.close()


def test_the_first_screen_is_read_before_anybody_asks(context, monkeypatch):
    monkeypatch.setattr(warming, "_FIRST_S", 0)
    wanted = [question.name for question, _ in warming._wanted()]
    assert warming.warm(context, threading.Event()) == len(wanted)
    monkeypatch.setattr(overview_questions.overview, "_read", None)
    monkeypatch.setattr(data.slos, "_read", None)
    assert overview_questions.overview(Span(DEFAULT_RANGE)).value is not None
    assert data.slos().value is not None
    stopping = threading.Event()
    stopping.set()
    assert warming.warm(context, stopping) == 0


def test_a_process_keeps_what_it_measured_of_itself(context):
    began = utc_now()
    sample_once(context, ProcessSampler())
    with session_scope(context.engine) as session:
        kept = session.scalars(select(MetricSample).where(MetricSample.at >= began)).all()
    found = {(sample.name, *sample.tags.values()): sample.value for sample in kept}
    assert {("db_pool_used_ratio", "sync"), ("db_pool_used_ratio", "async"), ("active_connections", "page")} <= set(
        found
    )
    assert found["db_pool_used_ratio", "async"] == 0
