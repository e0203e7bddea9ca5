"""The editor of objectives and the report of a period, for who may read and who may write."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from test_pages import broke, texts

from analytics.core.clock import floor_time, utc_now
from analytics.core.settings import Settings
from analytics.slo import catalogue, ledger
from analytics.slo.ledger import Bucket
from analytics.slo.model import BUCKET
from analytics.store.engine import make_engine, session_scope
from analytics.store.queries.annotations import NewAnnotation, add_annotation
from dashboard import data, slo_actions
from dashboard.auth.roles import Role
from dashboard.auth.viewer import Viewer, set_test_viewer
from dashboard.context import get_context

pytestmark = pytest.mark.integration

SLO = "api_availability"
NEW = "slo_editor.form.@.0"


@pytest.fixture(scope="module")
def place(empty_place: Settings) -> Settings:
    """An installation that measured two objectives for five weeks, with an hour of errors ten days ago."""
    until = floor_time(utc_now(), BUCKET)
    began = until - timedelta(days=10)
    buckets = []
    for number in range(35 * 288):
        start = until - (number + 1) * BUCKET
        bad = 60.0 if began <= start < began + timedelta(hours=1) else float(number % 40 == 0)
        buckets += [Bucket(name, start, 200 - bad, 200.0, 300.0) for name in (SLO, "cache_hit_rate")]
    engine = make_engine(empty_place, role="test")
    with session_scope(engine) as session:
        ledger.upsert(session, buckets)
        ledger.roll_up(session, [SLO, "cache_hit_rate"], since=until - timedelta(days=36), until=until)
        noted = NewAnnotation(
            began, "The database was away", "incident", until=began + timedelta(hours=1), service="api"
        )
        add_annotation(session, noted, actor="ada@example.org")
    engine.dispose()
    return empty_place


def values(app) -> dict[str, str]:
    return {metric.label: str(metric.value) for metric in app.metric}


def write(app, path: str, value: str, *, slo_id: str = SLO, form: int = 0):
    return app.text_input(key=f"slo_editor.form.{slo_id}@.{form}.{path}").set_value(value).run()


def look_at(app, view: str):
    return app.segmented_control(key="slo_editor.view").set_value(view).run()


def save(app):
    return app.button(key="slo_editor.store").click().run()


def stored(slo_id: str = SLO):
    with session_scope(get_context().engine) as session:
        return catalogue.find(session, slo_id)


def somebody_saves(target: str) -> None:
    with set_test_viewer(Viewer(email="ada@example.org", name="Ada", role=Role.OPERATOR)):
        slo_actions.save_slo(replace(stored(), target=Decimal(target)), note="theirs", expected_revision=None)


# ---- The editor ----


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_a_stored_objective_is_judged_on_its_history_for_every_role(open_page, place, role):
    app = open_page(place, role, "slo_editor", id=SLO)
    assert not broke(app), texts(app)
    shown = values(app)
    assert (shown["Pages"], shown["Without cause"], shown["Told after"]) == ("1", "0", "5 min")
    assert "Budget left" in shown
    assert len(app.get("plotly_chart")) == 2
    assert app.button(key="slo_editor.store").disabled
    assert ("Saving needs the role operator" in texts(app)) == (role < Role.OPERATOR)
    for view in ("alarms", "checks", "changes") if role is Role.OPERATOR else ():
        assert not broke(look_at(app, view)), texts(app)


def test_a_target_is_tried_saved_and_taken_over_by_the_report(open_page, place):
    app = open_page(place, Role.OPERATOR, "slo_editor", id=SLO)
    before = values(app)["Budget left"]
    write(app, "target", "99.95%")
    assert values(app)["Budget left"] != before
    assert "Changes not saved" in texts(app)
    app.text_input(key=f"slo_editor.note.{SLO}@.0").set_value("Users notice").run()
    save(app)
    assert not broke(app), texts(app)
    assert "As saved" in texts(app)
    with session_scope(get_context().engine) as session:
        newest = catalogue.revisions(session, SLO)[0]
    assert (newest.objective.target, newest.note, newest.created_by) == (
        Decimal("0.9995"),
        "Users notice",
        "operator@example.org",
    )


def test_mistakes_stand_at_their_fields_and_keep_it_from_being_saved(open_page, place):
    app = open_page(place, Role.OPERATOR, "slo_editor", id=SLO)
    write(app, "target", "99.9")
    write(app, "window.rolling", "half a month")
    assert "2 problems" in texts(app)
    assert "write '99.9%' for per cent" in texts(app)
    assert "Nothing to judge yet" in texts(app)
    assert app.button(key="slo_editor.store").disabled
    assert not broke(look_at(app, "changes")), texts(app)


def test_a_conflict_is_told_before_saving_and_settled_by_the_writer(open_page, place):
    app = open_page(place, Role.OPERATOR, "slo_editor", id=SLO)
    write(app, "title", "Mine")
    somebody_saves("0.998")
    data.slo_revisions.forget()
    app.run()
    assert "Changed meanwhile" in texts(app)
    assert app.button(key="slo_editor.store").disabled
    app.button(key="slo_editor.mine").click().run()
    assert "Changed meanwhile" not in texts(app)
    save(app)
    assert not broke(app), texts(app)
    assert stored().title == "Mine"


def test_a_save_that_comes_too_late_changes_nothing_and_says_so(open_page, place):
    app = open_page(place, Role.OPERATOR, "slo_editor", id=SLO)
    write(app, "title", "Too late")
    somebody_saves("0.997")
    save(app)
    assert "Changed meanwhile" in texts(app)
    assert stored().title != "Too late"


def test_what_if_writes_the_target_into_the_draft(open_page, place):
    app = open_page(place, Role.VIEWER, "slo_editor", id="cache_hit_rate")
    look_at(app, "targets")
    app.select_slider(key="slo_editor.target.0.8").set_value(Decimal("0.9")).run()
    app.button(key="slo_editor.target.use").click().run()
    assert app.text_input(key="slo_editor.form.cache_hit_rate@.1.target").value == "90%"


def test_an_operator_cannot_save_or_try_what_reads_postgresql(open_page, place):
    app = open_page(place, Role.OPERATOR, "slo_editor", id="llm_api_success_rate")
    assert "Saving needs the role admin" in texts(app)
    rows = app.text_area(key="slo_editor.form.llm_api_success_rate@.0.indicator.sql.rows")
    rows.set_value("SELECT now() AS at, true AS good").run()
    assert not broke(app), texts(app)
    assert "needs the role admin" in texts(app)
    assert "Budget left" not in values(app)


def test_a_new_objective_says_what_keeps_it_from_being_tried(open_page, place):
    app = open_page(place, Role.OPERATOR, "slo_editor")
    assert not broke(app), texts(app)
    assert "New, not saved" in texts(app)
    assert "No Prometheus is set up" in texts(app)
    app.text_input(key=f"{NEW}.id").set_value(SLO).run()
    assert "there is an objective of this id" in texts(app)


def test_an_objective_goes_out_of_use_and_back(open_page, place):
    app = open_page(place, Role.OPERATOR, "slo_editor", id="cache_hit_rate")
    app.text_input(key="slo_editor.removal.note").set_value("No cache any more").run()
    app.button(key="slo_editor.remove").click().run()
    assert not broke(app), texts(app)
    assert "out of use by operator" in texts(app)
    app.button(key="slo_editor.restore").click().run()
    assert "out of use by" not in texts(app)
    assert stored("cache_hit_rate").revision == 2


def test_a_link_to_nothing_says_so(open_page, place):
    for params in ({"id": "nothing"}, {"id": SLO, "revision": "77"}):
        app = open_page(place, Role.VIEWER, "slo_editor", **params)
        assert not broke(app), texts(app)
        assert "Not found" in texts(app)


# ---- The report ----


def test_the_report_of_a_month_has_every_objective_and_its_downloads(open_page, place):
    app = open_page(place, Role.VIEWER, "slo_report")
    assert not broke(app), texts(app)
    assert {"Objective", "Verdict", "Budget left", "Coverage"} <= set(app.dataframe[0].value.columns)
    assert "objectives met" in "".join(str(box.value) for box in (*app.error, *app.success, *app.warning))
    assert {button.label for button in app.get("download_button")} >= {"HTML", "CSV", "JSON", "Markdown"}


@pytest.mark.parametrize("params", [{"period": "14d"}, {"period": "last-month", "zone": "Europe/Berlin"}, {"id": SLO}])
def test_a_report_is_of_any_period_zone_and_objective(open_page, place, params):
    app = open_page(place, Role.ANALYST, "slo_report", **params)
    assert not broke(app), texts(app)
    assert len(app.dataframe[0].value) == (1 if "id" in params else len(data.slos().value.statuses))


@pytest.mark.parametrize("params", [{"period": "soon"}, {"period": "2099-01"}, {"zone": "Mars/Olympus"}, {"id": "no"}])
def test_a_report_that_cannot_be_made_says_why(open_page, place, params):
    app = open_page(place, Role.VIEWER, "slo_report", **params)
    assert not app.exception
    assert not app.metric
    assert any(word in texts(app) for word in ("no period", "begins on", "no time zone", "Not found"))


def test_an_empty_report_claims_nothing(open_page, place):
    app = open_page(place, Role.OPERATOR, "slo_report", id="llm_api_success_rate")
    assert values(app)["Met"] == "0 of 1"
    assert "Too little was measured" in texts(app)


def test_pages_of_objectives_outlive_an_outage(open_page, away_place):
    for page in ("slo_editor", "slo_report"):
        app = open_page(away_place, Role.OPERATOR, page)
        assert not broke(app), texts(app)
        assert "PostgreSQL is away" in texts(app)
