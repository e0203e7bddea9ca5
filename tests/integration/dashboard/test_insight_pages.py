"""The page Insights: what was found with its evidence, what lies ahead, and bounds that fit."""

from datetime import timedelta

import pytest
from test_pages import broke, texts

from analytics.core.clock import floor_time, utc_now
from analytics.insights import Evidence, Finding, InsightKind
from analytics.insights.findings import get_insight, list_insights, store
from analytics.insights.model import Happening, Number, Related
from analytics.kpi import effective
from analytics.store.engine import session_scope
from dashboard import data
from dashboard.auth.roles import Role
from dashboard.context import get_context

pytestmark = pytest.mark.integration
HOUR = timedelta(hours=1)


def put_finding() -> str:
    now = floor_time(utc_now(), HOUR)
    evidence = Evidence(
        unit="s",
        start=now - 6 * HOUR,
        step=HOUR,
        values=[1.0, 1.1, 1.0, 4.0, 4.1, 4.0],
        samples=120,
        how="Counted by hand.",
        low=[0.8] * 6,
        high=[1.2] * 6,
        expected=[1.0] * 6,
        numbers=[Number("Level after", 4.0, "s")],
        happened=[Happening(now - 3 * HOUR, "Release 9", "deploy", "agents")],
        related=[Related("llm_p95", "", "", "Model call, p95 rose as well")],
        includes_demo=True,
    )
    one = Finding(InsightKind.REGRESSION, "agent_p95", "Agent run, p95 rose to 4 s", 0.97, now - 3 * HOUR, evidence)
    with session_scope(get_context().engine) as session:
        store(session, [one], now=now)
        found = str(list_insights(session)[0].id)
    data.forget_all()
    return found


def test_a_finding_is_shown_with_its_evidence_and_rated(open_page, full_place):
    app = open_page(full_place, Role.ANALYST, "insights")
    app.query_params["id"] = put_finding()
    app.run()
    assert not broke(app), texts(app)
    assert any("Agent run, p95 rose to 4 s" in head.value for head in app.subheader)
    said = texts(app)
    for part in ("Counted by hand.", "Release 9", "Model call, p95 rose as well", "How sure: 97 %"):
        assert part in said
    next(button for button in app.button if button.label == "Useful").click().run()
    assert not broke(app), texts(app)
    assert "1 useful, 0 not. You said: useful." in texts(app)
    with session_scope(get_context().engine) as session:
        (row,) = list_insights(session, kpi_id="agent_p95")
        assert [one.actor for one in get_insight(session, row.id).feedback] == ["analyst@example.org"]


@pytest.mark.parametrize("view", ["Forecast", "Capacity", "Bounds that fit"])
def test_what_lies_ahead_is_drawn_from_history(open_page, full_place, view):
    app = open_page(full_place, Role.OPERATOR, "insights", view=view)
    assert not broke(app), texts(app)
    assert "Too little is known" not in texts(app)
    assert "Nothing was measured yet" not in texts(app)


def test_bounds_that_fit_are_set_by_an_operator_only(open_page, full_place):
    app = open_page(full_place, Role.VIEWER, "insights", view="Bounds that fit")
    assert not [button for button in app.button if button.label.startswith("Set target")]
    app = open_page(full_place, Role.OPERATOR, "insights", view="Bounds that fit")
    next(button for button in app.button if button.label.startswith("Set target")).click().run()
    assert not broke(app), texts(app)
    with session_scope(get_context().engine) as session:
        assert [kpi.revision for kpi in effective(session) if kpi.revision] == [1]


@pytest.mark.parametrize(
    ("view", "words"),
    [
        ("Findings", "Nothing stands out"),
        ("Forecast", "Too little is known to look ahead"),
        ("Capacity", "Nothing was measured yet"),
        ("Bounds that fit", "Too little is known to advise bounds"),
    ],
)
def test_an_empty_installation_says_what_is_needed(open_page, empty_place, view, words):
    app = open_page(empty_place, Role.VIEWER, "insights", view=view)
    assert not broke(app), texts(app)
    assert words in texts(app)
