"""The pages of runs: lists that are filtered and kept, one run with its waits and steps, comparisons, the queue."""

import json
import time
import uuid
from typing import Any

import pytest
from sqlalchemy import text
from test_pages import broke, texts

from analytics.core.errors import PolicyError
from analytics.core.ids import new_id
from analytics.store.engine import session_scope
from dashboard import actions, data
from dashboard.auth.roles import Role
from dashboard.auth.viewer import Viewer, set_test_viewer
from dashboard.context import get_context
from worker.workflow.definition import parse_definition, register_workflow

pytestmark = pytest.mark.integration

ORDER = """
name: order
params:
  type: object
  properties:
    customer: {type: string, title: Customer, default: Ada}
nodes:
  - {id: check, name: Check the order, kind: transform, config: {input: 1, steps: []}}
  - {id: ask, kind: approval, needs: [check], config: {title: Approve it?}}
  - {id: book, kind: transform, needs: [ask], config: {input: 2, steps: []}}
"""
FORM = {"type": "object", "required": ["reason"], "properties": {"reason": {"type": "string", "title": "Reason"}}}


def execute(statement: str, **values: Any) -> list[Any]:
    with session_scope(get_context().engine) as session:
        found = session.execute(text(statement), values)
        return list(found) if found.returns_rows else []


def viewer(role: Role) -> Viewer:
    return Viewer(email=f"{role.label}@example.org", name=role.label, role=role)


def new_run(status: str = "queued", **nodes: str) -> uuid.UUID:
    """Return a run of the workflow ``order`` in *status*, whose *nodes* have those statuses."""
    with session_scope(get_context().engine) as session:
        register_workflow(session, parse_definition(ORDER), created_by=None)
    with set_test_viewer(viewer(Role.OPERATOR)):
        run_id = actions.start_run("order", {"customer": "Grace"}).run_id
    for node, state in nodes.items():
        execute(
            "INSERT INTO node_run (run_id, run_created_at, node_id, kind, status, ready_at, started_at, finished_at,"
            " output) SELECT id, created_at, :node, 'transform', CAST(:state AS text), now(), now(),"
            " CASE WHEN CAST(:state AS text) IN ('waiting', 'running') THEN NULL ELSE now() END, '7'"
            " FROM run WHERE id = :id",
            id=run_id,
            node=node,
            state=state,
        )
    ended = status in {"completed", "failed", "cancelled"}
    execute(
        "UPDATE run SET status = :status, started_at = now(), finished_at = CASE WHEN :ended THEN now() END"
        " WHERE id = :id AND :status <> 'queued'",
        id=run_id,
        status=status,
        ended=ended,
    )
    if ended:
        execute("DELETE FROM run_active WHERE run_id = :id", id=run_id)
    else:
        execute("UPDATE run_active SET status = :status WHERE run_id = :id", id=run_id, status=status)
    data.forget_all()
    return run_id


def wait_for(run_id: uuid.UUID, kind: str, *, form: Any = None, name: str | None = None) -> None:
    execute(
        "INSERT INTO node_wait (run_id, run_created_at, node_id, kind, title, form, name)"
        " SELECT id, created_at, 'ask', :kind, 'Approve it?', CAST(:form AS jsonb), :name FROM run WHERE id = :id",
        id=run_id,
        kind=kind,
        form=None if form is None else json.dumps(form),
        name=name,
    )
    data.forget_all()


def outcome_of(run_id: uuid.UUID) -> Any:
    return execute("SELECT outcome, resolved_by, data FROM node_wait WHERE run_id = :id", id=run_id)[0]


def press(app: Any, key: str) -> Any:
    return app.button(key=key).click().run()


@pytest.fixture
def place(open_page, empty_place):
    """An installation in which this module's runs are; the context is open."""
    open_page(empty_place, Role.OPERATOR)
    return empty_place


def test_runs_are_listed_and_filters_in_the_url_narrow_them(open_page, place):
    failed, queued = new_run("failed", check="failed"), new_run()
    app = open_page(place, Role.ANALYST, "runs")
    assert {str(failed), str(queued)} <= set(app.dataframe[0].value["Number"])
    app = open_page(place, Role.ANALYST, "runs", state="Failed", of="order")
    assert not broke(app), texts(app)
    assert str(failed) in set(app.dataframe[0].value["Number"])
    assert str(queued) not in set(app.dataframe[0].value["Number"])
    app = open_page(place, Role.ANALYST, "runs", find=str(queued))
    assert list(app.dataframe[0].value["Number"]) == [str(queued)]


