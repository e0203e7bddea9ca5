"""Where a budget went and how it was spent, read from the ledger."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.core.errors import NotFoundError
from analytics.core.ids import new_id
from analytics.slo import catalogue, ledger, slo_report
from analytics.slo.alerting import advance
from analytics.slo.burndown import burn_down
from analytics.slo.explain import explain_burn
from analytics.slo.forecast import look_ahead
from analytics.slo.model import CalendarWindow, Objective, PromEvents
from analytics.store.engine import session_scope
from analytics.store.tables import Annotation

pytestmark = pytest.mark.integration

NOW = datetime(2026, 3, 15, 12, 35, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
API = "api_availability"


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with session_scope(engine) as session:
        yield session


def fill(
    session: Session, since: datetime, until: datetime, *, bad: int = 0, slo_id: str = API, group: str = ""
) -> None:
    session.execute(
        text("""
            INSERT INTO slo_bucket_5m (slo_id, group_key, bucket_start, good, total, measured_s)
            SELECT :slo, :group, at, 100 - :bad, 100, 300
            FROM generate_series(CAST(:since AS timestamptz), CAST(:until AS timestamptz) - interval '1 second',
                                 interval '5 minutes') AS at
            ON CONFLICT (slo_id, group_key, bucket_start) DO UPDATE SET good = excluded.good
        """),
        {"slo": slo_id, "group": group, "since": since, "until": until, "bad": bad},
    )
    ledger.roll_up(session, [slo_id], since=since, until=until)


def happened(session: Session, at: datetime, title: str, kind: str = "deploy", service: str = "api") -> None:
    session.add(Annotation(id=new_id(), at=at, kind=kind, title=title, service=service))
    session.flush()


def test_the_explanation_names_windows_hours_happenings_and_alerts(session: Session) -> None:
    fill(session, NOW - 30 * DAY, NOW)
    fill(session, NOW - 3 * DAY, NOW - 3 * DAY + HOUR, bad=10)
    fill(session, NOW - HOUR / 2, NOW, bad=20)
    happened(session, NOW - 3 * DAY, "Release 1")
    happened(session, NOW - HOUR / 2, "Release 2")
    happened(session, NOW - HOUR, "Elsewhere", service="other")
    advance(session, now=NOW)

    said = explain_burn(session, API, now=NOW)

    status = slo_report(session, now=NOW, ids=[API]).statuses[0]
    assert status.budget is not None
    assert said.remaining == status.budget.remaining_ratio == pytest.approx(1 - 240 / 864)
    assert said.interval == Interval(NOW - 30 * DAY, NOW)
    by_window = {burn.window: burn for burn in said.windows}
    assert by_window[HOUR].rate == pytest.approx(100)
    assert by_window[HOUR].spent == pytest.approx(120 / 864)
    assert by_window[timedelta(minutes=5)].total == 100
    assert list(by_window) == sorted(by_window)
    assert {pair.tier for pair in said.firing} == {1, 2, 3, 4}
    assert {cost.bad for cost in said.hours} == {120}
    assert [(cost.annotation.title, cost.bad) for cost in said.annotations] == [("Release 1", 120), ("Release 2", 120)]
    assert {alert.tier for alert in said.alerts} == {1, 2, 3, 4}
    assert said.groups == []


def test_groups_and_chosen_times_are_explained(session: Session) -> None:
    own = Objective(
        "own",
        "Own",
        "s",
        Decimal("0.99"),
        PromEvents(total="sum(increase(t[{window}]))", bad="sum(increase(b[{window}]))"),
        "d",
        group_by=("pod",),
    )
    catalogue.save(session, own, actor="a@example.com")
    since = NOW - 2 * DAY
    fill(session, since, NOW, slo_id="own", bad=1)
    for pod, bad in (("a", 3), ("b", 0), ("c", 1)):
        fill(session, since, NOW, slo_id="own", group=f'{{"pod": "{pod}"}}', bad=bad)
    said = explain_burn(session, "own", now=NOW, interval=Interval(since, NOW - DAY))
    assert said.interval.until == NOW - DAY
    assert [(cost.group_key, cost.bad) for cost in said.groups] == [('{"pod": "a"}', 864), ('{"pod": "c"}', 288)]


def test_a_burn_down_ends_at_what_the_report_says(session: Session, engine: Engine) -> None:
    """The window begins and ends within an hour; both are exact to five minutes."""
    fill(session, NOW - 40 * DAY, NOW)
    fill(session, NOW - 30 * DAY - HOUR / 2, NOW - 30 * DAY + HOUR / 2, bad=20)
    happened(session, NOW - DAY, "Release")
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    course = burn_down(session, API, now=NOW)
    assert len(statements) <= 6
    status = slo_report(session, now=NOW, ids=[API]).statuses[0]
    assert status.budget is not None
    assert course.remaining[-1] == (NOW, pytest.approx(status.budget.remaining_ratio))
    assert course.rolling[-1] == (NOW, pytest.approx(status.budget.remaining_ratio))
    assert len(course.remaining) <= 240
    assert [item.title for item in course.annotations] == ["Release"]
    assert course.gaps == []


def test_a_month_of_the_calendar_is_drawn_to_date(session: Session) -> None:
    own = Objective(
        "own",
        "Own",
        "s",
        Decimal("0.99"),
        PromEvents(total="sum(increase(t[{window}]))", bad="sum(increase(b[{window}]))"),
        "d",
        window=CalendarWindow(zone="Europe/Berlin"),
    )
    catalogue.save(session, own, actor="a@example.com")
    fill(session, NOW - 30 * DAY, NOW, slo_id="own")
    course = burn_down(session, "own", now=NOW)
    assert course.interval == Interval(datetime(2026, 2, 28, 23, tzinfo=UTC), NOW)
    assert course.rolling == []


def test_a_forecast_begins_with_what_the_report_says(session: Session) -> None:
    fill(session, NOW - 30 * DAY - HOUR, NOW - 30 * DAY + HOUR, bad=10)
    fill(session, NOW - 30 * DAY + HOUR, NOW - HOUR, bad=0)
    fill(session, NOW - HOUR, NOW, bad=1)
    ahead = look_ahead(session, API, now=NOW)
    status = slo_report(session, now=NOW, ids=[API]).statuses[0]
    assert status.budget is not None
    assert ahead.remaining == pytest.approx(status.budget.remaining_ratio)
    assert ahead.scenarios[0].burn_rate == pytest.approx(10)
    assert look_ahead(session, API, now=NOW + 2 * HOUR).scenarios[0].recent == 6 * HOUR


def test_what_is_not_there_is_not_explained(session: Session) -> None:
    for ask in (explain_burn, burn_down, look_ahead):
        with pytest.raises(NotFoundError):
            ask(session, "nothing", now=NOW)
    said = explain_burn(session, API, now=NOW)
    assert (said.remaining, said.hours, said.annotations, said.alerts) == (None, [], [], [])
    assert {burn.rate for burn in said.windows} == {None}
    assert {value for _, value in burn_down(session, API, now=NOW).remaining} == {None}
