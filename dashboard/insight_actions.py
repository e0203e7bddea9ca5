"""What people can do with findings: say whether they were of use, and set bounds that fit."""

import uuid

from analytics.insights.advice import Advice
from analytics.insights.findings import give_feedback
from analytics.kpi import Bounds, Kpi
from analytics.store.engine import session_scope
from dashboard import insight_questions, kpi_actions
from dashboard.auth.roles import Role
from dashboard.auth.viewer import current_viewer, require
from dashboard.context import get_context

NOTE = "Fitted to the last four weeks, as Insights advised."


def rate(insight_id: uuid.UUID, *, is_useful: bool, note: str = "") -> None:
    """Note what the viewer thinks of a finding."""
    viewer = current_viewer()
    require(viewer, Role.ANALYST, doing="rate findings")
    with session_scope(get_context().engine) as session:
        give_feedback(session, insight_id, actor=viewer.actor, is_useful=is_useful, note=note)
    get_context().caches.invalidate(insight_questions.TAG)
    for question in (insight_questions.insights, insight_questions.insight):
        question.forget()


def apply_advice(kpi: Kpi, advice: Advice) -> Kpi:
    """Set the bounds of a figure as advised; refused when somebody changed them meanwhile, or they are not in order."""
    bounds = Bounds(advice.target, advice.good, advice.warning)
    stored = kpi_actions.save_thresholds(kpi.id, bounds, note=NOTE, expected_revision=kpi.revision)
    insight_questions.threshold_advice.forget()
    return stored