def test_filters_that_no_run_fits_say_so_and_can_be_cleared(open_page, place):
    new_run()
    app = open_page(place, Role.ANALYST, "runs", find="nothing like that")
    assert "Clear the filters" in texts(app)
    assert not app.dataframe
    press(app, "runs.clear")
    assert app.dataframe


def test_a_view_is_kept_shared_and_deleted(open_page, place):
    new_run("failed", check="failed")
    app = open_page(place, Role.ANALYST, "runs", state="Failed")
    app.text_input(key="runs.view.name").set_value("Broken *ones*")
    app.checkbox(key="runs.view.shared").check()
    next(button for button in app.button if button.label == "Save").click().run()
    assert not broke(app), texts(app)
    [view] = data.saved_views("analyst@example.org", "runs").value
    assert (view.name, view.shared, dict(view.query)) == ("Broken *ones*", True, {"state": ["failed"]})
    other = open_page(place, Role.OPERATOR, "runs")
    press(other, f"runs.view.{view.id}")
    assert other.session_state["state"] == ["failed"]
    assert not [button for button in other.button if button.key == f"runs.view.delete.{view.id}"]
    app = open_page(place, Role.ANALYST, "runs")
    press(app, f"runs.view.delete.{view.id}")
    assert not data.saved_views("analyst@example.org", "runs").value


def test_many_runs_are_cancelled_at_once_and_refusals_are_told_with_their_reason(open_page, place):
    queued = [new_run() for _ in range(3)]
    app = open_page(place, Role.OPERATOR, "runs", of="order")
    press(app, "runs.cancel.now")
    assert not broke(app), texts(app)
    assert "cancelled" in texts(app)
    states = execute("SELECT DISTINCT status FROM run WHERE id = ANY(:ids)", ids=queued)
    assert [row[0] for row in states] == ["cancelled"]
    with set_test_viewer(viewer(Role.OPERATOR)):
        report = actions.cancel_runs([queued[0], new_id()])
    app.session_state["runs.report"] = ("cancel", report)
    app.run()
    assert "2 runs refused" in texts(app)
    assert "already" in texts(app)
    press(app, "runs.report.dismiss")
    assert "refused" not in texts(app)


def test_failed_runs_are_retried_at_once(open_page, place):
    failed = new_run("failed", check="completed", ask="failed")
    app = open_page(place, Role.OPERATOR, "runs", find=str(failed))
    press(app, "runs.retry.now")
    assert "1 run queued again" in texts(app)
    [copied] = execute(
        "SELECT n.node_id FROM run r JOIN node_run n ON n.run_id = r.id WHERE r.source_run_id = :id", id=failed
    )
    assert copied[0] == "check"


def test_an_analyst_sees_runs_without_the_means_to_change_them(open_page, place):
    failed = new_run("failed", check="failed")
    listed = open_page(place, Role.ANALYST, "runs")
    opened = open_page(place, Role.ANALYST, "run", run=failed, node="check")
    keys = {button.key for app in (listed, opened) for button in app.button}
    assert not keys & {"runs.cancel.now", "runs.retry.now", "run.retry", "run.again", "run.step.retry", "run.cancel"}


def test_an_approval_is_given_with_its_form(open_page, place):
    run_id = new_run("waiting", check="completed", ask="waiting")
    wait_for(run_id, "approval", form=FORM)
    app = open_page(place, Role.OPERATOR, "run", run=run_id)
    assert "Approve it?" in texts(app)
    assert "takes no slot" in "".join(str(info.value) for info in app.info)
    press(app, f"wait.{run_id}.ask.-1.approved")
    assert "This field is required" in texts(app)
    assert outcome_of(run_id)[0] is None
    app.text_input(key=f"wait.{run_id}.ask.-1.reason").set_value("Fits the budget")
    press(app, f"wait.{run_id}.ask.-1.approved")
    assert not broke(app), texts(app)
    assert tuple(outcome_of(run_id)) == ("approved", "operator@example.org", {"reason": "Fits the budget"})
    assert "Approve it?" not in texts(app)


