"""Bounds that operators set: revised, audited, refused when they make no sense."""

import pytest
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from analytics.core.errors import ConflictError, InputError, NotFoundError
from analytics.kpi import Bounds, effective, kpi, registry, reset_thresholds, set_thresholds
from analytics.kpi.thresholds import history
from analytics.store.engine import session_scope
from analytics.store.tables import AuditEntry, KpiThreshold

pytestmark = pytest.mark.integration
TIGHT = Bounds(0.995, 0.99, 0.98)


def bounds_of(session: Session, kpi_id: str) -> Bounds:
    return effective(session, ids=[kpi_id])[0].bounds


def test_without_a_change_the_standard_bounds_count(session: Session) -> None:
    assert list(effective(session)) == list(registry())


def test_bounds_that_were_set_count_and_are_audited(session: Session) -> None:
    changed = set_thresholds(session, "run_success", TIGHT, actor="ada@example.org", note=" stricter ")
    assert (changed.bounds, changed.revision) == (TIGHT, 1)
    assert effective(session, ids=["run_success"]) == [changed]
    assert next(item for item in effective(session) if item.id == "run_success") == changed
    entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "kpi.thresholds_set")).one()
    assert (entry.actor, entry.object_type, entry.object_id) == ("ada@example.org", "kpi", "run_success")
    assert entry.detail == {"revision": 1, "note": "stricter", "target": 0.995, "good": 0.99, "warning": 0.98}


def test_bounds_that_change_nothing_add_no_revision(session: Session) -> None:
    set_thresholds(session, "run_success", TIGHT, actor="ada@example.org")
    assert set_thresholds(session, "run_success", TIGHT, actor="bob@example.org").revision == 1
    assert len(history(session, "run_success")) == 2


def test_bounds_may_be_taken_away_and_brought_back(session: Session) -> None:
    none = set_thresholds(session, "run_success", Bounds(), actor="ada@example.org", note="only watch it")
    assert not none.bounds.are_set
    again = reset_thresholds(session, "run_success", actor="bob@example.org")
    assert (again.bounds, again.revision) == (kpi("run_success").bounds, 2)
    told = [(item.revision, item.bounds.target, item.note, item.created_by) for item in history(session, "run_success")]
    assert told == [
        (2, 0.99, "Back to the standard", "bob@example.org"),
        (1, None, "only watch it", "ada@example.org"),
        (0, 0.99, "As shipped", "Helmsight"),
    ]
    with pytest.raises(NotFoundError, match="standard thresholds"):
        reset_thresholds(session, "run_success", actor="bob@example.org")
    assert set_thresholds(session, "run_success", TIGHT, actor="ada@example.org").revision == 3


def test_bounds_that_make_no_sense_are_refused(session: Session) -> None:
    for bounds, reason in ((Bounds(0.9, 0.95, 0.99), "must fall"), (Bounds(0.9), "or none of them")):
        with pytest.raises(InputError, match=reason):
            set_thresholds(session, "run_success", bounds, actor="ada@example.org")
    assert len(history(session, "run_success")) == 1


def test_a_change_from_an_old_revision_is_refused(session: Session) -> None:
    set_thresholds(session, "run_success", TIGHT, actor="ada@example.org", expected_revision=0)
    with pytest.raises(ConflictError, match="revision 1"):
        set_thresholds(session, "run_success", Bounds(), actor="bob@example.org", expected_revision=0)
    with pytest.raises(ConflictError):
        reset_thresholds(session, "run_success", actor="bob@example.org", expected_revision=0)
    assert bounds_of(session, "run_success") == TIGHT


def test_nothing_is_kept_of_a_change_whose_note_is_too_long(engine: Engine) -> None:
    with pytest.raises(InputError, match="longer than"), session_scope(engine) as session:
        set_thresholds(session, "run_success", TIGHT, actor="ada@example.org", note="x" * 1_001)
    with session_scope(engine) as session:
        assert len(history(session, "run_success")) == 1
        assert bounds_of(session, "run_success") == kpi("run_success").bounds


def test_stored_bounds_that_fit_no_more_give_way_to_the_standard(session: Session) -> None:
    """As after an update in which a figure's direction changed."""
    set_thresholds(session, "run_success", TIGHT, actor="ada@example.org")
    session.execute(update(KpiThreshold).values(target=0.5, good=0.6, warning=0.7))
    found = effective(session, ids=["run_success"])[0]
    assert (found.bounds, found.revision) == (kpi("run_success").bounds, 1)


def test_a_figure_that_does_not_exist_has_no_thresholds(session: Session) -> None:
    with pytest.raises(NotFoundError):
        set_thresholds(session, "nothing", TIGHT, actor="ada@example.org")
    with pytest.raises(NotFoundError):
        effective(session, ids=["nothing"])
