"""The pages of workflows: their list, one workflow with versions, schedules and triggers, and the editor."""

import pytest
from sqlalchemy import text

from analytics.store.engine import session_scope
from dashboard import workflow_actions
from dashboard.auth.roles import Role
from dashboard.auth.viewer import Viewer, set_test_viewer
from dashboard.context import get_context

pytestmark = pytest.mark.integration


def texts(app) -> str:
    """Return all words of a page."""
    kinds = (app.markdown, app.caption, app.header, app.title, app.error, app.warning, app.info, app.success, app.code)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def broke(app) -> bool:
    return bool(app.exception) or "This part of the page failed" in texts(app)


def as_operator() -> Viewer:
    return Viewer(email="operator@example.org", name="Operator", role=Role.OPERATOR)


def rows(statement: str, **values):
    with session_scope(get_context().engine) as session:
        return session.execute(text(statement), values).all()


def store(source: str) -> None:
    with set_test_viewer(as_operator()):
        workflow_actions.store_version(source)


@pytest.mark.parametrize("view", ["Overview", "Versions", "Schedules", "Triggers"])
@pytest.mark.parametrize("role", [Role.ANALYST, Role.OPERATOR])
@pytest.mark.parametrize("place", ["empty_place", "full_place"])
def test_every_view_of_a_workflow_opens(open_page, request, place, role, view):
    app = open_page(request.getfixturevalue(place), role, "workflows", workflow="document-intake", show=view)
    assert not broke(app), texts(app)
    assert any("intake" in str(header.value) for header in app.header)


def test_a_workflow_that_never_ran_says_so(open_page, empty_place):
    app = open_page(empty_place, Role.OPERATOR, "workflows", workflow="document-intake")
    assert "Never ran" in texts(app)
    assert not app.metric


def test_a_workflow_that_ran_shows_its_thirty_days(open_page, full_place):
    app = open_page(full_place, Role.ANALYST, "workflows", workflow="document-intake")
    labels = [metric.label for metric in app.metric]
    assert {"Runs, 30 days", "Success", "Usual time", "95 of 100 within", "Waits"} <= set(labels)
    assert len(app.get("plotly_chart")) == 1


@pytest.mark.parametrize("place", ["empty_place", "full_place"])
@pytest.mark.parametrize("role", [Role.ANALYST, Role.OPERATOR])
def test_the_editor_opens_new_and_with_a_workflow(open_page, request, place, role):
    for params in ({}, {"workflow": "document-intake"}, {"workflow": "document-intake", "version": 1}):
        app = open_page(request.getfixturevalue(place), role, "editor", **params)
        assert not broke(app), texts(app)
        assert "Can be stored" in texts(app)
        is_disabled = app.button(key="editor.store").disabled
        assert is_disabled == (role < Role.OPERATOR or params == {"workflow": "document-intake"})
