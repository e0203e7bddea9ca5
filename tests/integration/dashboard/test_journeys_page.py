"""The page of journeys, with history and without."""

import pytest
from test_pages import broke, texts

from dashboard.auth.roles import Role
from dashboard.components.journeys_funnel import proposed

pytestmark = pytest.mark.integration


def test_funnels_paths_leads_and_events_are_shown_with_their_numbers(open_page, full_place):
    app = open_page(full_place, Role.OPERATOR, "journeys", range="30d")
    assert not broke(app), texts(app)
    figures = {metric.label: metric.value for metric in app.metric}
    entered, converted = (int(figures[name].replace(",", "")) for name in ("Took the first step", "Took all steps"))
    assert entered > converted > 0
    steps = app.dataframe[0].value
    assert list(steps["People"]) == sorted(steps["People"], reverse=True)
    assert "of the demo history" in texts(app)
    for view, title, words in (
        ("paths", "Visits", "A break of half an hour"),
        ("leads", "Leads", "as they stand now"),
        ("events", "Kind", "As of"),
    ):
        app.segmented_control(key="view").set_value(view).run()
        assert not broke(app), texts(app)
        assert title in app.dataframe[0].value.columns
        assert words in texts(app)
    app.segmented_control(key="view").set_value("import").run()
    assert "told apart" in texts(app)


def test_of_many_events_a_share_is_shown_until_a_reader_has_time(open_page, full_place, monkeypatch):
    monkeypatch.setattr("analytics.journeys.acts.MOST_ROWS", 1000)
    app = open_page(full_place, Role.ANALYST, "journeys", range="30d")
    assert "Sampled" in texts(app)
    assert "The conversion of everybody lies between" in texts(app)
    app.toggle(key="patient").set_value(True).run()
    assert not broke(app), texts(app)
    assert "Sampled" not in texts(app)
    assert app.toggle(key="patient").value is True


def test_without_events_the_page_says_how_they_get_here(open_page, empty_place):
    app = open_page(empty_place, Role.ANALYST, "journeys")
    assert not broke(app), texts(app)
    assert "No event in this time range" in texts(app)
    assert "curl -X POST" in app.code[0].value
    assert not app.metric
    app.segmented_control(key="view").set_value("leads").run()
    assert "No lead came in this time range" in texts(app)
    app.segmented_control(key="view").set_value("import").run()
    assert "needs the role operator" in texts(app)


def test_steps_are_proposed_where_they_occur():
    assert proposed(["web.purchase", "a", "web.page_view"]) == ["web.page_view", "web.purchase"]
    assert proposed(["a", "b", "c"]) == ["a", "b"]
    assert proposed(["a"]) == ["a"]
