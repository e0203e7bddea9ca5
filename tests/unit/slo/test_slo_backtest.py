"""What alert policies would have done, against hand-computed histories."""

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.core.clock import Interval
from analytics.slo.backtest import Incident, backtest, compare, firing_spans, suggest_min_bad
from analytics.slo.history import History
from analytics.slo.model import (
    BUCKET,
    AlertPolicy,
    AlertRouting,
    BurnPair,
    Objective,
    PromEvents,
    RawRatio,
    RollingWindow,
    Severity,
)
from analytics.slo.windows import firing_pairs, pairs_of

START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR, DAY, MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)
PAIR = BurnPair(Severity.PAGE, HOUR, BUCKET, 14.4)


def objective(target: str = "0.999", **more: Any) -> Objective:
    return Objective("x", "X", "s", Decimal(target), PromEvents(total="t", bad="b"), "d", **more)


def history(
    length: timedelta = 30 * DAY,
    *,
    total: float = 100,
    bad: Mapping[int, float] | None = None,
    gaps: tuple[int, ...] = (),
    of: Objective | None = None,
) -> History:
    """Return a history with *total* events in each bucket, of which *bad* are bad, by place."""
    count = length // BUCKET
    totals, measured = np.full(count, float(total)), np.full(count, 300.0)
    totals[list(gaps)], measured[list(gaps)] = 0.0, 0.0
    good = totals.copy()
    for place, number in (bad or {}).items():
        good[place] -= number
    return History(of or objective(), Interval(START, START + length), good, totals, measured, np.zeros(count))


def at(bucket: int) -> datetime:
    """Return the end of a bucket."""
    return START + (bucket + 1) * BUCKET


def test_a_quiet_month_alerts_nobody() -> None:
    told = backtest(history())
    assert (told.pages, told.tickets, told.page_minutes, told.median_delay) == ([], [], 0, None)


def test_a_full_outage_pages_at_the_end_of_its_first_bucket_and_stops_when_the_short_window_is_clean() -> None:
    """One bucket of 100 bad of 1,200 in the hour is 8.3 %, above 14.4 x 0.1 %; the page lasts one bucket longer."""
    outage = range(2000, 2003)
    told = backtest(history(bad=dict.fromkeys(outage, 100)), AlertPolicy(pairs=(PAIR,)))
    (page,) = told.pages
    assert page.started_at == at(2000)
    assert page.ended_at == at(2003)
    assert (page.minutes, page.bad, page.tiers) == (15, 300, (1,))
    assert page.peak_burn == pytest.approx(300 / 1200 / 0.001)
    allowed = 0.001 * 100 * 8640
    assert page.spent_before == pytest.approx(100 / allowed)
    assert page.spent_during == pytest.approx(200 / allowed)
    assert not page.is_false
    assert told.page_minutes == 15


def test_a_slower_pair_that_goes_on_makes_no_second_page() -> None:
    told = backtest(history(bad=dict.fromkeys(range(2000, 2024), 10)))
    (page,) = told.pages
    assert page.tiers == (1, 2)
    assert {tier for ticket in told.tickets for tier in ticket.tiers} == {3, 4}
    assert all(ticket.severity is Severity.TICKET for ticket in told.tickets)


def test_an_alert_that_still_fires_at_the_end_has_no_end() -> None:
    told = backtest(history(DAY, bad={286: 50, 287: 50}), AlertPolicy(pairs=(PAIR,)))
    assert told.pages[0].ended_at is None
    assert told.pages[0].minutes == 10


def test_silence_neither_ends_nor_begins_a_page() -> None:
    """The source goes away in the middle of an outage; the page holds until good events are seen."""
    gone = tuple(range(2002, 2020))
    told = backtest(history(bad={2000: 50, 2001: 50}, gaps=gone), AlertPolicy(pairs=(PAIR,)))
    (page,) = told.pages
    assert (page.started_at, page.ended_at) == (at(2000), at(2020))
    assert backtest(history(gaps=gone)).pages == []


def test_time_that_a_correction_takes_out_ends_a_page() -> None:
    kept = history(bad={2000: 50, 2001: 50}, gaps=tuple(range(2002, 2020)))
    kept.excluded_s[2002:2020] = 300
    assert backtest(kept, AlertPolicy(pairs=(PAIR,))).pages[0].ended_at == at(2002)


def test_few_bad_events_of_a_quiet_service_page_only_without_the_guard() -> None:
    """2 bad of 6 events in an hour burn 333 times too fast, and say nothing."""
    quiet = history(total=0.5, bad={2000: 0.5, 2001: 0.5, 2002: 0.5, 2003: 0.5})
    unguarded, guarded = AlertPolicy(pairs=(PAIR,), min_bad=0), AlertPolicy(pairs=(PAIR,))
    both = compare(quiet, {"unguarded": unguarded, "guarded": guarded})
    assert (len(both["unguarded"].pages), len(both["guarded"].pages)) == (1, 0)


def test_a_page_that_chance_explains_is_false_unless_an_incident_does() -> None:
    """A service with 6 events an hour and a target of 99 % has one bad event in 17 hours by right."""
    chance = history(total=0.5, bad={2000: 0.5, 2001: 0.5}, of=objective("0.99"))
    policy = AlertPolicy(pairs=(replace(PAIR, factor=10),), min_bad=0)
    told = backtest(chance, policy)
    assert (len(told.pages), told.false_pages) == (1, 1)
    known = Incident(Interval(at(1990), at(2001)), "It was us")
    explained = backtest(chance, policy, incidents=[known])
    assert explained.false_pages == 0
    assert explained.pages[0].incident == known


