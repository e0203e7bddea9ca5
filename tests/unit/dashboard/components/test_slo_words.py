"""Objectives in words, in groups and in an order; what a burn-down marks, and what a forecast says."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from analytics.core.clock import Interval
from analytics.core.ids import new_id
from analytics.slo import Objective, SloState, SloStatus
from analytics.slo.burndown import BurnDown
from analytics.slo.evaluate import Projection
from analytics.slo.explain import AnnotationCost, Burn, BurnExplanation
from analytics.slo.forecast import Forecast, Scenario
from analytics.slo.math import error_budget
from analytics.slo.model import (
    Budgeting,
    BurnPair,
    CalendarUnit,
    CalendarWindow,
    PromEvents,
    RollingWindow,
    Severity,
)
from analytics.slo.windows import pairs_of
from analytics.store.queries.annotations import AnnotationRow
from dashboard.components import slos, slos_alerts, slos_budget, slos_list, slos_page
from dashboard.components.slos_list import Wanted

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
WINDOW = Interval(NOW - timedelta(days=30), NOW)
HOUR = timedelta(hours=1)


def objective(slo_id="shop", **fields) -> Objective:
    made = Objective(slo_id, slo_id.title(), "shop", Decimal("0.99"), PromEvents("total", bad="bad"), "Orders.")
    return replace(made, **fields)


def status(item=None, *, state=SloState.HEALTHY, bad=2.0, total=1000.0, **fields) -> SloStatus:
    item = item or objective()
    made = SloStatus(
        objective=item,
        sli=1 - bad / total if total else None,
        compliant=True,
        margin=None,
        budget=error_budget(total - bad, total, budget_ratio=item.budget_ratio, period=item.period),
        burn_rates={},
        state=state,
        coverage_ratio=1.0,
        good=total - bad,
        total=total,
        measured_at=NOW,
        includes_demo=False,
        series=(),
        exhausted_in=None,
        interval=WINDOW,
    )
    return replace(made, **fields)


def named(groups) -> list[list[str]]:
    return [[found.objective.id for found in group.statuses] for group in groups]


# ---- The list ----


def test_the_worst_come_first_and_what_is_not_known_before_what_is_well():
    found = [
        status(objective("fine")),
        status(objective("silent"), state=SloState.NO_DATA, total=0.0, bad=0.0),
        status(objective("gone"), state=SloState.EXHAUSTED, bad=20.0),
        status(objective("further"), state=SloState.EXHAUSTED, bad=30.0),
    ]
    assert named(slos_list.arranged(found, Wanted())) == [["further", "gone", "silent", "fine"]]


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("Budget left", ["b", "a", "c"]),
        ("Name", ["a", "b", "c"]),
        ("Coverage", ["c", "a", "b"]),
        ("odd", ["b", "a", "c"]),
    ],
)
def test_the_list_is_sorted_by_what_was_chosen(sort, order):
    found = [
        status(objective("a"), bad=3.0),
        status(objective("b"), bad=5.0),
        status(objective("c"), bad=1.0, coverage_ratio=0.5),
    ]
    assert named(slos_list.arranged(found, Wanted(sort=sort))) == [order]


def test_the_fastest_burn_is_the_one_that_counts():
    slow = status(objective("slow"), burn_rates={HOUR: 1.0, 6 * HOUR: None})
    fast = status(objective("fast"), burn_rates={HOUR: 0.0, 6 * HOUR: 3.0})
    unknown = status(objective("unknown"), burn_rates={HOUR: None})
    assert named(slos_list.arranged([unknown, slow, fast], Wanted(sort="Burn rate"))) == [["fast", "slow", "unknown"]]


def test_groups_stand_in_the_order_of_their_first():
    found = [
        status(objective("a", service="web")),
        status(objective("b", service="jobs"), state=SloState.DEGRADED),
        status(objective("c", service="web")),
    ]
    groups = slos_list.arranged(found, Wanted(group="Service"))
    assert [group.name for group in groups] == ["jobs", "web"]
    assert named(groups) == [["b"], ["a", "c"]]


def test_a_label_is_a_way_to_group_and_what_lacks_it_is_a_group_of_its_own():
    found = [status(objective("a", labels={"team": "red"}, owner="Ada")), status(objective("b"))]
    assert slos_list.ways_to_group([item.objective for item in found]) == [
        "No groups",
        "Service",
        "State",
        "Owner",
        "Label team",
    ]
    assert [group.name for group in slos_list.arranged(found, Wanted(group="Label team"))] == ["red", "None"]


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (Wanted(find="red SHOP"), ["a"]),
        (Wanted(standing=(SloState.DEGRADED,)), ["b"]),
        (Wanted(services=("jobs",)), ["b"]),
        (Wanted(find="nothing"), []),
    ],
)
def test_the_list_is_narrowed_by_words_states_and_services(wanted, ids):
    found = [
        status(objective("a", labels={"team": "red"})),
        status(objective("b", service="jobs", title="Jobs"), state=SloState.DEGRADED),
    ]
    assert [slo_id for group in named(slos_list.arranged(found, wanted)) for slo_id in group] == ids
    assert wanted.is_narrowed


# ---- Words ----


def test_silence_is_said_not_counted():
    silent = status(state=SloState.NO_DATA, total=0.0, bad=0.0)
    assert slos.budget_words(silent) == slos.burn_words(silent, HOUR) == slos.lasts_words(silent) == "No data"
    assert slos_page.left_minutes(silent) is None
    assert "neither good nor bad" in slos_page.hints(silent)[0][2]


@pytest.mark.parametrize(
    ("rate", "words"), [(None, "No data"), (0.0, "0.00x"), (14.4, "14.40x"), (math.inf, "Endless")]
)
def test_a_burn_rate_is_a_multiple(rate, words):
    assert slos.rate_words(rate) == words


def test_a_target_of_100_percent_leaves_all_or_nothing():
    strict = objective(target=Decimal(1))
    assert slos.budget_words(status(strict, bad=0.0)) == "100 %"
    assert slos.budget_words(status(strict, bad=1.0)) == "None"


@pytest.mark.parametrize(
    ("window", "short", "span"),
    [
        (RollingWindow(timedelta(days=28)), "28 d", "the last 28 d"),
        (CalendarWindow(CalendarUnit.MONTH), "Month", "this month in UTC"),
        (CalendarWindow(CalendarUnit.WEEK, "Europe/Berlin"), "Week", "this week in Europe/Berlin"),
    ],
)
def test_a_window_reads_short_and_in_a_sentence(window, short, span):
    assert (slos.window_words(window), slos.span_words(window)) == (short, span)
    assert span in slos_page.promise(objective(window=window))


@pytest.mark.parametrize(
    ("budgeting", "words"),
    [
        (Budgeting.OCCURRENCES, "99 % of events are to be good"),
        (Budgeting.TIMESLICES, "99 % of 5 min slices are to have at least 95 % good events"),
        (Budgeting.RATIO_TIMESLICES, "99 % is to be the mean share"),
    ],
)
def test_what_is_promised_depends_on_what_the_budget_counts(budgeting, words):
    assert slos_page.promise(objective(budgeting=budgeting)).startswith(words)


def test_a_group_reads_as_its_labels():
    assert slos.group_words('{"method": "GET", "route": "/login"}') == "method=GET, route=/login"
    assert slos.group_words("") == "All"


def test_the_gravest_pair_that_fires_is_the_one_shown():
    page = BurnPair(Severity.PAGE, HOUR, HOUR / 12, 14.4)
    ticket = BurnPair(Severity.TICKET, 24 * HOUR, 2 * HOUR, 3.0, 3)
    assert slos.alert_look([ticket, page]).word == "Page"
    assert slos.alert_look([ticket]).word == "Ticket"
    assert slos.alert_look([]) is None


def test_a_reader_learns_why_the_figures_may_mislead():
    pair = pairs_of(objective())[0]
    troubled = status(
        state=SloState.INSUFFICIENT_DATA,
        coverage_ratio=0.5,
        read_error="Prometheus refused *it*.",
        is_stale=True,
        warnings=["partial answer"],
        alerts=[pair],
        volume_warning="Too few events.",
    )
    found = slos_page.hints(troubled)
    assert [tone for tone, _, _ in found] == ["error", "warning", "info", "error", "info", "warning"]
    assert r"\*it\*" in found[0][2]
    assert "50 %" in found[2][2]
    assert "14.40x over 1 h and over 5 min" in found[3][2]


def test_minutes_left_of_a_calendar_window_are_those_of_the_whole_span():
    projected = status(projection=Projection(total_minutes=440.0, consumed_minutes=40.0, left_minutes=400.0))
    assert slos_page.left_minutes(projected) == (400.0, 440.0)
    assert slos_page.hints(projected) == []
    lost = status(projection=Projection(total_minutes=440.0, consumed_minutes=460.0, left_minutes=-20.0))
    assert "cannot be met any more" in slos_page.hints(lost)[0][2]
    left, whole = slos_page.left_minutes(status())
    assert (round(left, 1), round(whole, 1)) == (345.6, 432.0)


# ---- Forecast ----


def forecast(*scenarios: Scenario, remaining=0.5, unspent=0.6) -> Forecast:
    span = Interval(NOW, NOW + timedelta(days=7))
    return Forecast(objective(), span, remaining, [(NOW, remaining), (span.until, unspent)], scenarios)


def scenario(hours: int, rate: float, last: float, gone: datetime | None = None) -> Scenario:
    return Scenario(hours * HOUR, rate, [(NOW, 0.5), (NOW + timedelta(days=7), last)], gone)


def test_the_first_end_of_the_budget_is_the_one_told():
    soon = forecast(scenario(1, 2.0, -1.0, NOW + timedelta(days=2)), scenario(6, 0.5, 0.4))
    value, basis = slos_page.runs_out(status(), soon)
    assert value == "2 d"
    assert "used up on 24 Nov" in basis
    assert "not used up (0.50x)" in basis
    words = slos_budget.forecast_words(soon)
    assert words.startswith("10 % of the budget returns by 29 Nov")
    assert "at the rate of the last 1 h it is used up on 24 Nov" in words


def test_a_budget_that_lasts_is_said_to_last_as_far_as_one_looked():
    calm = forecast(scenario(1, 0.0, 0.6), scenario(6, 0.5, 0.4))
    assert slos_page.runs_out(status(), calm)[0] == "Over 7 d"
    assert "at none of the recent burn rates (0.00x, 0.50x) is it used up by 29 Nov" in slos_budget.forecast_words(calm)


def test_the_budget_of_a_calendar_window_does_not_return():
    monthly = objective(window=CalendarWindow())
    calm = replace(forecast(scenario(1, 0.0, 0.6)), objective=monthly)
    assert slos_page.runs_out(status(monthly), calm)[0] == "To its end"
    words = slos_budget.forecast_words(calm)
    assert words.startswith("If nothing more is bad, 60 % of the budget is left at the end of its window")
    assert "age out" not in words + slos_page.runs_out(status(monthly), calm)[1]


def test_without_a_forecast_nothing_is_claimed():
    assert slos_page.runs_out(status(), None)[0] == "No data"
    assert slos_page.runs_out(status(bad=20.0), None)[0] == "Used up"
    assert slos_budget.forecast_words(None) is None
    assert slos_budget.fan(forecast()) == []


def test_the_fan_reaches_from_the_worst_to_the_best_and_not_below_its_floor():
    (band,) = slos_budget.fan(forecast(scenario(1, 9.0, -7.0), scenario(6, 0.5, 0.4)))
    assert [(low, high) for _, low, high in band.points] == [(0.5, 0.5), (-1.0, 0.4)]


# ---- Burn-down ----


def happened(title: str, *, hours: float, kind="deploy", lasts: float | None = None) -> AnnotationRow:
    at = NOW - hours * HOUR
    return AnnotationRow(new_id(), at, None if lasts is None else at + lasts * HOUR, kind, title, "shop", "live", None)


def course(*annotations: AnnotationRow, **fields) -> BurnDown:
    points = [(WINDOW.since, 1.0), (NOW - HOUR, None), (NOW, -math.inf)]
    bad = [(WINDOW.since, 0.0), (NOW - HOUR, None)]
    made = BurnDown(objective(), WINDOW, points, bad, (), (), (), annotations)
    return replace(made, **fields)


def cost(row: AnnotationRow, minutes: float) -> AnnotationCost:
    return AnnotationCost(row, Interval(row.at, row.at + HOUR), 1.0, 0.0, 0.1, minutes)


def test_only_the_dearest_have_labels_and_none_covers_another():
    near = [happened("cheap", hours=100), happened("dear", hours=101, kind="incident", lasts=1)]
    far = happened("far", hours=500)
    marks = slos_budget.marks_of(course(*near, far), [cost(near[0], 1.0), cost(near[1], 9.0)])
    assert [mark.label for mark in marks] == ["", "dear", "far"]
    assert [mark.tone for mark in marks] == ["note", "critical", "note"]


def test_gaps_and_corrections_are_shaded_and_said():
    gaps = [Interval(NOW - 9 * HOUR, NOW - 8 * HOUR), Interval(NOW - 5 * HOUR, NOW - 2 * HOUR)]
    holed = course(gaps=gaps, excluded=[Interval(NOW - 20 * HOUR, NOW - 19 * HOUR)])
    assert [mark.label for mark in slos_budget.stretches(holed)] == ["", "Not measured", "Corrected"]
    assert slos_budget.gap_words(holed) == (
        "Shaded: 4 h in 2 stretches not measured and 1 h in 1 stretch taken out by corrections; the budget does not"
        " change in it."
    )
    assert slos_budget.gap_words(course()) is None


def test_a_gap_stays_a_gap_and_what_is_beyond_all_measure_stays_on_the_chart():
    chart = slos_budget.budget_chart(course(), None, [])
    assert [value for _, value in chart.series[0].points] == [1.0, None, -1.0]
    assert chart.interval == WINDOW


def test_the_chart_reaches_as_far_as_the_forecast_and_says_where_the_present_is():
    chart = slos_budget.budget_chart(course(), forecast(scenario(1, 1.0, 0.2)), [])
    assert chart.interval.until == NOW + timedelta(days=7)
    assert [series.name for series in chart.series] == ["Budget left", "If nothing more is bad", "At the last 1 h"]
    assert "Now" in [mark.label for mark in chart.marks]


# ---- Alerts ----


def test_a_pair_reaches_its_threshold_with_its_slower_window():
    item = objective()
    first, *_ = pairs_of(item)
    burns = [Burn(first.long, 0.0, 0.0, 7.2, 0.01), Burn(first.short, 0.0, 0.0, 14.4, 0.01)]
    why = BurnExplanation(item, WINDOW, 0.5, burns, [first], [], [], [], [])
    rows = slos_alerts.pair_rows(why)
    assert len(rows) == 4
    assert rows[0].reached == pytest.approx(0.5)
    assert rows[0].is_firing
    assert rows[1].reached is None
