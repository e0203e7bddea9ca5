"""What people do with objectives on pages: by role, noted, and read anew at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from analytics.core.errors import PolicyError
from analytics.core.settings import Settings
from analytics.slo import catalogue
from analytics.slo.corrections import NewCorrection
from analytics.slo.defaults import objective
from analytics.slo.model import SqlEvents
from analytics.store.engine import session_scope
from analytics.store.queries import audit
from analytics.store.queries.annotations import NewAnnotation
from dashboard import data, slo_actions, slo_questions
from dashboard.auth.roles import Role
from dashboard.auth.viewer import Viewer, set_test_viewer
from dashboard.context import AppContext, build_context, set_context

pytestmark = pytest.mark.integration
API, LLM = "api_availability", "llm_api_success_rate"
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def here(settings: Settings) -> Iterator[AppContext]:
    context = build_context(settings)
    set_context(context)
    data.forget_all()
    yield context
    set_context(None)
    context.close()


@contextmanager
def acting(role: Role) -> Iterator[None]:
    with set_test_viewer(Viewer(email=f"{role.label}@example.org", name=role.label, role=role)):
        yield


def test_what_is_changed_is_read_anew_and_noted(here: AppContext) -> None:
    with acting(Role.OPERATOR):
        before = data.slo_revisions(API).value
        looser = replace(objective(API), target=Decimal("0.99"))
        assert slo_actions.save_slo(looser, note="Too tight", expected_revision=0).revision == 1
        assert len(before or ()) + 1 == len(data.slo_revisions(API).value or ())
        assert slo_actions.revert_slo(API, 0, expected_revision=1).target == Decimal("0.999")
        slo_actions.deactivate_slo(API, expected_revision=2)
        entries = {entry.slo_id: entry.is_active for entry in slo_questions.slo_entries().value or ()}
        assert entries[API] is False
        assert slo_actions.restore_slo(API).revision == 4
        assert data.slo_corrections(API).value == []
        added = slo_actions.add_correction(NewCorrection(NOON, NOON + HOUR, "Moved", slo_id=API))
        assert [item.id for item in data.slo_corrections(API).value or ()] == [added.correction.id]
        slo_actions.withdraw_correction(added.correction.id)
        assert [item.withdrawn_by for item in data.slo_corrections(API).value or ()] == ["operator@example.org"]
        slo_actions.delete_annotation(slo_actions.add_annotation(NewAnnotation(NOON, "Release 9", kind="deploy")))
    with session_scope(here.engine) as session:
        assert {row.actor for row in audit.list_audit(session)} == {"operator@example.org"}
        assert [row.action for row in audit.list_audit(session)][::-1] == [
            "slo.saved",
            "slo.reverted",
            "slo.deactivated",
            "slo.restored",
            "slo.correction_added",
            "slo.correction_withdrawn",
            "annotation.added",
            "annotation.deleted",
        ]


def test_who_may_not_is_refused_and_nothing_is_done(here: AppContext) -> None:
    sql = replace(objective(API), indicator=SqlEvents("SELECT at, ok AS good FROM llm_call"))
    correction = NewCorrection(NOON, NOON + HOUR, "Moved")
    for role, refused in (
        (Role.ANALYST, lambda: slo_actions.save_slo(objective(API), note="", expected_revision=None)),
        (Role.ANALYST, lambda: slo_actions.deactivate_slo(API)),
        (Role.ANALYST, lambda: slo_actions.restore_slo(API)),
        (Role.ANALYST, lambda: slo_actions.revert_slo(API, 0)),
        (Role.ANALYST, lambda: slo_actions.add_correction(correction)),
        (Role.ANALYST, lambda: slo_actions.add_annotation(NewAnnotation(NOON, "x"))),
        (Role.OPERATOR, lambda: slo_actions.save_slo(sql, note="", expected_revision=None)),
        (Role.OPERATOR, lambda: slo_actions.deactivate_slo(LLM)),
        (Role.OPERATOR, lambda: slo_actions.save_slo(replace(objective(API), id=LLM), note="", expected_revision=0)),
    ):
        with acting(role), pytest.raises(PolicyError, match="may not"):
            refused()
    with session_scope(here.engine) as session:
        assert {row.action for row in audit.list_audit(session)} == {"access.refused"}
        assert all(entry.revision == 0 and entry.is_active for entry in catalogue.entries(session))
    with acting(Role.ADMIN):
        assert slo_actions.save_slo(sql, note="", expected_revision=0).revision == 1
    assert slo_actions.role_to_change(sql) is Role.ADMIN
    assert slo_actions.role_to_change(objective(API)) is Role.OPERATOR
