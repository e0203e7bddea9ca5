"""Leads: told by events, changed by people, listed page by page."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.core.errors import InputError, NotFoundError
from analytics.journeys.leads import LeadFilter, LeadRow, by_band, change_lead, delete_lead, get_lead, list_leads

pytestmark = pytest.mark.integration

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = Interval(NOON - timedelta(hours=1), NOON + timedelta(hours=4))
Tell = Callable[..., Any]


def only(session: Session) -> LeadRow:
    (lead,) = list_leads(session)
    return lead


def test_events_make_a_lead_and_bring_it_up_to_date(session: Session, tell: Tell):
    tell("ann@example.com", (0, "lead.created"), props={"owner": "Eva", "p_score": 0.4})
    tell("ann@example.com", (10, "lead.scored"), props={"p_score": 0.8})
    tell("ann@example.com", (20, "lead.won"))

    lead = only(session)
    assert (lead.email, lead.owner, lead.status, lead.p_score) == ("ann@example.com", "Eva", "won", 0.8)
    assert (lead.created_at, lead.converted_at) == (NOON, NOON + timedelta(minutes=20))


def test_what_happened_earlier_but_comes_later_only_fills_in_what_is_not_known(session: Session, tell: Tell):
    tell("c-7", (20, "lead.won"), props={"p_score": 0.9})
    tell("c-7", (0, "lead.created"), props={"p_score": 0.1, "email": "c@example.com"})

    lead = only(session)
    assert (lead.status, lead.p_score, lead.email) == ("won", 0.9, "c@example.com")
    assert (lead.created_at, lead.updated_at) == (NOON, NOON + timedelta(minutes=20))


def test_a_batch_in_any_order_ends_as_things_happened(session: Session, tell: Tell):
    tell("c-7", (20, "lead.lost"), (0, "lead.created"), (10, "lead.qualified"))
    tell("c-7", (30, "lead.won"), (25, "lead.contacted"))

    assert (only(session).status, only(session).converted_at) == ("won", NOON + timedelta(minutes=30))


def test_a_lead_is_known_by_its_own_id_where_the_subject_is_a_person(session: Session, tell: Tell):
    tell("ann@example.com", (0, "lead.created"), props={"lead_id": "L1"})
    tell("ann@example.com", (1, "lead.created"), props={"lead_id": "L2"})
    tell("ann@example.com", (1, "lead.created"), props={"lead_id": "L1"}, source="elsewhere")

    found = {(lead.source, lead.external_id) for lead in list_leads(session)}
    assert found == {("test", "L1"), ("test", "L2"), ("elsewhere", "L1")}


def test_people_change_leads_and_what_was_won_keeps_when(session: Session, tell: Tell):
    tell("c-7", (0, "lead.created"))
    lead = only(session)

    won = change_lead(session, lead.id, {"status": "won", "owner": "Eva", "p_score": 1.0}, actor="ann")
    assert won.converted_at is not None
    assert get_lead(session, lead.id) == won
    tell("c-7", (30, "lead.lost"))  # older than what a person said
    assert only(session).status == "won"
    assert change_lead(session, lead.id, {"status": "contacted"}, actor="ann").converted_at is None
    actions = session.scalars(text("SELECT action FROM audit_log WHERE object_id = :id"), {"id": str(lead.id)})
    assert set(actions) == {"lead.changed"}


@pytest.mark.parametrize(
    "changes", [{"status": "sold"}, {"p_score": 1.1}, {"p_score": -0.1}, {"email": "nobody"}, {"owner": "x" * 201}]
)
def test_a_change_that_cannot_be_changes_nothing(session: Session, tell: Tell, changes: dict[str, object]):
    tell("c-7", (0, "lead.created"))
    before = only(session)

    with pytest.raises(InputError):
        change_lead(session, before.id, changes, actor="ann")
    assert only(session) == before


def test_a_lead_can_be_removed_once(session: Session, tell: Tell):
    tell("c-7", (0, "lead.created"))
    lead = only(session)

    delete_lead(session, lead.id, actor="ann")
    assert list_leads(session) == []
    for gone in (
        lambda: delete_lead(session, lead.id, actor="ann"),
        lambda: change_lead(session, lead.id, {}, actor="a"),
    ):
        with pytest.raises(NotFoundError):
            gone()


def test_lists_are_narrowed_and_come_page_by_page(session: Session, tell: Tell):
    for number in range(5):
        tell(f"p{number}@example.com", (number // 2, "lead.created"), props={"p_score": number / 4})
    tell("x_%", (0, "lead.created"))

    seen: list[LeadRow] = []
    while page := list_leads(session, limit=2, before=(seen[-1].created_at, seen[-1].id) if seen else None):
        seen += page

    assert len({lead.id for lead in seen}) == 6
    assert [lead.created_at for lead in seen] == sorted((lead.created_at for lead in seen), reverse=True)
    assert [lead.p_score for lead in list_leads(session, LeadFilter(band="0.75 to 1"))] == [1.0, 0.75]
    assert [lead.external_id for lead in list_leads(session, LeadFilter(band="not scored"))] == ["x_%"]
    assert [lead.external_id for lead in list_leads(session, LeadFilter(search="_%"))] == ["x_%"]
    assert len(list_leads(session, LeadFilter(status="new", source="test"), interval=DAY)) == 6
    with pytest.raises(InputError):
        list_leads(session, LeadFilter(status="sold"))
    with pytest.raises(InputError):
        list_leads(session, LeadFilter(band="high"))


def test_bands_tell_how_leads_went_on(session: Session, tell: Tell):
    tell("a", (0, "lead.created"), (60, "lead.won"), props={"p_score": 0.9})
    tell("b", (0, "lead.created"), (5, "lead.lost"), props={"p_score": 0.75})
    tell("c", (0, "lead.created"), (5, "lead.contacted"), props={"p_score": 0.1})
    tell("d", (0, "lead.created"))

    best, low, none = by_band(session, DAY)

    assert (best.band, best.leads, best.won, best.lost, best.conversion, best.took_s) == (
        "0.75 to 1",
        2,
        1,
        1,
        0.5,
        3600,
    )
    assert (low.band, low.contacted, low.qualified, low.conversion, low.took_s) == ("0 to 0.25", 1, 0, None, None)
    assert (none.band, none.leads, none.mean_score) == ("not scored", 1, None)
