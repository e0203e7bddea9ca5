"""Alerts of objectives over time: they begin, are inhibited, freeze while nobody measures, and are resolved."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.slo import catalogue, corrections, ledger
from analytics.slo.alerting import GROUP_GONE_AFTER, AlertChange, Change, advance
from analytics.slo.backtest import firing_spans
from analytics.slo.corrections import NewCorrection
from analytics.slo.model import (
    BUCKET,
    AlertPolicy,
    AlertRouting,
    Budgeting,
    CalendarWindow,
    Objective,
    PromEvents,
    RollingWindow,
    Slices,
)
from analytics.slo.windows import pairs_of
from analytics.store.engine import session_scope
from analytics.store.queries.slo_alerts import list_alerts, open_alerts
from analytics.store.tables import DEMO

pytestmark = pytest.mark.integration

NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)
HOUR, DAY, MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)
API = "api_availability"
NO_GROUP = ""


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with session_scope(engine) as session:
        yield session


def fill(
    session: Session,
    since: datetime,
    until: datetime,
    *,
    slo_id: str = API,
    total: float = 100,
    bad: float = 0,
    group: str = NO_GROUP,
    origin: str = "live",
) -> None:
    """Measure every bucket of ``[since, until)``."""
    session.execute(
        _FILL,
        {
            "slo": slo_id,
            "group": group,
            "since": since,
            "until": until,
            "good": total - bad,
            "total": total,
            "origin": origin,
        },
    )
    ledger.roll_up(session, [slo_id], since=since, until=until)


_FILL = text("""
    INSERT INTO slo_bucket_5m (slo_id, group_key, bucket_start, good, total, measured_s, origin)
    SELECT :slo, :group, at, :good, :total, 300, :origin
    FROM generate_series(CAST(:since AS timestamptz), CAST(:until AS timestamptz) - interval '1 second',
                         interval '5 minutes') AS at
    ON CONFLICT (slo_id, group_key, bucket_start) DO UPDATE SET good = excluded.good, total = excluded.total
