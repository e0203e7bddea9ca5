"""The pages Operations and Performance, with thirty days of history."""

import pytest

from dashboard.auth.roles import Role

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