def test_an_approval_without_a_form_is_refused_by_one_click(open_page, place):
    run_id = new_run("waiting", check="completed", ask="waiting")
    wait_for(run_id, "approval")
    app = open_page(place, Role.OPERATOR, "run", run=run_id)
    press(app, f"wait.{run_id}.ask.-1.rejected")
    assert outcome_of(run_id)[0] == "rejected"


def test_an_analyst_sees_what_is_asked_and_that_it_takes_an_operator(open_page, place):
    run_id = new_run("waiting", check="completed", ask="waiting")
    wait_for(run_id, "approval", form=FORM)
    app = open_page(place, Role.ANALYST, "run", run=run_id)
    assert "needs the role operator" in texts(app)
    assert app.button(key=f"wait.{run_id}.ask.-1.approved").disabled
    with set_test_viewer(viewer(Role.ANALYST)), pytest.raises(PolicyError, match="may not"):
        actions.decide(run_id, "ask", -1, decision="approved", data={"reason": "x"})


def test_a_lost_step_is_settled_by_a_person(open_page, place):
    run_id = new_run("needs_attention", check="completed", ask="needs_attention")
    wait_for(run_id, "attention")
    app = open_page(place, Role.OPERATOR, "run", run=run_id)
    app.radio[0].set_value("completed")
    app.text_area(key=f"wait.{run_id}.ask.-1.output").set_value('{"sent": true}')
    press(app, f"wait.{run_id}.ask.-1.send")
    assert not broke(app), texts(app)
    assert tuple(outcome_of(run_id))[::2] == ("completed", {"sent": True})


def test_a_signal_is_given_from_the_page(open_page, place):
    run_id = new_run("waiting", check="completed", ask="waiting")
    wait_for(run_id, "signal", name="go")
    app = open_page(place, Role.OPERATOR, "run", run=run_id)
    press(app, f"wait.{run_id}.ask.-1.send")
    assert not broke(app), texts(app)
    assert outcome_of(run_id)[0] == "received"


def test_a_run_is_paused_and_resumed(open_page, place):
    run_id = new_run()
    app = open_page(place, Role.OPERATOR, "run", run=run_id)
    press(app, "run.pause")
    assert execute("SELECT status FROM run_active WHERE run_id = :id", id=run_id)[0][0] == "paused"
    assert "until somebody resumes it" in texts(app)
    press(app, "run.resume")
    assert execute("SELECT status FROM run_active WHERE run_id = :id", id=run_id)[0][0] == "queued"


def test_a_retry_from_a_step_keeps_what_comes_before_it(open_page, place):
    run_id = new_run("failed", check="completed", ask="completed", book="failed")
    app = open_page(place, Role.OPERATOR, "run", run=run_id, node="ask")
    press(app, "run.step.retry")
    assert "Keeps the results of 1 of 3 steps: check" in texts(app)
    press(app, "run.retry.send")
    assert not broke(app), texts(app)
    [row] = execute("SELECT id FROM run WHERE source_run_id = :id", id=run_id)
    assert app.query_params["run"] == str(row[0])
    kept = execute("SELECT node_id FROM node_run WHERE run_id = :id", id=row[0])
    assert [node[0] for node in kept] == ["check"]


def test_a_run_is_done_again_with_other_input_and_without_the_cache(open_page, place):
    run_id = new_run("completed", check="completed")
    app = open_page(place, Role.OPERATOR, "run", run=run_id)
    press(app, "run.again")
    assert app.text_input(key=f"again.{run_id}.customer").value == "Grace"
    app.text_input(key=f"again.{run_id}.customer").set_value("Linus")
    app.checkbox(key=f"run.no_cache.{run_id}").check()
    press(app, f"again.{run_id}.send")
    assert not broke(app), texts(app)
    [row] = execute("SELECT input, use_cache FROM run WHERE source_run_id = :id", id=run_id)
    assert tuple(row) == ({"customer": "Linus"}, False)


@pytest.mark.parametrize("view", ["Graph", "Time line", "Steps", "Input and output", "Events"])
def test_every_view_of_a_run_is_drawn(open_page, place, view):
    run_id = new_run("failed", check="completed", ask="failed")
    app = open_page(place, Role.ANALYST, "run", run=run_id, view=view, node="check")
    assert not broke(app), texts(app)
    assert "Check the order" in texts(app)
    assert len(app.get("plotly_chart")) == (view == "Time line")


