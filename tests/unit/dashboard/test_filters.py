"""The filters survive the way through a URL; what cannot be used falls back."""

from datetime import UTC, datetime, timedelta

import pytest

from analytics.core.clock import Interval
from dashboard.auth.roles import Role
from dashboard.filters import LONGEST, RANGES, Filters, Span, fixed, parse_refresh, parse_span, parse_stamp, stamp
from dashboard.links import DEFAULT_PAGE, PAGES, page_of, pages_for, query, url

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
FIXED = Span("custom", NOW - timedelta(hours=4), NOW)


@pytest.mark.parametrize("name", list(RANGES))
def test_a_relative_range_stays_relative_in_the_url(name):
    span = parse_span(name)
    assert span == Span(name)
    assert span.interval(now=NOW) == Interval(NOW - RANGES[name], NOW)


@pytest.mark.parametrize("name", [None, "", "2y", "custom", "<script>"])
def test_a_range_that_cannot_be_used_is_the_default(name):
    assert parse_span(name) == Span("24h")


def test_a_fixed_range_comes_back_from_its_own_link():
    params = Filters(FIXED).params()
    assert params == {"range": "custom", "from": "2026-11-21T08:00Z", "to": "2026-11-21T12:00Z"}
    assert parse_span(params["range"], params["from"], params["to"]) == FIXED


@pytest.mark.parametrize(
    ("since", "until"),
    [("2026-11-21T12:00Z", "2026-11-21T08:00Z"), ("yesterday", "2026-11-21T08:00Z"), (None, "2026-11-21T08:00Z")],
)
def test_a_fixed_range_that_cannot_be_is_the_default(since, until):
    assert parse_span("custom", since, until) == Span("24h")


def test_a_fixed_range_longer_than_a_year_is_cut_at_its_beginning():
    span = parse_span("custom", "1990-01-01T00:00Z", stamp(NOW))
    assert span.length == LONGEST
    assert span.until == NOW


def test_a_fixed_range_does_not_reach_into_the_future():
    assert fixed(NOW - timedelta(hours=1), NOW + timedelta(days=1), now=NOW).until == NOW


def test_a_time_without_zone_counts_as_utc():
    assert parse_stamp("2026-11-21T12:00") == NOW


def test_defaults_are_left_out_of_links():
    assert Filters(Span("24h"), "30s").params() == {}
    assert Filters(Span("7d"), "off").params() == {"range": "7d", "refresh": "off"}


def test_a_fixed_range_pauses_the_refresh():
    assert Filters(Span("1h"), "10s").rhythm == timedelta(seconds=10)
    assert Filters(FIXED, "10s").rhythm is None
    assert Filters(Span("1h"), "off").rhythm is None


@pytest.mark.parametrize("text", [None, "", "1ms", "never"])
def test_a_rhythm_that_is_not_offered_is_the_default(text):
    assert parse_refresh(text) == "30s"


def test_long_ranges_stay_fresh_longer():
    times = [parse_span(name).fresh_for() for name in RANGES]
    assert times == sorted(times)


def test_every_link_carries_the_filters():
    filters = Filters(Span("7d"), "off")
    assert query(filters, slo="api_latency_p95", agent=None) == {
        "range": "7d",
        "refresh": "off",
        "slo": "api_latency_p95",
    }
    assert url("slos", filters, slo="a b") == "/slos?range=7d&refresh=off&slo=a+b"
    assert url(DEFAULT_PAGE, Filters(Span("24h"))) == "/"


def test_every_page_has_a_file_and_a_question():
    assert [page.key for page in PAGES if not page.path.is_file()] == []
    assert [page.key for page in PAGES if "?" not in page.summary] == []


WATCH = {"overview", "agents", "analytics", "performance", "insights", "slos", "slo", "slo_editor", "slo_report"}
WORK = WATCH | {
    "operations",
    "journeys",
    "contexts",
    "workflows",
    "editor",
    "runs",
    "run",
    "compare",
    "ocr",
    "mcp",
    "queue",
}


@pytest.mark.parametrize(
    ("role", "keys"),
    [
        (Role.VIEWER, WATCH),
        (Role.ANALYST, WORK),
        (Role.OPERATOR, WORK | {"database"}),
        (Role.ADMIN, {page.key for page in PAGES}),
    ],
)
def test_a_role_sees_its_pages_and_no_others(role, keys):
    assert {page.key for pages in pages_for(role).values() for page in pages} == keys


def test_a_page_that_does_not_exist_is_our_mistake():
    with pytest.raises(KeyError):
        page_of("nowhere")
