"""What the numbers of an objective are called."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from analytics.core.clock import Interval
from analytics.core.errors import InputError, NotFoundError
from analytics.slo.defaults import answered_within, counted, objective, objectives
from analytics.slo.evaluate import Facts, SloStatus, evaluate
from analytics.slo.model import MONTH, Objective, PromEvents, SloState

NOW = datetime(2026, 1, 31, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
QUIET_WINDOWS = (timedelta(minutes=5), timedelta(minutes=30), HOUR, 2 * HOUR, 6 * HOUR, DAY, 3 * DAY)
QUIET = dict.fromkeys(QUIET_WINDOWS, (10.0, 10.0))


def status(
    good: float = 99_990,
    total: float = 100_000,
    *,
    target: str = "0.999",
    coverage_ratio: float = 1.0,
    windows: dict[timedelta, tuple[float, float]] | None = None,
) -> SloStatus:
    item = Objective("x", "X", "s", Decimal(target), counted("x_total", bad='a="b"'), "d")
    facts = Facts(
        good=good,
        total=total,
        coverage_ratio=coverage_ratio,
        windows=QUIET if windows is None else windows,
        measured_at=NOW,
        demo_total=0,
        series=[],
    )
    return evaluate(item, facts, interval=Interval.last(MONTH, now=NOW), now=NOW)


def test_a_quiet_month_within_budget_is_healthy() -> None:
    healthy = status()
    assert healthy.state is SloState.HEALTHY
    assert healthy.compliant is True
    assert healthy.margin == pytest.approx(0.0009)


def test_no_events_are_no_data_and_not_healthy() -> None:
    silent = status(0, 0, windows={})
    assert silent.state is SloState.NO_DATA
    assert (silent.sli, silent.compliant, silent.margin, silent.budget) == (None, None, None, None)
    assert set(silent.burn_rates.values()) == {None}


def test_less_than_nine_tenths_measured_says_nothing_about_compliance() -> None:
    partial = status(coverage_ratio=0.89)
    assert partial.state is SloState.INSUFFICIENT_DATA
    assert partial.compliant is None
    assert partial.sli is not None
    assert status(coverage_ratio=0.9).state is SloState.HEALTHY


def test_a_budget_that_is_gone_is_exhausted() -> None:
    gone = status(99_800)
    assert gone.state is SloState.EXHAUSTED
    assert gone.compliant is False
    assert gone.margin == pytest.approx(-0.001)
    assert gone.exhausted_in == timedelta(0)


def test_a_fast_burn_in_both_windows_degrades() -> None:
    burning = {**QUIET, HOUR: (900.0, 1000.0), timedelta(minutes=5): (90.0, 100.0)}
    assert status(windows=burning).state is SloState.DEGRADED


def test_a_burn_that_has_stopped_does_not() -> None:
    stopped = {**QUIET, HOUR: (900.0, 1000.0), timedelta(minutes=5): (100.0, 100.0)}
    assert status(windows=stopped).state is SloState.HEALTHY


def test_two_bad_events_of_a_quiet_service_are_no_burn() -> None:
    noise = {**QUIET, HOUR: (18.0, 20.0), timedelta(minutes=5): (0.0, 2.0)}
    assert status(windows=noise).state is SloState.HEALTHY


def test_a_day_that_spends_too_fast_is_at_risk() -> None:
    slow = status(windows={**QUIET, DAY: (9_980.0, 10_000.0)})
    assert slow.state is SloState.AT_RISK
    assert slow.burn_rates[DAY] == pytest.approx(2)
    assert slow.exhausted_in == pytest.approx(0.9 * MONTH / 2, abs=timedelta(seconds=1))


def test_a_target_of_all_is_defined() -> None:
    assert status(10, 10, target="1").state is SloState.HEALTHY
    assert status(9, 10, target="1").state is SloState.EXHAUSTED


def test_exactly_the_target_is_compliant() -> None:
    assert status(999, 1000).compliant is True


def test_the_nine_objectives_have_the_targets_of_the_requirements() -> None:
    assert {item.id: str(item.target) for item in objectives()} == {
        "api_availability": "0.999",
        "api_latency_p95": "0.95",
        "api_latency_p99": "0.99",
        "dashboard_load_time": "0.90",
        "llm_api_success_rate": "0.99",
        "assessment_completion_rate": "0.95",
        "database_query_latency": "0.99",
        "cache_hit_rate": "0.80",
        "websocket_connection_success": "0.995",
    }
    assert objective("cache_hit_rate").budget_ratio == 0.2
    assert objective("api_availability").budget_ratio == 0.001
    with pytest.raises(NotFoundError):
        objective("nothing")


def test_a_bound_that_is_no_bucket_is_refused_with_those_there_are() -> None:
    with pytest.raises(NotFoundError, match=r"there are 0\.005"):
        answered_within("x_seconds", 0.3)
    assert answered_within("x_seconds", 0.1).threshold == Decimal("0.1")


def test_an_objective_that_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="not both"):
        PromEvents(total="a", present="a", good="b", bad="c")
    with pytest.raises(InputError, match="above 0"):
        Objective("x", "X", "s", Decimal(0), counted("x_total", bad='a="b"'), "d")
