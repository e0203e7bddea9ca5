"""What the overview says of the score, and how figures are laid out, without a page."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from analytics.core.clock import Interval
from analytics.kpi.model import CounterSource, Direction, Kpi, KpiReading
from analytics.kpi.score import score_of
from analytics.store.queries.annotations import AnnotationRow
from dashboard.components import score as components
from dashboard.components.kpi_thresholds import scale_of
from dashboard.components.kpis import key_words, marks_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = Interval(NOON - timedelta(days=1), NOON)


def reading(name: str, value: float | None) -> KpiReading:
    kpi = Kpi(name, name, "g", "", Direction.HIGHER, "d", CounterSource("x"), 90, 80, 70)
    return KpiReading(kpi, value, kpi.rate(value), 20, NOON, DAY)


def released(title: str, hours_ago: float, kind: str = "deploy") -> AnnotationRow:
    return AnnotationRow(uuid.uuid4(), NOON - timedelta(hours=hours_ago), None, kind, title, None, "live", None)


def test_the_lines_of_the_score_add_up_with_the_limit_after_what_has_data() -> None:
    score = score_of([reading("bad", 55), *(reading(name, 100) for name in "abc"), reading("silent", None)])
    assert score.value is not None
    lines = components._lines(score)
    assert [line.title for line in lines] == ["bad", "a", "b", "c", "Limit: 30 above bad", "silent"]
    assert sum(line.lost or 0 for line in lines) == pytest.approx(100 - score.value)


def test_a_score_that_is_not_known_says_why() -> None:
    score = score_of([reading("a", 90), *(reading(name, None) for name in "bcd")])
    assert components.score_text(score.value) == "No data"
    assert "25 % of the figures" in components._why_no_score(score)


def test_names_of_releases_are_shown_where_there_is_room_the_newest_first() -> None:
    rows = [
        released("too old", 30),
        released("first", 20),
        released("hidden", 5),
        released("note", 4, kind="note"),
        released("last", 1),
    ]
    assert [(mark.label) for mark in marks_of(rows, DAY)] == ["last", "", "first"]


@pytest.mark.parametrize(
    ("unit", "factor", "typed"), [("ratio", 100, "%"), ("s", 1, "seconds"), ("points", 1, "points")]
)
def test_thresholds_are_typed_in_the_unit_people_read(unit: str, factor: float, typed: str) -> None:
    kpi = Kpi("x", "X", "g", unit, Direction.HIGHER, "d", CounterSource("x"), 0.9, 0.8, 0.7)
    assert scale_of(kpi) == (factor, typed)


def test_parts_of_a_pair_stand_beside_each_other_and_what_has_no_name_says_so() -> None:
    assert key_words("planner\x1fcontract") == "planner · contract"
    assert key_words("") == "(not named)"
