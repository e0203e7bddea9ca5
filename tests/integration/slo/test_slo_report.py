"""The report against a real ledger: windows of the calendar, groups, composites, and everything that is not known."""

import dataclasses
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.slo import SloState, SloStatus, catalogue, corrections, ledger, slo_report
from analytics.slo.defaults import objective
from analytics.slo.ledger import HOUR
from analytics.slo.model import (
    BUCKET,
    Budgeting,
    CalendarUnit,
    CalendarWindow,
    CompositeEvents,
    CompositeMode,
    Member,
    Objective,
    RawRatio,
    RollingWindow,
    Slices,
)
from analytics.slo.windows import month_of
from analytics.store.tables import SloReading

pytestmark = pytest.mark.integration
NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
API = objective("api_availability")
PAGES = objective("dashboard_load_time")


def fill(
    session: Session,
    since: datetime,
    until: datetime,
    *,
    bad: float = 0,
    total: float = 100,
    slo_id: str = API.id,
    group_key: str = "",
) -> None:
    session.execute(
        text(
            "INSERT INTO slo_bucket_5m (slo_id, group_key, bucket_start, good, total, measured_s)"
            " SELECT :slo_id, :group_key, at, :good, :total, 300"
            " FROM generate_series(CAST(:since AS timestamptz), :until, interval '5 minutes') AS at"
            " ON CONFLICT (slo_id, group_key, bucket_start) DO UPDATE SET good = excluded.good, total = excluded.total"
        ),
        {
            "slo_id": slo_id,
            "group_key": group_key,
            "good": total - bad,
            "total": total,
            "since": since,
            "until": until - BUCKET,
        },
    )
    ledger.roll_up(session, [slo_id], since=since, until=until)


def save(session: Session, item: Objective = API, **changes: object) -> Objective:
    return catalogue.save(session, dataclasses.replace(item, **changes), actor="somebody")  # type: ignore[arg-type]


def stands(session: Session, slo_id: str = API.id, *, now: datetime = NOON, **asked: object) -> SloStatus:
    (status,) = slo_report(session, now=now, ids=[slo_id], **asked).statuses  # type: ignore[arg-type]
    return status


def test_a_window_is_exact_to_five_minutes(session: Session) -> None:
    """An outage of ten minutes leaves a window of a day when it is a day old, not with its hour."""
    save(session, window=RollingWindow(DAY))
    fill(session, NOON - 2 * DAY, NOON)
    fill(session, NOON - DAY, NOON - DAY + 10 * MINUTE, bad=10)
    assert stands(session).total - stands(session).good == 20
    fill(session, NOON, NOON + 10 * MINUTE)
    later = stands(session, now=NOON + 7 * MINUTE)
    assert later.interval == Interval(NOON + BUCKET - DAY, NOON + BUCKET)
    assert later.total - later.good == 10
    assert stands(session, now=NOON + 11 * MINUTE).good == 28_800


def test_a_calendar_month_counts_from_midnight_of_its_zone_across_a_clock_change(session: Session) -> None:
    """March of Berlin begins at 23:00 of UTC and, with the change to summer time, ends at 22:00."""
    save(session, target=Decimal("0.99"), window=CalendarWindow(CalendarUnit.MONTH, "Europe/Berlin"))
    first = datetime(2026, 2, 28, 23, tzinfo=UTC)
    fill(session, first - DAY, first, bad=100)
    fill(session, first, first + DAY, bad=1)
    status = stands(session, now=first + DAY)
    assert status.interval == Interval(first, datetime(2026, 3, 31, 22, tzinfo=UTC))
    assert (status.total, status.total - status.good) == (28_800, 288)
    assert status.coverage_ratio == 1
    assert status.sli == pytest.approx(0.99)
    assert status.budget is not None
    assert status.budget.minutes == pytest.approx(0.01 * (31 * 24 - 1) * 60)
    assert status.projection is not None
    assert status.projection.total_minutes == pytest.approx(0.01 * (31 * 24 - 1) * 60)
    assert status.projection.consumed_minutes == pytest.approx(0.01 * 24 * 60)
    assert status.projection.left_minutes == pytest.approx(0.01 * (30 * 24 - 1) * 60)


