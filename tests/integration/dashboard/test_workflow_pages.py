"""The pages of workflows: their list, one workflow with versions, schedules and triggers, and the editor."""

import pytest
from sqlalchemy import text

from analytics.core.errors import PolicyError
from analytics.store.engine import session_scope
from dashboard import workflow_actions
from dashboard.auth.roles import Role
from dashboard.auth.viewer import Viewer, set_test_viewer
from dashboard.components.workflows import EXAMPLE
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
def test_every_view_of_a_workflow_opens(open_page, full_place, role, view):
    app = open_page(full_place, role, "workflows", workflow="document-intake", show=view)
    assert not broke(app), texts(app)
    assert any("intake" in str(header.value) for header in app.header)


@pytest.mark.parametrize(
    ("view", "words"), [("Versions", "There is one version"), ("Schedules", "No schedule"), ("Triggers", "No trigger")]
)
def test_an_empty_view_says_so(open_page, empty_place, view, words):
    app = open_page(empty_place, Role.OPERATOR, "workflows", workflow="document-intake", show=view)
    assert words in texts(app)


def test_a_workflow_that_never_ran_says_so(open_page, empty_place):
    app = open_page(empty_place, Role.OPERATOR, "workflows", workflow="document-intake")
    assert "Never ran" in texts(app)
    assert not app.metric


def test_a_workflow_that_ran_shows_its_thirty_days(open_page, full_place):
    app = open_page(full_place, Role.ANALYST, "workflows", workflow="document-intake")
    labels = [metric.label for metric in app.metric]
    assert {"Runs, 30 days", "Success", "Usual time", "95 of 100 within", "Waits"} <= set(labels)
    assert len(app.get("plotly_chart")) == 1


@pytest.mark.parametrize("role", [Role.ANALYST, Role.OPERATOR])
@pytest.mark.parametrize(
    "params", [{}, {"workflow": "document-intake"}, {"workflow": "document-intake", "version": 1}], ids=str
)
def test_the_editor_opens_new_and_with_a_workflow(open_page, empty_place, role, params):
    app = open_page(empty_place, role, "editor", **params)
    assert not broke(app), texts(app)
    assert "Can be stored" in texts(app)
    is_disabled = app.button(key="editor.store").disabled
    assert is_disabled == (role < Role.OPERATOR or params == {"workflow": "document-intake"})


def test_a_version_that_is_not_there_says_so(open_page, empty_place):
    for version in ("99", "last"):
        app = open_page(empty_place, Role.OPERATOR, "editor", workflow="document-intake", version=version)
        assert not app.exception
        assert "There is no version" in texts(app)


def test_versions_are_compared_in_words_and_lines(open_page, empty_place):
    app = open_page(empty_place, Role.OPERATOR)
    store("name: twice\nnodes:\n  - {id: a, kind: transform, config: {input: 1, steps: []}}\n")
    store("name: twice\nnodes:\n  - {id: b, kind: transform, config: {input: 1, steps: []}}\n")
    app = open_page(empty_place, Role.ANALYST, "workflows", workflow="twice", show="Versions")
    assert not broke(app), texts(app)
    assert "1 node added, 1 removed" in texts(app)
    assert "+- id: b" in texts(app)


def test_a_run_is_started_with_its_options(open_page, empty_place):
    app = open_page(empty_place, Role.OPERATOR, "workflows", workflow="document-intake")
    key = "start.options.document-intake"
    app.number_input(key=f"{key}.priority").set_value(7)
    app.text_input(key=f"{key}.key").set_value("once")
    app.checkbox(key=f"{key}.cache").uncheck()
    app.button(key="start.document-intake.send").click().run()
    assert not broke(app), texts(app)
    found = rows("SELECT priority, idempotency_key, use_cache FROM run WHERE priority = 7")
    assert [tuple(row) for row in found] == [(7, "once", False)]


