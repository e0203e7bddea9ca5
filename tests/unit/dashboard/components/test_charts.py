"""One description, one figure: gaps stay gaps, thresholds and marks stand where they belong."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from analytics.core.clock import Interval
from dashboard.components.charts import Band, Chart, Mark, Series, Threshold, figure, is_empty, thinned

START = datetime(2026, 11, 21, tzinfo=UTC)


def points(*values):
    return [(START + timedelta(hours=place), value) for place, value in enumerate(values)]


def chart(*series, **named):
    return Chart(alt="test", unit=named.pop("unit", "count"), series=series, **named)


def test_a_gap_is_drawn_as_a_gap():
    trace = figure(chart(Series("a", points(1.0, None, 3.0)))).data[0]
    assert list(trace.y) == [1.0, None, 3.0]
    assert trace.connectgaps is False


def test_a_lonely_point_is_visible():
    line, dots = figure(chart(Series("a", points(1.0, None, 3.0, 4.0)))).data
    assert (line.mode, dots.mode) == ("lines", "markers")
    assert (list(dots.x), list(dots.y)) == (["2026-11-21 00:00:00.000"], [1.0])
    assert not dots.showlegend


def test_a_lonely_point_has_the_colour_of_its_line():
    plain, toned = points(1.0, 2.0), points(1.0, None, 3.0)
    drawn = figure(chart(Series("a", plain), Series("b", toned), Series("c", toned, tone="critical")))
    b, c = (trace for trace in drawn.data if trace.mode == "markers")
    assert b.marker.color == drawn.layout.template.layout.colorway[1]
    assert c.marker.color == drawn.data[-2].line.color


def test_a_line_without_lonely_points_has_no_marks():
    assert [trace.mode for trace in figure(chart(Series("a", points(1.0, 2.0, None, 3.0, 4.0)))).data] == ["lines"]


def test_times_are_those_of_the_viewer():
    trace = figure(chart(Series("a", points(1.0))), ZoneInfo("Europe/Berlin")).data[0]
    assert trace.x[0] == "2026-11-21 01:00:00.000"


def test_a_threshold_is_a_line_with_its_name():
    built = figure(chart(Series("a", points(1.0, 2.0)), thresholds=[Threshold(5.0, "Target")]))
    assert built.layout.shapes[0].y0 == built.layout.shapes[0].y1 == 5.0
    assert built.layout.annotations[0].text == "Target"


def test_an_incident_is_an_area_and_a_deployment_a_line():
    marks = [Mark(START, "Incident", START + timedelta(hours=1), "critical"), Mark(START, "Deploy")]
    built = figure(chart(Series("a", points(1.0, 2.0)), marks=marks))
    assert [shape.type for shape in built.layout.shapes] == ["rect", "line"]
    assert [note.text for note in built.layout.annotations] == ["Incident", "Deploy"]


def test_a_mark_without_words_has_no_label_and_words_of_people_are_no_markup():
    marks = [Mark(START, "", START + timedelta(hours=1)), Mark(START, "a <b>bold</b> release")]
    built = figure(chart(Series("a", points(1.0, 2.0)), marks=marks))
    assert len(built.layout.shapes) == 2
    assert [note.text for note in built.layout.annotations] == ["a &lt;b&gt;bold&lt;/b&gt; release"]


def test_a_band_is_filled_between_its_edges_below_the_lines():
    band = Band("Possible", [(START, 0.2, 0.6), (START + timedelta(hours=1), 0.1, 0.7)])
    line, low, high = figure(chart(Series("a", points(1.0, 2.0)), bands=[band])).data
    assert (list(low.y), list(high.y)) == ([0.2, 0.1], [0.6, 0.7])
    assert (high.fill, high.name, low.showlegend) == ("tonexty", "Possible", False)
    assert line.name == "a"
    assert low.zorder == high.zorder == -1


def test_the_axis_shows_the_whole_range_asked_for():
    interval = Interval(START - timedelta(hours=5), START + timedelta(hours=5))
    built = figure(chart(Series("a", points(1.0)), interval=interval))
    assert list(built.layout.xaxis.range) == ["2026-11-20 19:00:00.000", "2026-11-21 05:00:00.000"]


@pytest.mark.parametrize(
    ("unit", "suffix", "form"), [("ratio", None, "~%"), ("s", " s", None), ("bytes", "B", "~s"), ("count", None, ",~s")]
)
def test_the_axis_carries_the_unit(unit, suffix, form):
    axis = figure(chart(Series("a", points(1.0)), unit=unit)).layout.yaxis
    assert (axis.ticksuffix, axis.tickformat) == (suffix, form)


def test_nothing_measured_is_an_empty_chart():
    assert is_empty(chart(Series("a", points(None, None)), Series("b", [])))
    assert not is_empty(chart(Series("a", points(None, 0.0))))


def test_thinning_keeps_peaks_and_gaps():
    many = [(START + timedelta(seconds=place), float(place % 10)) for place in range(10_000)]
    many[5_000] = (many[5_000][0], 999.0)
    many[2_000:2_100] = [(at, None) for at, _ in many[2_000:2_100]]
    kept = thinned(many, 500)
    assert len(kept) <= 500
    assert max(value for _, value in kept if value is not None) == 999.0
    assert any(value is None for _, value in kept)
    assert [at for at, _ in kept] == sorted(at for at, _ in kept)


def test_few_points_are_left_as_they_are():
    few = points(1.0, None, 2.0)
    assert thinned(few) == few