def test_what_a_month_has_spent_so_far_is_not_the_month(session: Session) -> None:
    """To date the budget is gone twice; of the whole month a fifteenth is."""
    save(session, target=Decimal("0.99"), window=CalendarWindow())
    first = datetime(2026, 4, 1, tzinfo=UTC)
    fill(session, first, first + DAY, bad=2)
    status = stands(session, now=first + DAY)
    assert status.state is SloState.EXHAUSTED
    assert status.projection is not None
    assert status.projection.left_minutes == pytest.approx(status.projection.total_minutes * 28 / 30)


def test_a_month_that_will_not_last_is_at_risk_before_it_is_over(session: Session) -> None:
    """Twenty-nine clean days earn the last one a rate of thirty; ten days earn the rest a rate of 1.5."""
    save(session, target=Decimal("0.99"), window=CalendarWindow())
    first = datetime(2026, 4, 1, tzinfo=UTC)
    fill(session, first, first + 10 * DAY)
    fill(session, first + 10 * DAY, first + 11 * DAY, bad=1.6)
    early = stands(session, now=first + 11 * DAY)
    assert early.state is SloState.AT_RISK
    assert early.exhausted_in == pytest.approx((30 - 1.6) / 1.6 * DAY, abs=timedelta(seconds=1))
    fill(session, first + 10 * DAY, first + 28 * DAY)
    fill(session, first + 28 * DAY, first + 29 * DAY, bad=1.6)
    late = stands(session, now=first + 29 * DAY)
    assert late.state is SloState.HEALTHY


def test_a_span_that_was_asked_for_is_judged_at_its_end(session: Session) -> None:
    fill(session, NOON - 50 * DAY, NOON)
    february = month_of(NOON - 20 * DAY)
    fill(session, february.until - HOUR, february.until, bad=50)
    status = stands(session, interval=february)
    assert status.interval == february
    assert status.total == 28 * 28_800
    assert status.burn_rates[HOUR] == pytest.approx(500)
    assert status.measured_at == february.until
    assert not status.is_stale
    assert status.projection is None
    report = slo_report(session, now=NOON, interval=february)
    assert report.interval == february


def test_a_month_still_running_is_asked_for_to_date(session: Session) -> None:
    fill(session, NOON - 20 * DAY, NOON)
    status = stands(session, interval=month_of(NOON))
    assert status.total == 14.5 * 28_800
    assert status.coverage_ratio == 1
    assert status.projection is not None


def test_a_source_with_half_of_the_window_is_not_green(session: Session) -> None:
    """A Prometheus keeps 15 days as shipped."""
    fill(session, NOON - 15 * DAY, NOON)
    status = stands(session)
    assert status.coverage_ratio == pytest.approx(0.5)
    assert status.state is SloState.INSUFFICIENT_DATA
    assert status.compliant is None
    assert status.sli == 1


def test_a_target_of_all_knows_all_or_nothing(session: Session) -> None:
    save(session, target=Decimal(1), window=RollingWindow(DAY))
    fill(session, NOON - DAY, NOON)
    assert stands(session).state is SloState.HEALTHY
    fill(session, NOON - 2 * HOUR, NOON - HOUR, bad=1)
    broken = stands(session)
    assert broken.state is SloState.EXHAUSTED
    assert broken.budget is not None
    assert (broken.budget.total_events, broken.budget.minutes) == (0, 0)


def test_time_taken_out_is_named_and_not_missed(session: Session) -> None:
    save(session, window=RollingWindow(DAY))
    fill(session, NOON - DAY, NOON - 8 * HOUR)
    fill(session, NOON - 4 * HOUR, NOON)
    assert stands(session).state is SloState.INSUFFICIENT_DATA
    new = corrections.NewCorrection(NOON - 8 * HOUR, NOON - 4 * HOUR, "moved the servers", service=API.service)
    corrections.add(session, new, actor="somebody")
    status = stands(session)
    assert (status.coverage_ratio, status.excluded_s) == (1, 4 * 3600)
    assert status.state is SloState.HEALTHY