def test_incidents_are_detected_late_early_or_never() -> None:
    burning = history(bad=dict.fromkeys(range(2000, 2012), 3))
    late = Incident(Interval(at(1999), at(2011)), "late")
    early = Incident(Interval(at(2008), at(2020)), "noted after the page")
    never = Incident(Interval(at(4000), at(4010)), "never")
    before = Incident(Interval(START - DAY, START - HOUR), "before the history")
    told = backtest(burning, AlertPolicy(pairs=(PAIR,)), incidents=[never, early, late, before])
    assert [(item.incident.title, item.paged_after) for item in told.detections] == [
        ("late", 30 * MINUTE),  # 6 x 3 bad of 1,200 are 1.5 %, above 1.44 %
        ("noted after the page", timedelta(0)),
        ("never", None),
    ]
    assert told.detected == 2
    assert told.median_delay == 15 * MINUTE


def test_only_what_is_asked_for_is_judged_with_full_windows_before() -> None:
    """With the hour before the start in its window, the page is there from the first bucket on."""
    kept = history(bad=dict.fromkeys(range(2000, 2012), 10))
    policy = AlertPolicy(pairs=(PAIR,))
    told = backtest(kept, policy, since=at(2005))
    assert told.interval.since == at(2005)
    assert told.pages[0].started_at == at(2006)
    assert backtest(kept, policy, since=at(2100)).pages == []
    assert backtest(kept, policy, since=START + 40 * DAY).interval.length == timedelta(0)


def test_a_severity_that_is_off_never_alerts() -> None:
    policy = AlertPolicy(page=AlertRouting(is_enabled=False))
    told = backtest(history(bad=dict.fromkeys(range(2000, 2024), 50)), policy)
    assert (told.pages, len(told.tickets) > 0) == ([], True)


def test_a_target_of_all_pages_for_every_bad_bucket_and_spends_no_share() -> None:
    told = backtest(history(bad={2000: 5}, of=objective("1")), AlertPolicy(pairs=(PAIR,)))
    (page,) = told.pages
    assert page.peak_burn == math.inf
    assert (page.spent_before, page.spent_during, page.is_false) == (None, None, False)


def test_ratios_have_no_events_to_guard_by() -> None:
    """One whole bucket of failure is one bad of twelve; the guard of three would hide it."""
    ratio = replace(objective("0.99"), indicator=RawRatio("up"))
    assert len(backtest(history(total=1, bad={2000: 1}, of=ratio), AlertPolicy(pairs=(replace(PAIR, factor=5),))).pages)


@pytest.mark.parametrize("length", [timedelta(0), BUCKET, HOUR])
def test_short_and_empty_histories_are_judged(length: timedelta) -> None:
    told = backtest(history(length))
    assert (told.pages, told.interval.length) == ([], length)
    assert suggest_min_bad(history(length)) == 3


def test_nothing_measured_is_no_alert() -> None:
    assert backtest(history(DAY, gaps=tuple(range(288)))).pages == []


def test_the_suggested_guard_hides_chance_and_keeps_what_is_real() -> None:
    """Bursts of 4 bad events are chance at this volume, the outage is not: 5 is the least that tells them apart."""
    noise = {place + step: 0.5 for place in range(500, 8000, 1500) for step in range(8)}
    outage = dict.fromkeys(range(3000, 3060), 0.5)
    quiet = history(total=0.5, bad={**noise, **outage}, of=objective("0.95"))
    guard = suggest_min_bad(quiet)
    found = backtest(quiet, replace(quiet.objective.alerting, min_bad=guard))
    assert found.false_pages == 0
    assert found.pages
    assert suggest_min_bad(history()) == 3


def test_spans_of_a_pair_are_those_in_which_it_fires() -> None:
    kept = history(bad={2000: 50, 2001: 50, 5000: 50})
    assert firing_spans(kept, PAIR) == [Interval(at(2000), at(2002)), Interval(at(5000), at(5001))]
    assert firing_spans(history(DAY, bad={287: 50}), PAIR) == [Interval(START + DAY, START + DAY)]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=80), st.integers(0, 5))
def test_a_replay_says_what_was_said_at_the_time(bad: list[int], guard: int) -> None:
    """At the end of every bucket, the replay agrees with judging only what was known then."""
    policy = AlertPolicy(min_bad=guard)
    kept = history(len(bad) * BUCKET, total=20, bad=dict(enumerate(bad)), of=objective("0.99", alerting=policy))
    told = backtest(kept)
    for place in range(len(bad)):
        windows = {window for pair in pairs_of(kept.objective) for window in (pair.long, pair.short)}
        sums = {}
        for window in windows:
            first = max(0, place + 1 - window // BUCKET)
            sums[window] = float(kept.good[first : place + 1].sum()), float(kept.total[first : place + 1].sum())
        firing = {pair.severity for pair in firing_pairs(kept.objective, sums)}
        for severity, alarms in ((Severity.PAGE, told.pages), (Severity.TICKET, told.tickets)):
            is_on = any(
                alarm.started_at <= at(place) and (alarm.ended_at is None or at(place) < alarm.ended_at)
                for alarm in alarms
            )
            assert is_on == (severity in firing)


def test_a_week_is_back_tested_by_the_pairs_of_a_week() -> None:
    week = history(7 * DAY, bad=dict.fromkeys(range(1000, 1012), 5), of=objective(window=RollingWindow(7 * DAY)))
    assert [alarm.tiers[0] for alarm in backtest(week).pages] == [1]
