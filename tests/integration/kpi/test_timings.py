"""How long things took, from Prometheus and from this process."""

from datetime import datetime, timedelta

import pytest
from prometheus_client import Histogram

from analytics.core.clock import Interval
from analytics.kpi.timings import courses, own_timings, timings
from analytics.sources.prometheus import PromClient

pytestmark = pytest.mark.integration

HTTP = "helmsight_http_request_duration_seconds"
MINUTE = timedelta(minutes=1)


@pytest.mark.prometheus
def test_prometheus_tells_how_long_requests_took_by_group(prom: PromClient, known_start: datetime) -> None:
    hour = Interval(known_start, known_start + 60 * MINUTE)
    [found] = timings(prom, HTTP, ("group", "area"), hour)
    assert found.labels == ("api", "")
    assert found.count == pytest.approx(3600, rel=0.02)
    assert found.p50_s is not None
    assert found.p50_s <= 0.5
    assert found.p95_s == pytest.approx(0.5, abs=0.01)
    assert found.p99_s is not None
    assert 0.5 < found.p99_s <= 2


@pytest.mark.prometheus
def test_a_course_has_every_step_and_gaps_where_nothing_was_counted(prom: PromClient, known_start: datetime) -> None:
    interval = Interval(known_start + 100 * MINUTE, known_start + 160 * MINUTE)
    points = courses(prom, HTTP, "group", 0.95, interval, step=5 * MINUTE)["api"]
    assert [start for start, _ in points] == [interval.since + place * 5 * MINUTE for place in range(12)]
    assert points[0][1] == pytest.approx(0.5, abs=0.01)
    assert points[6][1] is None, "nothing was seen from minute 120 to 140"


def test_a_process_tells_what_it_counted_itself() -> None:
    histogram = Histogram("test_timings", "Of this test.", ["group", "area"], buckets=(0.1, 1.0), registry=None)
    for seconds in (0.05, 0.05, 0.5, 0.5):
        histogram.labels("api", "runs").observe(seconds)
    histogram.labels("page", "").observe(0.05)
    histogram.labels("auth", "")
    api, page = own_timings(histogram, ("group", "area"))
    assert (api.labels, api.count, api.mean_s) == (("api", "runs"), 4, pytest.approx(0.275))
    assert (api.p50_s, api.p95_s) == (0.1, pytest.approx(0.91))
    assert page.labels == ("page", "")
    [by_group, _] = own_timings(histogram, ("group",))
    assert by_group.labels == ("api",)