def test_a_correction_over_all_of_the_window_leaves_nothing_known(session: Session) -> None:
    fill(session, NOON - 30 * DAY, NOON)
    corrections.add(session, corrections.NewCorrection(NOON - 31 * DAY, NOON, "moved"), actor="somebody")
    status = stands(session)
    assert (status.state, status.coverage_ratio, status.total) == (SloState.NO_DATA, 0, 0)


def test_slices_of_time_are_counted_as_such(session: Session) -> None:
    """One hour of 24 is bad: twelve slices of 288."""
    slices = Slices(BUCKET, Decimal("0.9"))
    save(session, window=RollingWindow(DAY), budgeting=Budgeting.TIMESLICES, slices=slices, target=Decimal("0.9"))
    fill(session, NOON - DAY, NOON, bad=5)
    fill(session, NOON - 10 * HOUR, NOON - 9 * HOUR, bad=20)
    status = stands(session)
    assert status.unit == "slices"
    assert (status.good, status.total) == (276, 288)
    assert status.budget is not None
    assert status.budget.total_events == pytest.approx(28.8)
    assert status.volume_warning is None


def test_a_ratio_without_events_counts_time(session: Session) -> None:
    save(session, window=RollingWindow(DAY), indicator=RawRatio("errors:ratio"))
    fill(session, NOON - DAY, NOON, total=1, bad=0.01)
    assert (stands(session).unit, stands(session).total) == ("slices", 288)
    assert stands(session).volume_warning is None


def test_windows_end_with_the_last_whole_slice(session: Session) -> None:
    slices = Slices(HOUR, Decimal("0.9"))
    save(session, window=RollingWindow(DAY), budgeting=Budgeting.TIMESLICES, slices=slices, target=Decimal("0.9"))
    fill(session, NOON - DAY, NOON - HOUR)
    fill(session, NOON - HOUR, NOON + 30 * MINUTE, bad=50)
    assert stands(session, now=NOON + 31 * MINUTE).burn_rates[HOUR] == pytest.approx(10)


def test_groups_come_worst_first_and_only_when_asked(session: Session) -> None:
    save(session, window=RollingWindow(DAY), group_by=("route",))
    fill(session, NOON - DAY, NOON)
    for name, bad in (("a", 1), ("b", 3), ("c", 0)):
        fill(session, NOON - DAY, NOON, bad=bad, group_key=f'{{"route": "{name}"}}')
    assert (list(stands(session).groups), stands(session).group_count) == ([], 0)
    status = stands(session, group_keys=True)
    assert status.state is SloState.HEALTHY
    assert status.group_count == 3
    assert [group.group_key for group in status.groups] == [f'{{"route": "{name}"}}' for name in "bac"]
    assert [group.state for group in status.groups] == [SloState.EXHAUSTED, SloState.EXHAUSTED, SloState.HEALTHY]
    assert [group.burn_rates[HOUR] for group in status.groups] == [pytest.approx(30), pytest.approx(10), 0]


def test_no_more_than_fifty_groups_are_named_but_all_are_counted(session: Session) -> None:
    save(session, window=RollingWindow(HOUR), group_by=("route",))
    for place in range(60):
        fill(session, NOON - HOUR, NOON, bad=place, group_key=f'{{"route": "{place:02d}"}}')
    status = stands(session, group_keys=True)
    assert (len(status.groups), status.group_count) == (50, 60)
    assert status.groups[0].group_key == '{"route": "59"}'


