"""When an agent is healthy, and how its time is cut into steps."""

from datetime import UTC, datetime, timedelta

import pytest

from analytics.agents import AgentHealth
from analytics.agents.performance import health_of
from analytics.core.clock import Interval
from analytics.rollup.steps import trend_step

NOW = datetime(2026, 3, 18, 15, 20, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("completed", "failed", "health"),
    [
        pytest.param(0, 0, AgentHealth.UNSURE, id="nothing-ended"),
        pytest.param(5, 4, AgentHealth.UNSURE, id="too-few"),
        pytest.param(950, 50, AgentHealth.HEALTHY, id="as-good-as-good"),
        pytest.param(949, 51, AgentHealth.UNSURE, id="just-below-good"),
        pytest.param(15, 1, AgentHealth.UNSURE, id="one-bad-run"),
        pytest.param(930, 70, AgentHealth.DEGRADED, id="below-good-and-sure"),
        pytest.param(850, 150, AgentHealth.FAILING, id="bad-and-sure"),
    ],
)
def test_an_agent_fails_when_chance_does_not_explain_it(completed: int, failed: int, health: AgentHealth) -> None:
    assert health_of(completed, failed) is health


def test_bounds_of_the_key_figure_count() -> None:
    assert health_of(960, 40, good=0.99, warning=0.5) is AgentHealth.DEGRADED
    assert health_of(60, 40, good=0.55, warning=0.5) is AgentHealth.HEALTHY


@pytest.mark.parametrize(
    ("length", "step"),
    [
        (MINUTE, MINUTE),
        (HOUR, 2 * MINUTE),
        (6 * HOUR, 12 * MINUTE),
        (7 * HOUR, HOUR),
        (2 * DAY, 2 * HOUR),
        (7 * DAY, DAY),
        (30 * DAY, DAY),
        (366 * DAY, 12 * DAY),
    ],
)
def test_a_trend_has_about_thirty_steps_of_what_the_rollup_can_read(length: timedelta, step: timedelta) -> None:
    assert trend_step(Interval(NOW - length, NOW)) == step
