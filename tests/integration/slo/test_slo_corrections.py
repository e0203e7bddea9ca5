"""Time that does not count: added, found by objective, taken back."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.core.errors import InputError, NotFoundError
from analytics.core.ids import new_id
from analytics.slo import corrections
from analytics.slo.corrections import NewCorrection, add, exclusions, list_corrections, withdraw
from analytics.slo.defaults import objectives
from analytics.store.queries import audit

pytestmark = pytest.mark.integration
API, P95, CACHE = "api_availability", "api_latency_p95", "cache_hit_rate"
DAY = datetime(2026, 11, 2, tzinfo=UTC)
MONTH = Interval(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def planned(since: datetime = DAY, length: timedelta = HOUR, **more: Any) -> NewCorrection:
    return NewCorrection(since, since + length, **{"reason": "Planned work", **more})


def excluded(session: Session, slo_id: str = API, interval: Interval = MONTH) -> list[tuple[datetime, datetime]]:
    return [(span.since, span.until) for span in exclusions(session, objectives(), interval).get(slo_id, ())]


def test_a_correction_concerns_an_objective_a_service_or_everything(session: Session) -> None:
    add(session, planned(DAY, slo_id=API), actor="ann")
    add(session, planned(DAY + 2 * HOUR, service="api"), actor="ann")
    add(session, planned(DAY + 4 * HOUR), actor="ann")
    found = exclusions(session, objectives(), MONTH)
    assert {slo_id: len(found[slo_id]) for slo_id in (API, P95, CACHE)} == {API: 3, P95: 2, CACHE: 1}


def test_what_meets_or_touches_is_one_and_whole_buckets(session: Session) -> None:
    add(session, planned(DAY + MINUTE, 10 * MINUTE), actor="ann")
    add(session, planned(DAY + 12 * MINUTE, MINUTE, slo_id=API), actor="ann")
    add(session, planned(DAY + 3 * MINUTE, MINUTE, service="api"), actor="ann")
    add(session, planned(DAY + HOUR, 5 * MINUTE), actor="ann")
    assert excluded(session) == [(DAY, DAY + 15 * MINUTE), (DAY + HOUR, DAY + HOUR + 5 * MINUTE)]
    assert excluded(session, CACHE)[0] == (DAY, DAY + 15 * MINUTE)


def test_exclusions_are_cut_to_the_interval(session: Session) -> None:
    add(session, planned(DAY, 3 * HOUR), actor="ann")
    inside = Interval(DAY + HOUR, DAY + 2 * HOUR)
    assert excluded(session, interval=inside) == [(inside.since, inside.until)]
    assert exclusions(session, objectives(), Interval(DAY + 3 * HOUR, DAY + 4 * HOUR)) == {}
    assert exclusions(session, objectives(), Interval(DAY - HOUR, DAY)) == {}


def test_one_that_recurs_began_before_the_interval(session: Session) -> None:
    berlin = datetime(2026, 3, 1, 3, tzinfo=ZoneInfo("Europe/Berlin"))
    add(session, planned(berlin, rrule="FREQ=WEEKLY;BYDAY=SU", zone="Europe/Berlin"), actor="ann")
    days = [since for since, _ in excluded(session)]
    assert [(moment.day, moment.hour) for moment in days] == [(1, 2), (8, 2), (15, 2), (22, 2), (29, 2)]


def test_one_that_is_withdrawn_counts_no_longer_and_stays_listed(session: Session) -> None:
    stored = add(session, planned(slo_id=API), actor="ann").correction
    gone = withdraw(session, stored.id, actor="bob")
    assert withdraw(session, stored.id, actor="cem") == gone
    assert (gone.withdrawn_by, excluded(session), list_corrections(session)) == ("bob", [], [])
    assert list_corrections(session, with_withdrawn=True) == [gone]
    log = [(row.action, row.actor) for row in audit.list_audit(session)][::-1]
    assert log == [("slo.correction_added", "ann"), ("slo.correction_withdrawn", "bob")]
    with pytest.raises(NotFoundError, match="no such correction"):
        withdraw(session, new_id(), actor="bob")


def test_corrections_are_listed_by_objective_and_interval(session: Session) -> None:
    ids: dict[str, uuid.UUID] = {}
    for name, new in {
        "all": planned(DAY),
        "api": planned(DAY + HOUR, service="api"),
        "cache": planned(DAY + 2 * HOUR, slo_id=CACHE),
        "sundays": planned(DAY - timedelta(days=1), rrule="FREQ=WEEKLY"),
    }.items():
        ids[name] = add(session, new, actor="ann").correction.id
    names = {value: name for name, value in ids.items()}

    def listed(**how: Any) -> list[str]:
        return [names[item.id] for item in list_corrections(session, **how)]

    assert listed() == ["cache", "api", "all", "sundays"]
    cache = next(item for item in objectives() if item.id == CACHE)
    assert listed(objective=cache) == ["cache", "all", "sundays"]
    assert listed(interval=Interval(DAY, DAY + HOUR)) == ["all"]
    assert listed(interval=Interval(DAY + timedelta(days=6), DAY + timedelta(days=7))) == ["sundays"]


def test_one_that_meets_others_is_stored_and_says_so(session: Session) -> None:
    nightly = add(session, planned(DAY, 2 * HOUR, rrule="FREQ=DAILY;COUNT=10"), actor="ann")
    assert nightly.overlaps == []
    add(session, planned(DAY + HOUR, 3 * HOUR, slo_id=CACHE), actor="ann")
    add(session, planned(DAY, 9 * HOUR, service="database"), actor="ann")
    found = add(session, planned(DAY + HOUR, timedelta(days=2), service="api"), actor="ann").overlaps
    assert [item.correction for item in found] == [nightly.correction]
    assert found[0].length == HOUR + 2 * HOUR + HOUR
    assert found[0].first == Interval(DAY + HOUR, DAY + 2 * HOUR)
    assert corrections.overlaps(session, planned(DAY + 20 * HOUR, slo_id=CACHE)) == []


REFUSED = (
    (planned(length=timedelta(0)), "ends when it starts"),
    (planned(length=timedelta(days=401)), "at most 400 days"),
    (planned(length=timedelta(days=32), rrule="FREQ=YEARLY"), "recurs lasts at most 31 days"),
    (planned(length=-HOUR), "ends .* before it starts"),
    (planned(datetime(2026, 1, 1)), "has no time zone"),  # noqa: DTZ001 - what is refused
    (planned(datetime(9999, 12, 30, tzinfo=UTC), rrule="FREQ=DAILY"), "starts between 2000 and 2100"),
    (planned(reason="  "), "Say in 1 to 500 characters why"),
    (planned(reason="x" * 501), "Say in 1 to 500 characters why"),
    (planned(slo_id=API, service="api"), "not for both"),
    (planned(slo_id="nothing"), "There is no objective called 'nothing'"),
    (planned(service="ap"), "service 'ap'; there are agents, api"),
    (planned(rrule="FREQ=HOURLY"), "has no FREQ of"),
    (planned(zone="Mars/Base"), "There is no time zone"),
)


def test_a_correction_that_cannot_be_used_is_refused(session: Session) -> None:
    for new, said in REFUSED:
        with pytest.raises(InputError, match=said):
            add(session, new, actor="ann")
    assert list_corrections(session, with_withdrawn=True) == []
