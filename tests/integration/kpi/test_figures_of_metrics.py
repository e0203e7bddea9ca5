"""Figures that only metrics of our processes tell, as a Prometheus with known samples has them."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.kpi import KpiState, read_by, read_kpis
from analytics.sources.prometheus import PromClient

pytestmark = [pytest.mark.integration, pytest.mark.prometheus]

START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = Interval(START, START + timedelta(hours=1))
_BREAKER = "helmsight_mcp_circuit_breaker_open"
_NETWORK = "helmsight_system_network_bytes_total"
_ANSWERS = "helmsight_cache_answer_duration_seconds_bucket"


@pytest.fixture(scope="module")
def url(serve: Callable[[str], str]) -> str:
    """The address of a Prometheus that has seen two workers for an hour.

    One worker was refused by the server ``away`` in the first half, the other never; both could call ``here``. Of 60
    answers a minute from a cache, 57 took at most 1 ms and the others up to 5 ms; reading anew took half a second.
    The host received 2 kB a minute and sent 1 kB.
    """
    breakers: list[str] = []
    answers: list[str] = []
    for minute in range(61):
        stamp = int((START + timedelta(minutes=minute)).timestamp())
        for worker, server, value in (("a", "away", int(minute <= 30)), ("b", "away", 0), ("a", "here", 0)):
            breakers.append(f'{_BREAKER}{{server="{server}",instance="{worker}"}} {value} {stamp}')
        for source, counts in (("process", (57, 60, 60)), ("computed", (0, 0, 60))):
            for bound, count in zip(("0.001", "0.005", "+Inf"), counts, strict=True):
                labels = f'cache="leads",source="{source}",le="{bound}"'
                answers.append(f"{_ANSWERS}{{{labels}}} {count * minute} {stamp}")
    network = [
        f'{_NETWORK}{{direction="{direction}"}} {1000 * each * minute} {int(START.timestamp()) + 60 * minute}'
        for direction, each in (("in", 2), ("out", 1))
        for minute in range(61)
    ]
    lines = [
        f"# TYPE {_BREAKER} gauge",
        *sorted(breakers, key=lambda line: line.split("}")[0]),
        f"# TYPE {_ANSWERS.removesuffix('_bucket')} histogram",
        *sorted(answers, key=lambda line: line.split("}")[0]),
        f"# TYPE {_NETWORK} gauge",
        *network,
        "# EOF",
        "",
    ]
    return serve("\n".join(lines))


@pytest.fixture
def prom(url: str) -> Iterator[PromClient]:
    with PromClient(url) as client:
        yield client


def test_a_breaker_that_one_worker_finds_open_half_the_time_counts_half_a_server(
    session: Session, prom: PromClient
) -> None:
    (found,) = read_kpis(session, prom, HOUR, ids=["circuit_breakers"])
    assert found.value == pytest.approx(0.25, abs=0.02)
    assert found.state is KpiState.CRITICAL
    assert [value for _, value in found.series][:10] == [0.5] * 10
    assert [value for _, value in found.series][-10:] == [0.0] * 10
    by_server = {reading.key: reading.value for reading in read_by(session, prom, found.kpi.id, "server", HOUR)}
    assert by_server == {"away": pytest.approx(0.5, abs=0.02), "here": 0.0}


def test_the_time_of_a_cache_is_that_of_its_answers_and_not_of_what_was_read_anew(
    session: Session, prom: PromClient
) -> None:
    (found,) = read_kpis(session, prom, HOUR, ids=["cache_p95"])
    assert found.value == pytest.approx(0.001, rel=0.01)
    assert found.state in {KpiState.ON_TARGET, KpiState.GOOD}
    (leads,) = read_by(session, prom, "cache_p95", "cache", HOUR)
    assert (leads.key, leads.value) == ("leads", pytest.approx(0.001, rel=0.01))


def test_bytes_of_the_network_are_told_by_direction(session: Session, prom: PromClient) -> None:
    (found,) = read_kpis(session, prom, HOUR, ids=["system_network"])
    assert found.value == pytest.approx(180_000, rel=0.02)
    by_direction = {reading.key: reading.value for reading in read_by(session, prom, found.kpi.id, "direction", HOUR)}
    assert by_direction == {"in": pytest.approx(120_000, rel=0.02), "out": pytest.approx(60_000, rel=0.02)}
