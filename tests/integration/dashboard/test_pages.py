"""Every page, in every role, with nothing, with thirty days, and with PostgreSQL and Redis away."""

import pytest

from analytics.live.agents import agent_states
from analytics.slo import objectives
from dashboard.auth.roles import Role
from dashboard.links import PAGES, page_of, pages_for

pytestmark = pytest.mark.integration

LISTED = [page.key for page in PAGES if page.is_listed]


def texts(app) -> str:
    """Return all words of a page."""
    kinds = (app.markdown, app.caption, app.header, app.title, app.error, app.warning, app.info, app.success)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def broke(app) -> bool:
    return bool(app.exception) or "This part of the page failed" in texts(app)


@pytest.mark.parametrize("page", LISTED)
@pytest.mark.parametrize("place", ["empty_place", "full_place"])
def test_no_page_breaks_for_an_administrator(open_page, request, place, page):
    app = open_page(request.getfixturevalue(place), Role.ADMIN, page)
    assert not broke(app), texts(app)
    assert page_of(page).title in app.title[0].value


@pytest.mark.parametrize(
    ("role", "page"),
    [
        (role, page.key)
        for role in (Role.VIEWER, Role.ANALYST, Role.OPERATOR)
        for pages in pages_for(role).values()
        for page in pages
        if page.is_listed
    ],
)
def test_every_role_opens_its_pages(open_page, full_place, role, page):
    app = open_page(full_place, role, page)
    assert not broke(app), texts(app)
    assert page_of(page).title in app.title[0].value


@pytest.mark.parametrize(("role", "page"), [(Role.VIEWER, "queue"), (Role.VIEWER, "run"), (Role.OPERATOR, "admin")])
def test_a_page_above_the_role_says_so_and_shows_nothing_of_itself(open_page, full_place, role, page):
    app = open_page(full_place, role, page)
    assert "You do not have permission" in texts(app)
    assert not app.dataframe
    assert not app.metric


@pytest.mark.parametrize("page", LISTED)
def test_a_page_says_what_is_away_and_what_still_works(open_page, away_place, page):
    app = open_page(away_place, Role.ADMIN, page)
    assert not broke(app), texts(app)
    assert "PostgreSQL is away" in texts(app)
    assert "last values they read" in texts(app)
    assert "recovers by itself" in texts(app)


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("overview", "No run yet"),
        ("agents", "No agent was seen"),
        ("analytics", "Nothing happened yet"),
        ("slos", "0 of 9"),
        ("workflows", "No run"),
        ("ocr", "No document yet"),
        ("mcp", "No MCP server is known yet"),
        ("queue", "No run worker is alive"),
    ],
)
def test_an_empty_page_says_so_and_what_to_do(open_page, empty_place, page, words):
    app = open_page(empty_place, Role.OPERATOR, page)
    shown = texts(app) + "".join(str(metric.value) for metric in app.metric)
    assert words in shown


def test_silence_is_never_a_number(open_page, empty_place):
    app = open_page(empty_place, Role.VIEWER)
    values = {metric.label: metric.value for metric in app.metric}
    assert values["Runs completed"] == "No data"
    assert "0 %" not in values.values()
    assert "100 %" not in values.values()


def test_a_viewer_sees_that_runs_ran_but_no_way_to_open_them(open_page, full_place):
    def opens(app) -> bool:
        return any("button" in table.proto.columns for table in app.dataframe if "Workflow" in table.value.columns)

    assert not opens(open_page(full_place, Role.VIEWER))
    assert opens(open_page(full_place, Role.ANALYST))


def test_demo_history_is_labelled(open_page, full_place):
    assert "Demo data" in texts(open_page(full_place, Role.VIEWER))
    assert "Demo data" in texts(open_page(full_place, Role.VIEWER, "slos"))


def test_the_overview_shows_the_score_and_at_most_six_figures_in_its_first_rows(open_page, full_place):
    labels = [metric.label for metric in open_page(full_place, Role.VIEWER).metric]
    assert labels[0] == "Performance score"
    assert len(labels) <= 7


def test_the_objectives_page_lists_the_nine_and_those_of_the_demo(open_page, full_place):
    app = open_page(full_place, Role.VIEWER, "slos")
    table = app.dataframe[0].value
    assert {item.title for item in objectives()} < set(table["Objective"])
    assert {"Objective", "State", "Target", "Indicator", "Budget left", "Burn 1 h", "Burn 6 h", "Coverage"} <= set(
        table.columns
    )


def test_an_objective_has_its_own_link(open_page, full_place):
    app = open_page(full_place, Role.VIEWER, "slos", slo="api_availability")
    assert any("API availability" in str(element.value) for element in app.header)
    assert len(app.get("plotly_chart")) == 2


@pytest.mark.parametrize(
    ("page", "param", "words"),
    [
        ("slos", "slo", "There is no objective"),
        ("overview", "kpi", "There is no such key figure"),
        ("agents", "agent", "No agent called"),
        ("workflows", "workflow", "There is no workflow called"),
        ("run", "run", "is not the number of a run"),
        ("ocr", "document", "is not the number of a document"),
        ("mcp", "server", "No MCP server"),
    ],
)
def test_a_link_to_what_is_not_there_says_so(open_page, full_place, page, param, words):
    app = open_page(full_place, Role.OPERATOR, page, **{param: "gone"})
    assert not app.exception
    assert words in texts(app)