def test_a_step_shows_its_log_attempts_and_input(open_page, place):
    run_id = new_run("failed", check="completed", ask="failed")
    execute(
        "INSERT INTO node_log (run_id, run_created_at, node_id, map_index, attempt, seq, at, level, message)"
        " SELECT id, created_at, 'check', -1, 1, n, now(), 'info', 'line ' || n FROM run, generate_series(1, 3) n"
        " WHERE id = :id",
        id=run_id,
    )
    execute("UPDATE node_run SET log_lines = 3 WHERE run_id = :id AND node_id = 'check'", id=run_id)
    app = open_page(place, Role.ANALYST, "run", run=run_id, node="check")
    part = next(group for group in app.segmented_control if group.label == "Part of the step")
    part.set_value("Log").run()
    assert "line 3" in app.code[-1].value
    app.text_input(key=f"log.{run_id}.check.-1.words").set_value("LINE 2").run()
    assert "line 2" in app.code[-1].value
    assert "line 3" not in app.code[-1].value
    next(group for group in app.segmented_control if group.label == "Part of the step").set_value("Input").run()
    assert not broke(app), texts(app)
    assert '"input": 1' in app.code[-1].value


@pytest.mark.parametrize(("node", "words"), [("nowhere", "has no step nowhere"), ("book", "did not begin")])
def test_a_step_that_is_not_there_or_never_began_says_so(open_page, place, node, words):
    app = open_page(place, Role.ANALYST, "run", run=new_run("failed", check="failed"), node=node)
    assert words in texts(app)


def test_two_runs_are_compared(open_page, place):
    left = new_run("completed", check="completed", ask="completed")
    right = new_run("failed", check="completed", ask="failed")
    app = open_page(place, Role.ANALYST, "compare", left=left, right=right)
    assert not broke(app), texts(app)
    assert "The left run is completed, the right one failed." in texts(app)
    assert "ask" in set(app.dataframe[0].value["Step"])
    press(app, "compare.swap")
    assert "The left run is failed, the right one completed." in texts(app)


def test_a_comparison_asks_for_what_it_lacks(open_page, place):
    left = new_run("completed")
    newest = new_run("completed")
    assert "Choose two runs" in texts(open_page(place, Role.ANALYST, "compare"))
    app = open_page(place, Role.ANALYST, "compare", left=left)
    app.selectbox(key="compare.with").select_index(0).run()
    assert app.query_params["right"] == str(newest)
    assert "Their input is the same." in texts(app)
    gone = open_page(place, Role.ANALYST, "compare", left=left, right=new_id())
    assert "nothing was compared" in texts(gone)
    assert "is not the number of a run" in texts(open_page(place, Role.ANALYST, "compare", left="x", right="y"))


def test_the_queue_tells_places_and_what_waits_for_a_person(open_page, place):
    queued, waiting = new_run(), new_run("waiting", check="completed", ask="waiting")
    wait_for(waiting, "approval")
    app = open_page(place, Role.ANALYST, "queue")
    assert not broke(app), texts(app)
    tables = {next(iter(table.value.columns)): table.value for table in app.dataframe}
    assert "Approve it?" in set(tables["Asks for"]["Asks for"])
    backlog = next(table.value for table in app.dataframe if "Place" in table.value.columns)
    assert sorted(backlog["Place"]) == list(range(1, len(backlog) + 1))
    assert execute("SELECT 1 FROM run_active WHERE run_id = :id AND status = 'queued'", id=queued)


def test_a_dead_letter_is_shown_with_what_was_under_way(open_page, place):
    run_id = new_run("failed", check="failed")
    execute(
        'UPDATE run SET error = \'{"code": "dead_letter", "message": "Its worker died 5 times."}\' WHERE id = :id',
        id=run_id,
    )
    execute('UPDATE node_run SET error = \'{"code": "dead_letter"}\' WHERE run_id = :id', id=run_id)
    data.forget_all()
    app = open_page(place, Role.OPERATOR, "queue")
    dead = next(table.value for table in app.dataframe if "Steps under way" in table.value.columns)
    assert "check" in set(dead["Steps under way"])
    assert app.button(key="queue.retry").disabled


def test_drawing_a_run_again_costs_little(open_page, place):
    app = open_page(place, Role.OPERATOR, "run", run=new_run("failed", check="completed", ask="failed"), node="check")
    app.run()
    began = time.process_time()
    for _ in range(5):
        app.run()
    assert (time.process_time() - began) / 5 < 0.25
