"""The pages of objectives: a list that is narrowed and grouped by its link, and everything about one of them."""

import uuid
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from test_pages import broke, texts

from analytics.core.clock import utc_now
from analytics.slo import catalogue, corrections, defaults
from analytics.slo.corrections import NewCorrection
from analytics.store.engine import session_scope
from dashboard import data
from dashboard.auth.roles import Role
from dashboard.context import get_context

pytestmark = pytest.mark.integration

SLO = "api_availability"
VIEWS = ("Budget", "Alerts", "Corrections and notes", "Definition")


def labels(app) -> set[str]:
    return {button.label for button in app.button}


def press(app, key: str):
    return app.button(key=key).click().run()


def correct(reason: str) -> uuid.UUID:
    now = utc_now()
    new = NewCorrection(starts_at=now - timedelta(hours=2), ends_at=now, reason=reason, slo_id=SLO)
    with session_scope(get_context().engine) as session:
        stored = corrections.add(session, new, actor="ada@example.org").correction.id
    data.forget_all()
    return stored


def stored(slo_id: str = SLO):
    with session_scope(get_context().engine) as session:
        objective = catalogue.find(session, slo_id)
        return list(corrections.list_corrections(session, objective=objective, with_withdrawn=True))


# ---- The list ----


def test_the_list_is_narrowed_and_grouped_by_its_link(open_page, full_place):
    app = open_page(full_place, Role.VIEWER, "slos", service="api", group="Service")
    assert not broke(app), texts(app)
    assert "**api**" in texts(app)
    (table,) = app.dataframe
    assert list(table.value["Service"].unique()) == ["api"]
    assert {"State", "Budget left", "Course", "Burn 1 h", "Coverage"} <= set(table.value.columns)
    assert all(len(course) > 1 for course in table.value["Course"])


def test_a_list_that_nothing_fits_says_so_and_can_be_cleared(open_page, full_place):
    app = open_page(full_place, Role.VIEWER, "slos", named="nothing like that")
    assert "No objective fits" in texts(app)
    app = press(app, "slos.clear")
    assert len(app.dataframe[0].value) >= 9


def test_the_worst_objective_is_the_first_in_the_list(open_page, full_place):
    app = open_page(full_place, Role.VIEWER, "slos")
    left = list(app.dataframe[0].value["Budget left"])
    assert left[0] == min(left)


# ---- One objective ----


@pytest.mark.parametrize(
    ("place", "role", "view"),
    [*(("full_place", Role.VIEWER, view) for view in VIEWS), ("empty_place", Role.ADMIN, "Alerts")],
)
def test_every_view_of_an_objective_opens(open_page, request, place, role, view):
    app = open_page(request.getfixturevalue(place), role, "slo", id=SLO, view=view)
    assert not broke(app), texts(app)
    assert not app.exception
    assert "API availability" in app.header[0].value
    assert len(app.metric) == 6


def test_the_page_says_the_same_as_the_list(open_page, full_place):
    table = open_page(full_place, Role.VIEWER, "slos").dataframe[0].value
    listed = table[table["Objective"] == "API availability"].iloc[0]
    app = open_page(full_place, Role.VIEWER, "slo", id=SLO)
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown["Indicator"] == listed["Indicator"]
    assert float(shown["Budget left"].removesuffix(" %")) == pytest.approx(100 * listed["Budget left"], abs=0.06)
    assert "events" in app.metric[1].delta
    assert "of 43 min" in app.metric[2].delta


def test_silence_is_no_budget(open_page, empty_place):
    app = open_page(empty_place, Role.VIEWER, "slo", id=SLO)
    assert "Nothing was measured" in texts(app)
    assert {metric.value for metric in app.metric[:5]} == {"No data"}
    assert not app.get("plotly_chart")


def test_without_the_name_of_an_objective_the_page_says_where_they_are(open_page, full_place):
    assert "Choose it on the page SLOs" in texts(open_page(full_place, Role.VIEWER, "slo"))


