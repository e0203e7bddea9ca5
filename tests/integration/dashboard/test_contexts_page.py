"""The page of contexts, with history and without."""

import pytest
from test_pages import broke, texts

from dashboard.auth.roles import Role

pytestmark = pytest.mark.integration


def test_contexts_are_shown_by_use_hierarchy_and_lifecycle(open_page, full_place):
    app = open_page(full_place, Role.ANALYST, "contexts", range="30d")
    assert not broke(app), texts(app)
    figures = {metric.label: metric.value for metric in app.metric}
    assert int(figures["Open now"]) > 0
    assert figures["Used"].endswith("%")
    assert "Includes demo history" in texts(app)
    assert app.dataframe[0].value["Accesses"].is_monotonic_decreasing
    app.segmented_control(key="view").set_value("hierarchy").run()
    assert not broke(app), texts(app)
    assert list(app.dataframe[0].value["Level"]) == ["0", "1", "2"]
    app.segmented_control(key="view").set_value("lifecycle").run()
    assert not broke(app), texts(app)
    assert app.dataframe[0].value["Created so long ago"].sum() == int(figures["Open now"])


def test_without_contexts_the_page_says_how_they_get_here(open_page, empty_place):
    app = open_page(empty_place, Role.ANALYST, "contexts")
    assert not broke(app), texts(app)
    assert "No context is known yet" in texts(app)
    assert not app.metric


def test_a_viewer_does_not_see_what_people_work_on(open_page, empty_place):
    app = open_page(empty_place, Role.VIEWER, "contexts")
    assert "No context is known yet" not in texts(app)
