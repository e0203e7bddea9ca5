"""What people do on pages: operators can, viewers cannot whatever they send, and everything is noted."""

import pytest
from sqlalchemy import text
from test_pages import broke, texts

from analytics.core.errors import PolicyError
from analytics.store.engine import session_scope
from dashboard import actions, data
from dashboard.auth.roles import Role
from dashboard.auth.viewer import Viewer, set_test_viewer
from dashboard.context import get_context
from dashboard.reading import MEMORY

pytestmark = pytest.mark.integration

BELOW_OPERATOR = [Role.VIEWER, Role.ANALYST]
BELOW_ADMIN = [*BELOW_OPERATOR, Role.OPERATOR]


def rows(statement: str, **values: object) -> list:
    with session_scope(get_context().engine) as session:
        return list(session.execute(text(statement), values))


def viewer(role: Role) -> Viewer:
    return Viewer(email=f"{role.label}@example.org", name=role.label, role=role)


@pytest.mark.parametrize("role", BELOW_OPERATOR)
@pytest.mark.parametrize(
    "act",
    [
        lambda: actions.start_run("document-intake", {}),
        lambda: actions.read_document("a.png", b""),
        lambda: actions.call_tool("helmsight", "convert_time", {}),
        actions.refresh_tools,
    ],
    ids=["start", "upload", "call", "refresh"],
)
def test_an_operators_action_is_refused_to_others_and_noted(open_page, empty_place, role, act):
    open_page(empty_place, role)
    before = len(rows("SELECT 1 FROM audit_log WHERE outcome = 'refused'"))
    with set_test_viewer(viewer(role)), pytest.raises(PolicyError, match="may not"):
        act()
    assert len(rows("SELECT 1 FROM audit_log WHERE outcome = 'refused'")) == before + 1


@pytest.mark.parametrize("role", BELOW_ADMIN)
@pytest.mark.parametrize(
    "act",
    [
        lambda: actions.add_user(email="x@example.org", name="X", role="admin"),
        lambda: actions.add_token(email="admin@example.org", name="X", role="admin", days=1),
        lambda: data.list_users(1, None),
        lambda: data.list_audit(None),
    ],
    ids=["user", "token", "list", "audit"],
)
def test_an_administrators_action_is_refused_to_others(open_page, empty_place, role, act):
    open_page(empty_place, role)
    with set_test_viewer(viewer(role)), pytest.raises(PolicyError, match="may not"):
        act()


@pytest.mark.parametrize("question", ["list_runs", "depths", "mcp_servers", "list_documents", "queue_state"])
def test_a_viewer_cannot_read_what_analysts_read(open_page, empty_place, question):
    open_page(empty_place, Role.VIEWER)
    arguments = {"list_runs": (None,)}.get(question, ())
    with pytest.raises(PolicyError):
        getattr(data, question)(*arguments)


def test_viewers_and_analysts_see_forms_they_cannot_send(open_page, full_place):
    app = open_page(full_place, Role.ANALYST, "workflows", workflow="document-intake")
    assert not broke(app)
    assert app.button(key="start.document-intake.send").disabled
    assert "needs the role operator" in texts(app)


def test_an_operator_starts_a_run_and_is_told_its_place(open_page, full_place):
    app = open_page(full_place, Role.OPERATOR, "workflows", workflow="document-intake", range="7d")
    app.button(key="start.document-intake.send").click().run()
    assert not broke(app), texts(app)
    assert "Run" in app.title[0].value
    assert "in the queue" in texts(app)
    assert app.query_params["range"] == "7d"
    found = rows("SELECT requested_by, status FROM run WHERE origin = 'live'")
    assert ("operator@example.org", "queued") in [tuple(row) for row in found]


def test_parameters_that_do_not_fit_are_told_next_to_the_field(open_page, full_place):
    app = open_page(full_place, Role.OPERATOR, "workflows", workflow="mcp-call")
    app.button(key="start.mcp-call.send").click().run()
    assert not app.exception
    assert "This field is required" in texts(app)


def test_a_queued_run_can_be_cancelled(open_page, full_place):
    open_page(full_place, Role.OPERATOR)
    queued = actions.start_run("document-intake", {})
    app = open_page(full_place, Role.OPERATOR, "run", run=queued.run_id)
    app.button(key="run.cancel").click().run()
    assert not broke(app), texts(app)
    assert rows("SELECT status FROM run WHERE id = :id", id=queued.run_id)[0][0] == "cancelled"


def test_the_page_of_a_queued_run_tells_its_place(open_page, full_place):
    open_page(full_place, Role.OPERATOR)
    queued = actions.start_run("document-intake", {}, priority=9)
    app = open_page(full_place, Role.ANALYST, "run", run=queued.run_id)
    assert "place 1 in the queue" in texts(app)
    assert not [button for button in app.button if button.key == "run.cancel"]


def test_a_file_that_is_no_image_is_refused_with_the_reason(open_page, full_place):
    app = open_page(full_place, Role.OPERATOR, "ocr")
    app.file_uploader[0].upload("note.png", b"just words")
    next(button for button in app.form_submit_button if button.label == "Read the text").click().run()
    assert not broke(app), texts(app)
    assert "does not start like an image" in texts(app)


def test_an_administrator_adds_a_user_and_sees_the_password_once(open_page, empty_place):
    app = open_page(empty_place, Role.ADMIN, "admin")
    app.text_input(key="admin.user.email").set_value("new@example.org")
    app.text_input(key="admin.user.name").set_value("New Person")
    submit = next(button for button in app.form_submit_button if button.label == "Add")
    submit.click().run()
    assert not broke(app), texts(app)
    assert "Copy it now" in texts(app)
    app.run()
    assert "Copy it now" not in texts(app)
    found = rows("SELECT must_change_password FROM app_user WHERE email = 'new@example.org'")
    assert found[0][0] is True


def test_an_old_value_is_shown_as_old_when_postgres_goes_away(open_page, full_place, away_place, monkeypatch):
    app = open_page(full_place, Role.VIEWER, "slos")
    home = get_context().started_at
    broken = open_page(away_place, Role.VIEWER, "slos")
    monkeypatch.setattr(get_context(), "started_at", home)
    broken.run()
    assert not broken.exception
    assert "Old values" in texts(broken)
    assert len(broken.dataframe[0].value) == len(app.dataframe[0].value) > 0


def test_a_page_recovers_by_itself(open_page, full_place, away_place):
    context = get_context
    broken = open_page(away_place, Role.VIEWER, "slos")
    assert "is away" in texts(broken)
    assert MEMORY.outages(context().started_at.isoformat())
    app = open_page(full_place, Role.VIEWER, "slos")
    assert "is away" not in texts(app)
    assert data.probe(context(), "postgres")