def test_a_composite_stands_as_its_members_do_over_its_own_window(session: Session) -> None:
    events = CompositeEvents(CompositeMode.WORST_OF, (Member(API.id), Member(PAGES.id)))
    item = Objective("all", "All", "api", Decimal("0.99"), events, "Together.", window=RollingWindow(DAY))
    catalogue.save(session, item, actor="somebody")
    fill(session, NOON - 3 * DAY, NOON)
    fill(session, NOON - DAY, NOON - 12 * HOUR, bad=0.1)
    fill(session, NOON - 3 * DAY, NOON, slo_id=PAGES.id, bad=1)
    session.add(SloReading(slo_id=PAGES.id, error="no answer"))
    session.flush()
    status = stands(session, "all")
    api, pages = status.members
    assert [member.objective.id for member in status.members] == [API.id, PAGES.id]
    assert api.budget is not None
    assert pages.budget is not None
    assert status.budget is not None
    assert api.budget.remaining_ratio == pytest.approx(0.5)
    assert pages.budget.remaining_ratio == pytest.approx(0.9)
    assert status.budget.remaining_ratio == pytest.approx(0.5)
    assert status.burn_rates[HOUR] == pytest.approx(0.1)
    assert status.read_error == f"{PAGES.title}: no answer"
    assert api.interval == status.interval


def test_a_composite_with_a_dead_member_is_not_green(session: Session) -> None:
    events = CompositeEvents(CompositeMode.WEIGHTED, (Member(API.id), Member(PAGES.id)))
    item = Objective("all", "All", "api", Decimal("0.9"), events, "Together.", window=RollingWindow(DAY))
    catalogue.save(session, item, actor="somebody")
    fill(session, NOON - DAY, NOON)
    status = stands(session, "all")
    assert status.sli == 1
    assert status.coverage_ratio == pytest.approx(0.5)
    assert status.state is SloState.INSUFFICIENT_DATA


def test_a_source_that_fell_silent_is_stale_and_says_why(session: Session) -> None:
    fill(session, NOON - 30 * DAY, NOON - 20 * MINUTE)
    session.add(SloReading(slo_id=API.id, error="connection refused", warnings=["partial answer"]))
    session.flush()
    status = stands(session)
    assert status.measured_at == NOON - 20 * MINUTE
    assert status.is_stale
    assert (status.read_error, list(status.warnings)) == ("connection refused", ["partial answer"])
    assert stands(session, now=NOON - 10 * MINUTE).is_stale is False


def test_a_source_that_falls_silent_in_a_burn_does_not_turn_green(session: Session) -> None:
    fill(session, NOON - 30 * DAY, NOON)
    fill(session, NOON - HOUR, NOON, bad=5)
    for minutes in (6, 12, 19, 20):
        status = stands(session, now=NOON + minutes * MINUTE)
        assert status.state is SloState.DEGRADED
        assert status.burn_rates[BUCKET] == pytest.approx(50)
        assert status.is_stale is (minutes == 20)


def test_a_member_that_fell_silent_does_not_hold_up_the_others(session: Session) -> None:
    events = CompositeEvents(CompositeMode.WEIGHTED, (Member(API.id), Member(PAGES.id)))
    item = Objective("all", "All", "api", Decimal("0.9"), events, "Together.", window=RollingWindow(DAY))
    catalogue.save(session, item, actor="somebody")
    fill(session, NOON - DAY, NOON, bad=50)
    fill(session, NOON - DAY, NOON - HOUR, slo_id=PAGES.id)
    status = stands(session, "all")
    assert status.burn_rates[BUCKET] == pytest.approx(5)
    assert status.is_stale


def test_a_target_too_tight_for_the_traffic_is_told(session: Session) -> None:
    """A day of 28 events at 99.9 % allows not one bad event a month."""
    fill(session, NOON - DAY, NOON, total=0.1)
    assert "0.86 bad events" in (stands(session).volume_warning or "")
    fill(session, NOON - DAY, NOON, total=10)
    assert stands(session).volume_warning is None


def test_a_burn_names_the_pairs_that_fire(session: Session) -> None:
    fill(session, NOON - 30 * DAY, NOON)
    fill(session, NOON - HOUR, NOON, bad=5)
    status = stands(session)
    assert [(pair.long, pair.short) for pair in status.alerts] == [(HOUR, BUCKET), (6 * HOUR, 30 * MINUTE)]
    assert status.state is SloState.DEGRADED
