"""What each kind of indicator asks Prometheus."""

from datetime import timedelta
from decimal import Decimal

import pytest

from analytics.core.errors import InputError
from analytics.slo.model import BooleanEvents, LatencyEvents, NativeLatencyEvents, PromEvents, PromIndicator, RawRatio
from analytics.slo.sources.compile import bucket_matcher, compiled, has_window, in_bucket, selector_of, with_window


@pytest.mark.parametrize(
    ("indicator", "total", "part"),
    [
        pytest.param(
            LatencyEvents("h", Decimal("0.5"), 'area="x"'),
            'sum(increase(h_count{area="x"}[{window}]))',
            'sum(increase(h_bucket{area="x",le="0.5"}[{window}]))',
            id="latency",
        ),
        pytest.param(
            BooleanEvents("probe_success"),
            "sum(count_over_time(probe_success{}[{window}]))",
            "sum(sum_over_time(probe_success{}[{window}]))",
            id="boolean",
        ),
        pytest.param(
            NativeLatencyEvents("h", Decimal("0.25")),
            "histogram_count(sum(increase(h{}[{window}])))",
            "histogram_fraction(0, 0.25, sum(increase(h{}[{window}]))) * histogram_count(sum(increase(h{}[{window}])))"
            " >= 0",
            id="native latency",
        ),
        pytest.param(RawRatio("errors:ratio"), "0 * avg(\nerrors:ratio\n) + 1", "avg(\nerrors:ratio\n)", id="raw"),
    ],
)
def test_every_kind_becomes_a_total_and_a_part(indicator: PromIndicator, total: str, part: str) -> None:
    events = compiled(indicator)
    assert (events.total, events.good or events.bad) == (total, part)
    assert events.good is None if isinstance(indicator, RawRatio) else events.bad is None


def test_a_group_has_a_series_for_each_set_of_labels() -> None:
    events = compiled(LatencyEvents("h", Decimal(1)), ("area", "zone"))
    assert events.total == "sum by (area, zone) (increase(h_count{}[{window}]))"
    written = compiled(PromEvents(total="a # of area\n", bad="b", present="up"), ("area",))
    assert written.total == "sum by (area) (\na # of area\n\n)"
    assert (written.bad, written.present) == ("sum by (area) (\nb\n)", "sum by (area) (\nup\n)")
    with pytest.raises(InputError, match="cannot be the name of a label"):
        compiled(BooleanEvents("up"), ("a) or (b",))


@pytest.mark.parametrize(
    "written", ["x[{window}]", "x[{{.window}}]", "x[{{ .window }}]", "x[{{.Window}}]", "x[window]"]
)
def test_every_spelling_of_the_window_is_filled_in(written: str) -> None:
    assert with_window(written, timedelta(minutes=5)) == "x[300s]"
    assert with_window(written, timedelta(seconds=359.999)) == "x[359999ms]"
    assert has_window(written)
    assert not has_window("x[5m] / window")


@pytest.mark.parametrize(
    ("threshold", "matcher"),
    [
        pytest.param("0.1", 'le="0.1"', id="fraction"),
        pytest.param("0.50", 'le="0.5"', id="fraction with a zero too many"),
        pytest.param("2", 'le=~"2(\\\\.0)?"', id="whole"),
        pytest.param("0.00001", 'le=~"0\\\\.00001|1e\\\\-05"', id="small"),
        pytest.param("2500000", 'le=~"2500000(\\\\.0)?|2\\\\.5e\\\\+06"', id="great"),
    ],
)
def test_a_bucket_is_found_however_its_bound_is_spelled(threshold: str, matcher: str) -> None:
    assert bucket_matcher(Decimal(threshold)) == matcher


@pytest.mark.parametrize(
    ("expression", "asked"),
    [
        ('sum(increase(x_total{a="}"}[{window}]))', 'sum(increase(x_total{a="}"}[300001ms:1m]))'),
        ("sum by (a) (\n rate( x_total [window] ) \n)", "sum by (a) (\n rate(x_total[300001ms:1m]) \n)"),
        ("sum(count_over_time(x[{{.window}}]))", "sum(count_over_time(x[299999ms]))"),
        ("sum(increase(x[1h])) - irate(y[{window}])", "sum(increase(x[1h])) - irate(y[299999ms])"),
        ("sum(increase(x[{window}] offset 5m))", "sum(increase(x[299999ms] offset 5m))"),
    ],
)
def test_a_bucket_reads_a_counter_at_its_bounds_and_shares_no_sample(expression: str, asked: str) -> None:
    assert in_bucket(expression) == asked


def test_the_first_selector_over_the_window_tells_how_often_is_scraped() -> None:
    assert selector_of('sum(rate(x{a="b"}[{{.window}}])) / sum(rate(y[{window}]))') == 'x{a="b"}'
    assert selector_of("job:errors:ratio") is None
