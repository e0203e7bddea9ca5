"""The text of an objective in the editor: what is wrong with it and where, and what the form makes of it."""

from datetime import UTC, datetime

import pytest
import yaml

from analytics.slo.defaults import objectives
from analytics.slo.specs.native import parse_document
from dashboard.components import slo_report
from dashboard.components.slo_editor import (
    EXAMPLE,
    NEVER,
    Draft,
    check,
    draft_of,
    keep,
    text_of,
    text_of_objective,
    with_value,
)


def test_the_example_has_no_mistakes():
    assert check(EXAMPLE).objective is not None


@pytest.mark.parametrize("objective", objectives(), ids=lambda item: item.id)
def test_a_shipped_objective_comes_back_from_its_text(objective):
    text = text_of_objective(objective)
    assert text_of_objective(check(text).objective) == text


def test_every_mistake_is_told_with_its_line_and_what_to_write():
    text = EXAMPLE.replace("99.9%", "99.9").replace("window: {", "windw: {").replace("    total:", "    totl:")
    found = {problem["path"]: problem for problem in check(text).problems}
    assert {path: problem["line"] for path, problem in found.items()} == {
        "target": 6,
        "windw": 7,
        "indicator.events.totl": 10,
        "indicator.events.total": 9,
    }
    assert "did you mean 'window'" in found["windw"]["reason"]
    assert check(text).objective is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "begins with slo: v1"),
        ("- a\n- b\n", "begins with slo: v1"),
        ("slo: v1\nslo: v1\n", "given twice"),
        ("slo: [\n", "flow"),
        ("a: &a 1\nb: *a\n", "aliases"),
    ],
)
def test_text_that_is_no_objective_says_why(text, words):
    checked = check(text)
    assert checked.objective is None
    assert words in checked.problems[0]["reason"]


def test_a_problem_that_only_the_place_knows_points_at_the_line():
    checked = check(EXAMPLE).refused("id", "it is taken")
    assert checked.objective is None
    assert checked.problems == [{"line": 3, "path": "id", "reason": "it is taken"}]


def test_a_value_is_put_in_and_taken_out_with_what_it_leaves_empty():
    document = {"id": "a", "alerting": {"min_bad": 5}}
    assert with_value(document, "alerting.min_bad", 7) == {"id": "a", "alerting": {"min_bad": 7}}
    assert with_value(document, "alerting.min_bad", None) == {"id": "a"}
    assert with_value(document, "window.rolling", "7d")["window"] == {"rolling": "7d"}
    assert with_value(document, "alerting.no_data_after", NEVER)["alerting"] == {"min_bad": 5, "no_data_after": None}
    assert document == {"id": "a", "alerting": {"min_bad": 5}}


def test_what_the_form_writes_is_read_back():
    document = with_value(check(EXAMPLE).document, "alerting.no_data_after", NEVER)
    document = with_value(document, "indicator", {"sql": {"rows": "SELECT at, good\nFROM calls"}})
    text = text_of(document)
    assert "rows: |-\n" in text
    assert yaml.safe_load(text) == document
    read = parse_document(check(text).document)
    assert read.alerting.no_data_after is None


def test_a_draft_tells_the_form_and_the_text_apart():
    session = {}
    draft = draft_of(session, "a", None, None, 0)
    assert draft.text == EXAMPLE
    typed = draft.typed("x")
    assert (typed.revision, typed.form) == (draft.revision, draft.form + 1)
    filled = draft.filled_in("y")
    assert (filled.revision, filled.form) == (draft.revision + 1, draft.form)
    keep(session, "a", filled)
    assert draft_of(session, "a", None, None, 0) == filled


def test_a_draft_that_was_saved_holds_nothing_new():
    draft = Draft("typed", "old", 3)
    assert draft.is_changed
    saved = draft.saved("typed", 4)
    assert (saved.is_changed, saved.base) == (False, 4)
    assert saved.revision != draft.revision


# ---- Periods of the report ----

NOW = datetime(2027, 1, 2, 12, tzinfo=UTC)


def test_periods_begin_with_the_present_month_in_the_zone_of_the_reader():
    names = list(slo_report.periods(NOW, "UTC").items())
    assert names[:2] == [("2027-01", "January 2027, to date"), ("2026-12", "December 2026")]
    just_before_midnight = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)
    assert next(iter(slo_report.periods(just_before_midnight, "Europe/Berlin"))) == "2027-01"


def test_weeks_are_named_by_their_own_year():
    periods = slo_report.periods(NOW, "UTC")
    assert periods["2026-W53"] == "Week 53 of 2026, to date"
    assert periods["2026-Q4"] == "Quarter 4 of 2026"


def test_earlier_and_later_stay_among_periods_of_a_kind():
    names = list(slo_report.periods(NOW, "UTC"))
    assert slo_report.neighbour("2027-01", names, 1) == "2026-12"
    assert slo_report.neighbour("2026-12", names, -1) == "2027-01"
    assert slo_report.neighbour("2027-01", names, -1) is None
    assert slo_report.neighbour("2026-Q4", names, -1) == "2027-Q1"
    assert slo_report.neighbour("14d", names, 1) is None
    assert slo_report.neighbour("30d", names, 1) is None
