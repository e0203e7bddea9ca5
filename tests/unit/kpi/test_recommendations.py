"""Recommendations: when each rule speaks, what it says, and what it promises."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from analytics.core.clock import Interval
from analytics.kpi.model import CounterSource, Direction, Kpi, KpiReading, KpiState
from analytics.kpi.recommendations import Cause, recommend, worst_part
from analytics.kpi.score import score_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = Interval(NOON - timedelta(days=1), NOON)


def reading(
    name: str, value: float | None, *, samples: int = 1000, key: str = "", dims: Mapping[str, str] | None = None
) -> KpiReading:
    """A share that is better when higher; without a value it has no source."""
    kpi = Kpi(
        name,
        name.title(),
        "agents",
        "ratio",
        Direction.HIGHER,
        "d",
        CounterSource("x"),
        0.98,
        0.95,
        0.9,
        dims=dims or {},
    )
    state = KpiState.NO_SOURCE if value is None else kpi.rate(value)
    return KpiReading(kpi, value, state, samples, None if value is None else NOON, DAY, key=key)


def test_what_is_on_target_needs_nothing() -> None:
    assert recommend(score_of([reading("a", 0.99), reading("b", 0.98)])) == []


def test_the_greatest_gain_comes_first_and_is_what_the_score_would_gain() -> None:
    score = score_of([reading("a", 0.97), reading("b", 0.92), reading("c", 1.0)])
    first, second = recommend(score)
    assert (first.rule, first.kpi_id, first.value, first.value_after) == ("below_target", "b", 0.92, 0.98)
    assert first.gain == pytest.approx((90 - 74) / 3)
    assert second.gain == pytest.approx((90 - (90 - 10 / 3)) / 3)
    assert first.evidence == ("B is 92 % over 1 d (1,000 samples); the target is at least 98 %. It costs 8.67 points.")


def test_a_figure_that_holds_the_score_down_says_so() -> None:
    readings = [reading("bad", 0.86), *(reading(name, 1.0) for name in "abc")]
    found = recommend(score_of(readings))[0]
    assert "The score is held to 30 above it, its worst figure: 18.8 points more." in found.evidence
    assert found.gain == pytest.approx(97.5 - 65)


def test_a_source_that_is_not_there_is_named_with_its_weight() -> None:
    (found,) = recommend(score_of([reading("a", 1.0), reading("b", 1.0), reading("c", None)]))
    assert (found.rule, found.gain) == ("not_measured", None)
    assert found.evidence == "33.3 % of the score's weight has no source: C."


def test_what_was_found_elsewhere_is_weighed_by_what_it_would_bring() -> None:
    score = score_of([reading("a", 0.92), reading("b", 1.0)])
    causes = [
        Cause("regression", "a", "Look at release 1.4", "It fell from 97 % to 92 %.", "insights", value_after=0.97),
        Cause("missing_index", "a", "Create an index", "It saves 12 s of 40 s.", "database"),
        Cause("regression", "a", "Nothing gained", "It fell by little.", "insights", value_after=0.92),
    ]
    found = recommend(score, causes)
    assert [item.title for item in found][1:] == ["Look at release 1.4", "Create an index"]
    assert found[2].gain is None
    assert len(recommend(score, causes, most=1)) == 1


def test_the_agent_that_fails_beyond_chance_is_named_with_what_the_rest_does() -> None:
    whole = reading("runs", (490 + 240 + 95) / 1000)
    parts = [
        reading("runs", 0.98, samples=500, key="good"),
        reading("runs", 0.60, samples=400, key="bad"),
        reading("runs", 0.95, samples=100, key="fair"),
    ]
    found = worst_part(whole, "agent", parts)
    assert found is not None
    assert found.title == "Look at the agent bad"
    assert found.evidence == "Runs: 60 % for the agent bad (400 samples), 97.5 % for all others (600 samples)."
    assert found.value_after == pytest.approx(0.975)
    assert found.params == {"kpi": "runs", "by": "agent"}


@pytest.mark.parametrize(
    ("value", "samples"),
    [
        pytest.param(0.90, 40, id="within chance"),
        pytest.param(0.20, 29, id="too few"),
        pytest.param(1.00, 400, id="better than the rest"),
    ],
)
def test_a_part_that_is_small_or_hardly_worse_is_not_blamed(value: float, samples: int) -> None:
    others = 1000 - samples
    whole = reading("runs", (value * samples + 0.96 * others) / 1000)
    parts = [reading("runs", value, samples=samples, key="x"), reading("runs", 0.96, samples=others, key="y")]
    found = worst_part(whole, "agent", parts)
    assert found is None or "agent x" not in found.title


def test_the_only_part_there_is_is_not_blamed_for_the_whole() -> None:
    assert worst_part(reading("runs", 0.5), "agent", [reading("runs", 0.5, key="only")]) is None
