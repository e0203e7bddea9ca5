"""Objectives that people define, over those that Helmsight ships."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.core.errors import ConflictError, InputError, NotFoundError
from analytics.slo import catalogue
from analytics.slo.catalogue import Change
from analytics.slo.defaults import objective, objectives
from analytics.slo.model import CompositeEvents, CompositeMode, Member, Objective, SqlEvents
from analytics.store.queries import audit

pytestmark = pytest.mark.integration
API = "api_availability"


def uploads(**more: object) -> Objective:
    values: dict[str, object] = {
        "id": "uploads",
        "title": "Uploads kept",
        "service": "files",
        "target": Decimal("0.995"),
        "indicator": SqlEvents("SELECT at, ok AS good FROM llm_call"),
        "description": "Uploads that were stored.",
    }
    return Objective(**values | more)  # type: ignore[arg-type]


def composite(*members: str, name: str = "journey") -> Objective:
    events = CompositeEvents(CompositeMode.WEIGHTED, tuple(Member(member) for member in members))
    return uploads(id=name, indicator=events)


def test_the_standard_objectives_come_first_and_then_the_others_by_id(session: Session) -> None:
    catalogue.save(session, uploads(id="z-last"), actor="ann")
    catalogue.save(session, uploads(id="a-first"), actor="ann")
    names = [item.id for item in catalogue.load(session)]
    assert names == [*(item.id for item in objectives()), "a-first", "z-last"]
    assert [item.id for item in catalogue.load(session, ids=["z-last", API, "nothing"])] == [API, "z-last"]


def test_a_change_of_a_standard_objective_counts_in_its_place(session: Session) -> None:
    stored = catalogue.save(session, replace(objective(API), target=Decimal("0.99")), actor="ann", note="Too tight")
    assert (stored.revision, catalogue.find(session, API)) == (1, stored)
    assert [item.id for item in catalogue.load(session)] == [item.id for item in objectives()]
    newest, shipped = catalogue.revisions(session, API)
    assert (newest.note, newest.created_by, newest.changes) == (
        "Too tight",
        "ann",
        [Change("target", "99.9%", "99%")],
    )
    assert (shipped.revision, shipped.objective) == (0, objective(API))
    back = catalogue.revert_to(session, API, 0, actor="bob")
    assert (back.revision, back.target) == (2, Decimal("0.999"))
    entry = next(item for item in catalogue.entries(session) if item.slo_id == API)
    assert (entry.revision, entry.is_standard, entry.updated_by) == (2, True, "bob")


def test_what_changes_nothing_adds_no_revision(session: Session) -> None:
    assert catalogue.save(session, objective(API), actor="ann").revision == 0
    first = catalogue.save(session, uploads(), actor="ann")
    assert catalogue.save(session, uploads(), actor="ann") == first
    assert len(catalogue.revisions(session, "uploads")) == 1


def test_a_change_made_from_an_older_revision_is_refused(session: Session) -> None:
    catalogue.save(session, uploads(), actor="ann", expected_revision=0)
    with pytest.raises(ConflictError, match="uploads is at revision 1, and this change was made from revision 0"):
        catalogue.save(session, uploads(title="Other"), actor="bob", expected_revision=0)
    with pytest.raises(ConflictError, match="revision 1"):
        catalogue.deactivate(session, "uploads", actor="bob", expected_revision=2)
    with pytest.raises(ConflictError, match="revision 1"):
        catalogue.revert_to(session, "uploads", 1, actor="bob", expected_revision=2)
    assert catalogue.find(session, "uploads").title == "Uploads kept"
    assert catalogue.save(session, uploads(title="Other"), actor="bob", expected_revision=1).revision == 2


@pytest.mark.parametrize("slo_id", ["uploads", API])
def test_an_objective_is_taken_out_of_use_and_into_it_again(session: Session, slo_id: str) -> None:
    catalogue.save(session, uploads(), actor="ann")
    before = catalogue.find(session, slo_id)
    catalogue.deactivate(session, slo_id, actor="bob", note="Moved away")
    assert slo_id not in [item.id for item in catalogue.load(session)]
    assert catalogue.find(session, slo_id, with_inactive=True) == replace(before, revision=before.revision + 1)
    for ask in (catalogue.find, lambda *args: catalogue.deactivate(*args, actor="bob")):
        with pytest.raises(NotFoundError, match="There is no objective called"):
            ask(session, slo_id)
    out = catalogue.revisions(session, slo_id)[0]
    assert (out.is_active, out.objective, out.note, out.changes) == (False, None, "Moved away", [])
    with pytest.raises(NotFoundError, match=f"no definition of revision {out.revision}"):
        catalogue.revert_to(session, slo_id, out.revision, actor="bob")
    again = catalogue.restore(session, slo_id, actor="ann")
    assert again == replace(before, revision=before.revision + 2)
    with pytest.raises(ConflictError, match="is in use"):
        catalogue.restore(session, slo_id, actor="ann")


def test_storing_an_objective_that_is_out_of_use_takes_it_into_use(session: Session) -> None:
    catalogue.save(session, uploads(), actor="ann")
    catalogue.deactivate(session, "uploads", actor="ann")
    assert catalogue.save(session, uploads(), actor="ann", expected_revision=2).revision == 3
    assert catalogue.find(session, "uploads").revision == 3


def test_who_changed_what_is_in_the_audit_log(session: Session) -> None:
    catalogue.save(session, uploads(), actor="ann", note="New")
    catalogue.save(session, uploads(title="Other"), actor="bob")
    catalogue.revert_to(session, "uploads", 1, actor="cem")
    catalogue.deactivate(session, "uploads", actor="dee")
    catalogue.restore(session, "uploads", actor="eve")
    found = [(row.action, row.actor, row.detail["revision"]) for row in audit.list_audit(session)][::-1]
    assert found == [
        ("slo.saved", "ann", 1),
        ("slo.saved", "bob", 2),
        ("slo.reverted", "cem", 3),
        ("slo.deactivated", "dee", 4),
        ("slo.restored", "eve", 5),
    ]


def test_a_definition_that_cannot_be_read_leaves_the_others_alone(session: Session) -> None:
    catalogue.save(session, uploads(), actor="ann")
    catalogue.save(session, uploads(title="Other"), actor="ann")
    for document in ({"slo": "v9", "id": "uploads", "from": "the future"}, {}, [1], "text", None):
        broken = {"document": json.dumps(document)}
        session.execute(text("UPDATE slo_definition SET document = CAST(:document AS jsonb)"), broken)
        session.execute(text("UPDATE slo_revision SET document = CAST(:document AS jsonb) WHERE revision = 2"), broken)
        assert [item.id for item in catalogue.load(session)] == [item.id for item in objectives()]
        entry = catalogue.entries(session)[-1]
        assert (entry.slo_id, entry.objective, bool(entry.problem)) == ("uploads", None, True)
        with pytest.raises(InputError, match="cannot be read"):
            catalogue.find(session, "uploads")
        with pytest.raises(InputError, match="cannot be read"):
            catalogue.revert_to(session, "uploads", 2, actor="ann")


def test_one_that_cannot_be_read_can_be_taken_out_of_use_and_mended(session: Session) -> None:
    catalogue.save(session, uploads(), actor="ann")
    for broken in ("{}", "null"):
        session.execute(text("UPDATE slo_definition SET document = CAST(:document AS jsonb)"), {"document": broken})
        catalogue.deactivate(session, "uploads", actor="ann")
        with pytest.raises(InputError, match="cannot be read"):
            catalogue.restore(session, "uploads", actor="ann")
        assert catalogue.revert_to(session, "uploads", 1, actor="ann").title == "Uploads kept"


def test_a_document_stored_under_another_id_is_not_taken(session: Session) -> None:
    catalogue.save(session, uploads(), actor="ann")
    session.execute(text('UPDATE slo_definition SET document = document || \'{"id": "other"}\''))
    assert catalogue.entries(session)[-1].problem == "It is stored as uploads but says it is other."


def test_members_of_a_composite_are_objectives_in_use(session: Session) -> None:
    catalogue.save(session, uploads(), actor="ann")
    catalogue.save(session, composite("uploads", API), actor="ann")
    with pytest.raises(InputError, match=r"nothing cannot be a member of broken.*There are api_availability"):
        catalogue.save(session, composite("uploads", "nothing", name="broken"), actor="ann")
    with pytest.raises(InputError, match="journey cannot be a member of outer"):
        catalogue.save(session, composite("journey", name="outer"), actor="ann")
    with pytest.raises(InputError, match="own cannot be a member of own"):
        catalogue.save(session, composite("own", name="own"), actor="ann")
    with pytest.raises(InputError, match="journey cannot be a member of journey"):
        catalogue.save(session, composite("journey"), actor="ann")
    with pytest.raises(InputError, match="uploads cannot be a composite: it is a member of journey"):
        catalogue.save(session, composite(API, name="uploads"), actor="ann")
    assert len(catalogue.revisions(session, "journey")) == 1


def test_a_member_of_a_composite_stays_in_use(session: Session) -> None:
    catalogue.save(session, uploads(), actor="ann")
    catalogue.save(session, composite("uploads", API), actor="ann")
    with pytest.raises(ConflictError, match="uploads is a member of journey and stays in use"):
        catalogue.deactivate(session, "uploads", actor="ann")
    catalogue.deactivate(session, "journey", actor="ann")
    catalogue.deactivate(session, "uploads", actor="ann")
    with pytest.raises(InputError, match="uploads cannot be a member of journey"):
        catalogue.restore(session, "journey", actor="ann")


def test_what_cannot_be_written_in_the_native_form_is_not_stored(session: Session) -> None:
    with pytest.raises(InputError, match="id"):
        catalogue.save(session, uploads(id="Not An Id"), actor="ann")
    with pytest.raises(InputError, match="The note is longer than 500 characters"):
        catalogue.save(session, uploads(), actor="ann", note="x" * 501)
    with pytest.raises(NotFoundError, match="There is no objective called 'nothing'"):
        catalogue.revisions(session, "nothing")
    with pytest.raises(NotFoundError, match="no definition of revision 7"):
        catalogue.revert_to(session, API, 7, actor="ann")