def test_a_view_that_an_objective_lacks_gives_way_to_its_budget(open_page, full_place):
    app = open_page(full_place, Role.VIEWER, "slo", id="demo_first_impression", view="Members")
    assert "Weight" in app.dataframe[0].value.columns
    app.query_params["id"] = SLO
    app.run()
    assert not broke(app), texts(app)
    assert "API availability" in app.header[0].value
    assert app.get("plotly_chart")
    app = open_page(full_place, Role.VIEWER, "slo", id=SLO, view="Groups")
    assert not broke(app), texts(app)


def test_groups_are_listed_worst_first(open_page, full_place):
    app = open_page(full_place, Role.VIEWER, "slo", id="demo_model_calls", view="Groups")
    groups = app.dataframe[0].value
    assert groups["Group"].str.startswith("model=").all()
    assert groups["Budget left"].is_monotonic_increasing


def test_burn_is_shown_against_its_thresholds(open_page, full_place):
    app = open_page(full_place, Role.VIEWER, "slo", id=SLO, view="Alerts")
    pairs = app.dataframe[0].value
    assert list(pairs["Fires above"]) == ["14.40x", "6.00x", "3.00x", "1.00x"]
    assert all(0 <= share < 1 for share in pairs["Of threshold"])


# ---- Corrections and notes ----


def test_a_viewer_sees_corrections_and_cannot_change_them(open_page, full_place):
    open_page(full_place, Role.VIEWER)
    correct("Moved the rack")
    app = open_page(full_place, Role.VIEWER, "slo", id=SLO, view="Corrections and notes")
    assert any("Moved the rack" in set(table.value.get("Reason", ())) for table in app.dataframe)
    assert not labels(app) & {"Take it out", "Withdraw it", "Note it", "Delete it"}


def test_an_operator_takes_time_out_and_back(open_page, empty_place):
    app = open_page(empty_place, Role.OPERATOR, "slo", id=SLO, view="Corrections and notes")
    app = press(app, "slo.correct.0.save")
    assert "nothing was stored" in texts(app)
    assert stored() == []
    app.text_input(key="slo.correct.0.reason").set_value("Moved the rack")
    app = press(app, "slo.correct.0.save")
    (kept,) = stored()
    assert not app.text_input(key="slo.correct.1.reason").value
    assert (kept.reason, kept.slo_id, kept.rrule) == ("Moved the rack", SLO, None)
    app = press(app.run(), f"slo.withdraw.{kept.id}")
    assert stored()[0].withdrawn_at is not None
    assert not app.exception


def test_a_correction_that_recurs_shows_when_before_it_is_stored(open_page, full_place):
    app = open_page(full_place, Role.OPERATOR, "slo", id=SLO, view="Corrections and notes")
    app = app.selectbox(key="slo.correct.0.rhythm").select("By a rule").run()
    assert "It takes place" in texts(app)
    app = app.text_input(key="slo.correct.0.rule").set_value("FREQ=SOMETIMES").run()
    assert not broke(app)
    assert "It takes place" not in texts(app)


def test_an_operator_notes_what_happened(open_page, empty_place):
    app = open_page(empty_place, Role.OPERATOR, "slo", id=SLO, view="Corrections and notes")
    app.text_input(key="slo.note.0.title").set_value("A disk was full")
    app = press(app, "slo.note.0.save").run()
    assert any("A disk was full" in set(table.value.get("Title", ())) for table in app.dataframe)


# ---- Definition ----


def test_a_definition_is_shown_with_its_history(open_page, empty_place):
    open_page(empty_place, Role.OPERATOR)
    with session_scope(get_context().engine) as session:
        shipped = defaults.objective("cache_hit_rate")
        for target in ("0.7", "0.6"):
            catalogue.save(session, replace(shipped, target=Decimal(target)), actor="ada@example.org", note="Looser")
    data.forget_all()
    app = open_page(empty_place, Role.OPERATOR, "slo", id="cache_hit_rate", view="Definition")
    assert "60 % of events" in texts(app)
    history = app.dataframe[0].value
    assert list(history["Revision"]) == [2, 1, 0]
    assert list(history["Why"]) == ["Looser", "Looser", "As shipped"]
    assert "target: 60%" in app.code[0].value