""")


def told(changes: list[AlertChange]) -> list[tuple[str, str, int, bool]]:
    return [(item.change.value, item.alert.kind, item.alert.tier, item.is_told) for item in changes]


def save(session: Session, **more: Any) -> Objective:
    """Define an objective of its own and return it."""
    fields: dict[str, Any] = {"window": RollingWindow(7 * DAY), "target": Decimal("0.99"), **more}
    new = Objective(
        "own",
        "Own",
        "s",
        indicator=PromEvents(total="sum(increase(t[{window}]))", bad="sum(increase(b[{window}]))"),
        description="d",
        **fields,
    )
    return catalogue.save(session, new, actor="a@example.com")


def test_an_outage_pages_once_and_is_resolved_when_it_is_over(session: Session) -> None:
    fill(session, NOON - 30 * DAY, NOON)
    assert advance(session, now=NOON) == []

    fill(session, NOON, NOON + 10 * MINUTE, bad=20)
    began = NOON + 11 * MINUTE
    assert told(advance(session, now=began)) == [("firing", "burn", 1, True)]
    assert advance(session, now=began) == []
    (alert,) = open_alerts(session)
    assert (alert.slo_id, alert.severity, alert.started_at, alert.group_key) == (API, "page", began, NO_GROUP)
    assert alert.detail["burn_long"] == pytest.approx(40 / 1200 / 0.001)
    assert alert.detail["burn_short"] == pytest.approx(200)
    assert alert.detail["bad"] == 40
    assert alert.detail["spent"] == pytest.approx(40 / 864, rel=0.01)
    assert alert.detail["message"].startswith(
        "API availability: the budget burns 33.3 times too fast; 40 of 1,200 events were bad in the last 1 h, 4.6%"
    )

    fill(session, NOON + 10 * MINUTE, NOON + 15 * MINUTE)
    over = NOON + 16 * MINUTE
    assert told(advance(session, now=over)) == [("resolved", "burn", 1, True)]
    assert open_alerts(session) == []
    (ended,) = list_alerts(session, slo_id=API)
    assert (ended.ended_at, ended.detail["reason"]) == (over, "It no longer fires.")
    assert ended.detail["peak_burn"] == pytest.approx(40 / 1200 / 0.001)
    assert advance(session, now=over) == []


def test_slower_pairs_of_a_long_outage_are_inhibited_until_the_faster_one_is_over(session: Session) -> None:
    fill(session, NOON - 30 * DAY, NOON)
    fill(session, NOON, NOON + HOUR, bad=90)
    began = advance(session, now=NOON + HOUR)
    assert [(item[0], item[2], item[3]) for item in told(began) if item[1] == "burn"] == [
        ("firing", 1, True),
        ("firing", 2, False),
        ("firing", 3, False),
        ("firing", 4, False),
    ]
    assert ("firing", "exhausted", 0, True) in told(began)
    assert {row.tier for row in list_alerts(session, is_open=True, with_inhibited=False) if row.kind == "burn"} == {1}

    fill(session, NOON + HOUR, NOON + 65 * MINUTE)
    assert told(advance(session, now=NOON + 65 * MINUTE)) == [
        ("resolved", "burn", 1, True),
        ("firing", "burn", 2, True),
    ]
    fill(session, NOON + 65 * MINUTE, NOON + 100 * MINUTE)
    assert told(advance(session, now=NOON + 100 * MINUTE)) == [
        ("resolved", "burn", 2, True),
        ("firing", "burn", 3, True),
    ]


def test_an_alert_whose_data_stop_freezes_and_is_never_resolved_by_silence(session: Session) -> None:
    fill(session, NOON - 30 * DAY, NOON)
    fill(session, NOON - 10 * MINUTE, NOON, bad=20)
    advance(session, now=NOON)

    assert told(advance(session, now=NOON + 25 * MINUTE)) == [("frozen", "burn", 1, False)]
    assert told(advance(session, now=NOON + 30 * MINUTE)) == [("firing", "no_data", 0, True)]
    assert advance(session, now=NOON + 9 * DAY) == []
    frozen = {row.kind: row.frozen_at for row in open_alerts(session)}
    assert frozen == {"burn": NOON + 25 * MINUTE, "no_data": None}
    (silence,) = [row for row in open_alerts(session) if row.kind == "no_data"]
    assert silence.detail["message"] == ("API availability: nothing was measured since 2026-03-15 12:00 UTC.")

    fill(session, NOON, NOON + 9 * DAY, bad=20)
    assert ("thawed", "burn", 1, False) in told(advance(session, now=NOON + 9 * DAY))
    fill(session, NOON + 9 * DAY, NOON + 9 * DAY + HOUR)
    assert ("resolved", "burn", 1, True) in told(advance(session, now=NOON + 9 * DAY + HOUR))


def test_an_installation_that_never_measured_is_not_told_of_silence(session: Session) -> None:
    assert advance(session, now=NOON) == []


def test_demo_history_never_alerts(session: Session) -> None:
    fill(session, NOON - 30 * DAY, NOON - HOUR, origin=DEMO)
    fill(session, NOON - HOUR, NOON, bad=50)
    assert advance(session, now=NOON) == []
    assert advance(session, now=NOON + 2 * HOUR) == []


def test_maintenance_neither_alerts_nor_counts_as_silence(session: Session) -> None:
    """Put in after the fact, it takes the alert back."""
    fill(session, NOON - 30 * DAY, NOON)
    fill(session, NOON - 10 * MINUTE, NOON, bad=20)
    assert told(advance(session, now=NOON)) == [("firing", "burn", 1, True)]
    planned = NewCorrection(NOON - HOUR, NOON + 2 * HOUR, "Move", slo_id=API)
    corrections.add(session, planned, actor="a@example.com")
    assert told(advance(session, now=NOON)) == [("resolved", "burn", 1, True)]
    assert advance(session, now=NOON + HOUR) == []
    assert told(advance(session, now=NOON + 2 * HOUR + 16 * MINUTE)) == [("firing", "no_data", 0, True)]


def test_a_budget_that_is_used_up_alerts_until_some_of_it_is_back(session: Session) -> None:
    save(session, alerting=AlertPolicy(pairs=()))
    fill(session, NOON - 7 * DAY, NOON, slo_id="own")
    fill(session, NOON - 7 * DAY, NOON - 7 * DAY + 2 * HOUR, slo_id="own", bad=100)
    began = advance(session, now=NOON)
    assert told(began) == [("firing", "exhausted", 0, True)]
    message = "Own: the error budget is used up; 2,400 of 201,600 events were bad in its window."
    assert began[0].alert.detail["message"] == message
    fill(session, NOON, NOON + HOUR, slo_id="own")
    assert told(advance(session, now=NOON + HOUR)) == [("resolved", "exhausted", 0, True)]


def test_a_month_that_cannot_be_met_any_more_is_told_instead_of_one_that_is_behind(session: Session) -> None:
    """By the 15th half of the traffic is there; more bad than the whole month allows is past mending."""
    save(session, window=CalendarWindow(), alerting=AlertPolicy(pairs=()))
    start = datetime(2026, 3, 1, tzinfo=UTC)
    fill(session, start, NOON, slo_id="own")
    fill(session, start + DAY, start + DAY + 4 * HOUR, slo_id="own", bad=100)
    assert told(advance(session, now=NOON)) == [("firing", "exhausted", 0, True)]
    fill(session, start + 2 * DAY, start + 2 * DAY + 4 * HOUR, slo_id="own", bad=100)
    assert told(advance(session, now=NOON)) == [("firing", "violated", 0, True)]
    assert {row.kind: row.is_inhibited for row in open_alerts(session)} == {"exhausted": True, "violated": False}

    april = datetime(2026, 4, 1, tzinfo=UTC)
    fill(session, NOON, april + HOUR, slo_id="own")
    assert {item[:2] for item in told(advance(session, now=april + HOUR))} == {
        ("resolved", "exhausted"),
        ("resolved", "violated"),
    }


def test_one_bad_event_of_a_quiet_objective_uses_up_nothing_worth_telling(session: Session) -> None:
    save(session)
    fill(session, NOON - 7 * DAY, NOON, slo_id="own", total=0.01)
    fill(session, NOON - BUCKET, NOON, slo_id="own", total=2, bad=2)
    assert advance(session, now=NOON) == []


def test_groups_alert_by_themselves_unless_the_whole_says_the_same(session: Session) -> None:
    save(session, group_by=("region",))
    east, west = '{"region": "east"}', '{"region": "west"}'
    for group in (east, west, NO_GROUP):
        fill(session, NOON - 7 * DAY, NOON, slo_id="own", group=group, total=1000)
    fill(session, NOON - HOUR, NOON, slo_id="own", group=east, total=1000, bad=300)
    began = advance(session, now=NOON)
    assert {(item.alert.group_key, item.is_told) for item in began if item.alert.tier == 1} == {(east, True)}
    assert began[0].alert.detail["message"].startswith("Own (region=east): ")

    fill(session, NOON - HOUR, NOON, slo_id="own", total=2000, bad=300)
    whole = advance(session, now=NOON)
    assert (NO_GROUP, True) in {(item.alert.group_key, item.is_told) for item in whole if item.alert.tier == 1}
    inhibited = {(row.group_key, row.tier) for row in open_alerts(session) if row.is_inhibited and row.kind == "burn"}
    assert (east, 1) in inhibited


def test_the_alert_of_a_group_that_is_gone_freezes_and_then_ends(session: Session) -> None:
    save(session, group_by=("pod",), alerting=AlertPolicy(ticket=AlertRouting(is_enabled=False)))
    pod = '{"pod": "a"}'
    fill(session, NOON - 7 * DAY, NOON + 5 * DAY, slo_id="own", total=1000)
    fill(session, NOON - HOUR, NOON, slo_id="own", group=pod, bad=50)
    assert {item.alert.group_key for item in advance(session, now=NOON)} == {pod}
    later = NOON + 8 * HOUR
    assert {item.change for item in advance(session, now=later)} == {Change.FROZEN}
    assert advance(session, now=later + DAY) == []
    gone = advance(session, now=later + GROUP_GONE_AFTER)
    assert {(item.change, item.alert.detail["reason"]) for item in gone} == {
        (Change.RESOLVED, "The group is no longer there.")
    }


def test_an_objective_taken_out_of_use_alerts_no_more(session: Session) -> None:
    own = save(session)
    fill(session, NOON - 7 * DAY, NOON, slo_id="own", bad=30)
    assert advance(session, now=NOON)
    catalogue.save(session, replace(own, alerting=AlertPolicy(pairs=())), actor="a@example.com")
    over = advance(session, now=NOON)
    assert {(item.alert.kind, item.alert.detail["reason"]) for item in over if item.change is Change.RESOLVED} == {
        ("burn", "The policy no longer has it.")
    }
    catalogue.deactivate(session, "own", actor="a@example.com")
    over = advance(session, now=NOON)
    assert {(item.status, item.alert.detail["reason"]) for item in over} == {
        (None, "The objective is no longer in use.")
    }
    assert open_alerts(session) == []


def test_a_target_of_all_alerts_with_numbers_that_json_can_hold(session: Session) -> None:
    save(session, target=Decimal(1))
    fill(session, NOON - 7 * DAY, NOON, slo_id="own")
    fill(session, NOON - BUCKET, NOON, slo_id="own", bad=5)
    changes = advance(session, now=NOON)
    assert changes[0].alert.detail["burn_long"] is None
    assert "and none may be" in next(item for item in changes if item.alert.kind == "burn").alert.detail["message"]


def test_slices_of_time_alert_by_whole_slices(session: Session) -> None:
    """Two hours of twenty are bad; the third, of which half is over, is not counted yet."""
    save(session, budgeting=Budgeting.TIMESLICES, slices=Slices(HOUR), target=Decimal("0.95"))
    fill(session, NOON - 20 * HOUR, NOON + HOUR / 2, slo_id="own")
    fill(session, NOON - 2 * HOUR, NOON + HOUR / 2, slo_id="own", bad=50)
    changes = advance(session, now=NOON + HOUR / 2)
    bad = {item.alert.tier: item.alert.detail["bad"] for item in changes if item.alert.kind == "burn"}
    assert (bad[1], bad[2]) == (1, 2)
    assert "1 of 1 slices were bad in the last 1 h" in changes[0].alert.detail["message"]
    later = NOON + HOUR / 2 + BUCKET
    fill(session, NOON + HOUR / 2, later, slo_id="own", bad=50)
    assert advance(session, now=later) == []


def test_two_at_once_tell_nothing_twice(engine: Engine, session: Session) -> None:
    fill(session, NOON - 30 * DAY, NOON)
    fill(session, NOON - 10 * MINUTE, NOON, bad=20)
    session.commit()
    with session_scope(engine) as other:
        assert len(advance(other, now=NOON)) == 1
        assert advance(session, now=NOON) == []
    session.commit()
    assert advance(session, now=NOON) == []


def test_alerts_are_listed_by_time_kind_and_page(session: Session) -> None:
    fill(session, NOON - 30 * DAY, NOON)
    fill(session, NOON - HOUR, NOON, bad=90)
    advance(session, now=NOON)
    newest = list_alerts(session, limit=2)
    rest = list_alerts(session, before=(newest[-1].started_at, newest[-1].id))
    assert len({row.id for row in [*newest, *rest]}) == len(open_alerts(session, [API]))
    assert {row.severity for row in list_alerts(session, severity="ticket")} == {"ticket"}
    assert list_alerts(session, interval=Interval(NOON - DAY, NOON)) == []
    assert list_alerts(session, interval=Interval(NOON, NOON + HOUR), is_open=False) == []
    assert list_alerts(session, slo_id="other") == []
    assert open_alerts(session, []) == []


def test_what_was_told_is_what_the_replay_of_the_same_time_tells(session: Session) -> None:
    """Every bucket is judged as it comes, with bursts of every strength and a source that goes away for a while."""
    own = save(session, alerting=AlertPolicy(ticket=AlertRouting(is_enabled=False)))
    bursts = np.random.default_rng(4).choice([0, 0, 0, 2, 15, 60], size=12).repeat(4)
    for place, bad in enumerate(bursts.tolist()):
        if not 26 <= place < 34:
            fill(session, NOON + place * BUCKET, NOON + (place + 1) * BUCKET, slo_id="own", bad=bad)
        advance(session, now=NOON + (place + 1) * BUCKET)
    span = Interval(NOON, NOON + len(bursts) * BUCKET)
    history = ledger.histories(session, [own], span)["own"]
    kept = list_alerts(session, limit=100)
    lived = sorted((row.tier, row.started_at, row.ended_at or span.until) for row in kept)
    replayed = [
        (pair.tier, found.since, found.until) for pair in pairs_of(own) for found in firing_spans(history, pair)
    ]
    assert lived == replayed
    assert len(replayed) == 3