def test_a_run_that_does_not_exist_is_not_found(open_page, full_place):
    app = open_page(full_place, Role.ANALYST, "run", run="00000000-0000-7000-8000-000000000000")
    assert "There is no run" in texts(app)


def test_a_key_figure_has_its_own_link(open_page, full_place):
    app = open_page(full_place, Role.VIEWER, "overview", kpi="run_success", range="30d")
    assert "How it is computed" in texts(app)
    assert len(app.get("plotly_chart")) == 1


def test_the_score_has_its_own_link_with_every_part_of_it_and_what_to_do(open_page, full_place):
    app = open_page(full_place, Role.VIEWER, "overview", kpi="performance_score", range="30d")
    assert not broke(app), texts(app)
    parts = app.dataframe[0].value
    score = float(app.metric[0].value)
    assert sum(float(lost) for lost in parts["Lost"].dropna()) == pytest.approx(
        100 - score, abs=0.05 * len(parts) + 0.05
    )
    assert {"Performance score", "What to do", "Measures of success"} <= {
        str(element.value).split(" :")[0] for kind in (app.header, app.subheader) for element in kind
    }
    assert len(app.get("plotly_chart")) == 1


def test_an_operator_sets_the_thresholds_of_a_figure_and_the_page_shows_them(open_page, empty_place):
    app = open_page(empty_place, Role.OPERATOR, "overview", kpi="llm_success")
    app.session_state["kpi.thresholds"] = True
    app.run()
    app.number_input("kpi.edit.llm_success.0.Good to").set_value(99.5)
    app.button("FormSubmitter:kpi.edit.llm_success.0-Save").click().run()
    assert "its bounds must fall" in texts(app)
    app.number_input("kpi.edit.llm_success.0.Target").set_value(99.9)
    app.text_input("kpi.edit.llm_success.0.note").set_value("stricter")
    app.button("FormSubmitter:kpi.edit.llm_success.0-Save").click().run()
    assert not broke(app), texts(app)
    assert app.table[0].value.iloc[0, -1] == "≥ 99.9 %"
    assert list(app.dataframe[0].value["Why"]) == ["stricter", "As shipped"]
    seen = open_page(empty_place, Role.VIEWER, "overview", kpi="llm_success")
    seen.session_state["kpi.thresholds"] = True
    assert not seen.run().number_input


def test_first_screens_do_without_plotly(open_page, full_place):
    for page in ("overview", "slos", "agents", "queue"):
        assert not open_page(full_place, Role.ADMIN, page).get("plotly_chart")


def test_an_agent_has_its_own_link(open_page, full_place, page_redis):
    chosen = agent_states(page_redis)[0]
    app = open_page(full_place, Role.VIEWER, "agents", range="30d", agent=chosen.agent_id)
    assert len(app.dataframe) == 2
    assert {metric.label for metric in app.metric} == {"Runs", "Success", "P95 of a run", "Cost"}


@pytest.mark.parametrize(
    ("view", "words", "charts", "shown"),
    [
        ("Agents", "Share of completed runs", 1, {"Health", "95 % sure", "P95 over time", "Per success"}),
        ("Models and cost", "what they cost is unknown, not nothing", 1, {"Cost", "Price unknown", "Per success"}),
        ("Trends", "What moves together", 0, set()),
    ],
)
def test_every_view_of_analytics_shows_the_month(open_page, full_place, *, view, words, charts, shown):
    app = open_page(full_place, Role.VIEWER, "analytics", range="30d", view=view)
    assert words in texts(app)
    assert "Demo data" in texts(app)
    assert len(app.get("plotly_chart")) == charts
    assert not shown or shown <= set(app.dataframe[0].value.columns)


def test_rows_behind_a_cost_are_shown_to_those_who_may_see_rows(open_page, full_place):
    params = {"range": "30d", "view": "Models and cost", "rows": "demo-ads"}
    assert "Newest rows of demo" in texts(open_page(full_place, Role.ANALYST, "analytics", **params))
    assert "Newest rows" not in texts(open_page(full_place, Role.VIEWER, "analytics", **params))


@pytest.mark.parametrize("name", ["range", "refresh"])
def test_mangled_filters_fall_back(open_page, full_place, name):
    app = open_page(full_place, Role.VIEWER, "overview", **{name: "<script>"})
    assert not broke(app)


def test_a_fixed_range_in_the_url_is_used_and_pauses_the_page(open_page, full_place):
    app = open_page(
        full_place, Role.VIEWER, "overview", range="custom", **{"from": "2026-11-01T08:00Z", "to": "2026-11-01T12:00Z"}
    )
    assert "Fixed range" in texts(app)


def test_the_range_survives_a_change_of_page(open_page, full_place):
    app = open_page(full_place, Role.ADMIN, "overview", range="7d")
    app.switch_page("app_pages/slos.py").run()
    assert app.query_params["range"] == "7d"


def test_secrets_are_never_on_the_settings_page(open_page, full_place):
    app = open_page(full_place, Role.ADMIN, "admin", section="Settings")
    table = app.dataframe[0].value
    row = table[table["Variable"] == "HELMSIGHT_STORE__DSN"].iloc[0]
    assert row["In force"] == "set (hidden)"
    assert full_place.dsn not in table.to_string()