def test_a_schedule_is_written_paused_and_deleted(open_page, empty_place):
    app = open_page(empty_place, Role.OPERATOR, "workflows", workflow="document-intake", show="Schedules")
    assert "It would come next" in texts(app)
    app.text_input(key="schedule.new.document-intake.cron").set_value("61 * * * *").run()
    assert "cannot be used" in texts(app)
    app.text_input(key="schedule.new.document-intake.cron").set_value("@daily")
    app.text_input(key="schedule.new.document-intake.name").set_value("nightly intake")
    app.button(key="schedule.new.document-intake.params.send").click().run()
    assert not broke(app), texts(app)
    ((schedule_id,),) = rows("SELECT id FROM schedule WHERE name = 'nightly intake'")
    app.button(key=f"schedule.pause.{schedule_id}").click().run()
    assert rows("SELECT 1 FROM schedule WHERE paused_at IS NOT NULL")
    app.button(key=f"schedule.resume.{schedule_id}").click().run()
    assert not rows("SELECT 1 FROM schedule WHERE paused_at IS NOT NULL")
    app.button(key=f"schedule.delete.{schedule_id}").click().run()
    assert not broke(app), texts(app)
    assert not rows("SELECT 1 FROM schedule")


def test_the_secret_of_a_webhook_is_shown_until_it_is_copied_and_never_again(open_page, empty_place):
    app = open_page(empty_place, Role.OPERATOR, "workflows", workflow="document-intake", show="Triggers")
    app.text_input(key="trigger.new.document-intake.name").set_value("intake-hook")
    app.button(key="trigger.new.document-intake.send").click().run()
    assert not broke(app), texts(app)
    assert "whsec_" in texts(app)
    app.button(key="trigger.copied").click().run()
    assert "whsec_" not in texts(app)
    assert "/hooks/intake-hook" in texts(app)
    ((trigger_id,),) = rows("SELECT id FROM run_trigger")
    app.button(key=f"trigger.rotate.{trigger_id}").click().run()
    assert "whsec_" in texts(app)
    again = open_page(empty_place, Role.OPERATOR, "workflows", workflow="document-intake", show="Triggers")
    assert "whsec_" not in texts(again)


def test_a_trigger_that_is_no_json_is_refused(open_page, empty_place):
    app = open_page(empty_place, Role.OPERATOR, "workflows", workflow="mcp-call", show="Triggers")
    app.text_area(key="trigger.new.mcp-call.params").set_value("{")
    app.button(key="trigger.new.mcp-call.send").click().run()
    assert not broke(app), texts(app)
    assert "is not JSON" in texts(app)


def test_a_node_is_tested_by_a_run_of_its_own(open_page, empty_place):
    app = open_page(empty_place, Role.OPERATOR, "editor")
    app.segmented_control(key="editor.view").set_value("try").run()
    app.selectbox(key="editor.trial.node").set_value("total").run()
    app.text_area(key="editor.trial.@.orders").set_value('[{"amount": 5}]')
    app.button(key="editor.trial.send").click().run()
    assert not broke(app), texts(app)
    found = rows("SELECT r.input, r.tags FROM run r JOIN workflow w ON w.id = r.workflow_id WHERE w.name = 'node-test'")
    assert [tuple(row) for row in found] == [({"customer": "Ada", "given_0": [{"amount": 5}]}, ["test"])]


def test_who_may_not_store_cannot_test_a_node(open_page, empty_place):
    app = open_page(empty_place, Role.ANALYST, "editor")
    app.segmented_control(key="editor.view").set_value("try").run()
    assert app.button(key="editor.trial.send").disabled
    with set_test_viewer(Viewer(email="a@example.org", name="A", role=Role.ANALYST)), pytest.raises(PolicyError):
        workflow_actions.store_version(EXAMPLE)


def test_what_was_written_is_stored_and_opened(open_page, empty_place):
    app = open_page(empty_place, Role.OPERATOR, "editor")
    app.button(key="editor.store").click().run()
    assert not broke(app), texts(app)
    assert app.query_params["workflow"] == ["open-orders"] or app.query_params["workflow"] == "open-orders"
    assert rows("SELECT 1 FROM workflow WHERE name = 'open-orders'")
