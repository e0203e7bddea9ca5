"""A run over time: what shares a lane, what is left out, and what the drawing says in words."""

from datetime import UTC, datetime, timedelta

import pytest

from analytics.store.queries.timeline import Segment, Timeline
from dashboard.components import gantt
from dashboard.components.gantt import Bar, lanes_of, merged, steady

BEGIN = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def segment(node, began, ended, *, kind="run", item=-1, status="completed") -> Segment:
    return Segment(node, item, kind, at(began), None if ended is None else at(ended), status)


def timeline(*segments: Segment) -> Timeline:
    return Timeline(BEGIN, None, segments)


def test_steps_stand_in_the_order_in_which_they_began_each_with_its_segments():
    picture = lanes_of(
        timeline(
            segment("", 0, 1, kind="queue"),
            segment("late", 5, 6),
            segment("early", 1, 2, kind="wait"),
            segment("early", 2, 4),
        ),
        now=at(10),
        names={"late": "Sum up"},
    )
    assert [lane.label for lane in picture.lanes] == ["The run", "early", "Sum up"]
    assert [bar.kind for bar in picture.lanes[1].bars] == ["wait", "run"]
    assert picture.lanes[1].busy == timedelta(seconds=2)
    assert picture.note is None


def test_what_goes_on_ends_at_the_present_and_says_so():
    [lane] = lanes_of(timeline(segment("a", 2, None, status="running")), now=at(9)).lanes
    assert lane.bars[0].ended == at(9)
    assert lane.bars[0].is_open


def test_an_execution_that_failed_is_told_from_one_that_did_not():
    lanes = lanes_of(timeline(segment("a", 0, 1, status="failed"), segment("b", 0, 1)), now=at(2)).lanes
    assert {lane.node_id: lane.bars[0].kind for lane in lanes} == {"a": "failed", "b": "run"}


def test_items_of_a_large_fan_out_share_one_lane_with_their_number_and_failures():
    items = [segment("each/fetch", n, n + 0.5, item=n, status="failed" if n == 3 else "completed") for n in range(2000)]
    picture = lanes_of(timeline(segment("start", 0, 1), *items), now=at(3000))
    assert [lane.label for lane in picture.lanes] == ["each/fetch \N{MULTIPLICATION SIGN}2,000 (1 failed)", "start"]
    assert len(picture.lanes[0].bars) <= gantt.MOST_BARS_PER_LANE + 2
    assert "2,001 steps in 2 lanes" in picture.note


def test_items_in_loops_of_loops_are_folded_by_where_they_stand_in_the_definition():
    items = [segment(f"each[{n}]/inner/fetch", n, n + 1, item=m) for n in range(40) for m in range(3)]
    [lane] = lanes_of(timeline(*items), now=at(100)).lanes
    assert lane.node_id == "each/inner/fetch"
    assert lane.label.endswith("\N{MULTIPLICATION SIGN}120")


def test_thousands_of_steps_keep_those_that_matter_and_draw_the_rest_together():
    steps = [segment(f"n{n:04}", n, n + 1) for n in range(1000)]
    steps.append(segment("broken", 5000, 5000.01, status="failed"))
    steps.append(segment("critical", 5001, 5001.01))
    picture = lanes_of(timeline(*steps), now=at(6000), critical=["critical"])
    shown = {lane.node_id for lane in picture.lanes}
    assert len(picture.lanes) == gantt.MOST_LANES
    assert {"broken", "critical", None} <= shown
    assert picture.lanes[-1].label == f"{1002 - gantt.MOST_LANES + 1} other steps"
    assert "drawn together" in picture.note


@pytest.mark.parametrize(
    ("show", "expected"),
    [("critical", {"slow"}), ("failed", {"bad", "again"}), ("slowest", {"slow", "bad", "again", "fine"})],
)
def test_one_can_look_at_some_steps_only(show, expected):
    steps = timeline(
        segment("slow", 0, 9),
        segment("bad", 0, 1, status="failed"),
        segment("again", 0, 1, kind="retry", status="failed"),
        segment("again", 1, 2),
        segment("fine", 0, 1),
    )
    picture = lanes_of(steps, now=at(10), critical=["slow"], show=show)
    assert {lane.node_id for lane in picture.lanes} == expected


def test_bars_are_joined_where_no_gap_can_be_seen_and_say_how_many_they_are():
    bars = [Bar("run", at(n), at(n + 0.5), is_open=False) for n in range(1000)]
    [joined] = merged(bars, most=10)
    assert (joined.began, joined.ended, joined.count) == (at(0), at(999.5), 1000)
    apart = merged([Bar("run", at(0), at(1), is_open=False), Bar("run", at(50), at(60), is_open=True)], most=10)
    assert [(bar.began, bar.is_open) for bar in apart] == [(at(0), False), (at(50), True)]
    assert merged([]) == []


def test_the_present_moves_in_steps_so_that_the_drawing_need_not_be_made_anew():
    assert steady(at(1), BEGIN) == steady(at(3.9), BEGIN) == at(4)
    hours = [steady(at(7200 + n), BEGIN) for n in range(60)]
    assert len(set(hours)) <= 2
    assert all(moment >= at(7200 + n) for n, moment in enumerate(hours))


def test_names_people_gave_are_not_taken_for_markup():
    steps = timeline(segment("a", 0, 1))
    picture = lanes_of(steps, now=at(2), names={"a": "<b>loud</b>"}, critical=["a"])
    drawn = gantt.figure(picture, steps, now=at(2))
    assert "&lt;b&gt;loud" in drawn.layout.yaxis.ticktext[0]
    assert "<b>loud" not in str(drawn.data[0].customdata)


def test_the_drawing_is_told_in_words():
    picture = lanes_of(timeline(segment("", 0, 1, kind="queue"), segment("a", 1, 4)), now=at(5))
    assert gantt.alt_of(picture) == "Time line of 2 lanes: in the queue, runs. The longest is a, 3 s."


def test_a_click_is_answered_once(monkeypatch):
    picture = lanes_of(timeline(segment("a", 0, 1), segment("b", 1, 2)), now=at(3))
    session: dict[str, object] = {}
    monkeypatch.setattr(gantt.st, "session_state", session)
    state = {"selection": {"points": [{"customdata": [1, "b"]}]}}
    assert gantt._clicked(state, picture, seen_key="seen").node_id == "b"
    assert gantt._clicked(state, picture, seen_key="seen") is None
    assert gantt._clicked({"selection": {"points": []}}, picture, seen_key="seen") is None
