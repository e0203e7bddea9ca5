"""What operators can do with key figures on pages: set their thresholds, or go back to the standard ones."""

from analytics.kpi import Bounds, Kpi, reset_thresholds, set_thresholds
from analytics.store.engine import session_scope
from dashboard.auth.roles import Role
from dashboard.auth.viewer import current_viewer, require
from dashboard.context import get_context
from dashboard.overview_questions import KPIS


def save_thresholds(kpi_id: str, bounds: Bounds, *, note: str, expected_revision: int) -> Kpi:
    """Store the thresholds of a figure; see :func:`analytics.kpi.thresholds.set_thresholds`."""
    viewer = current_viewer()
    require(viewer, Role.OPERATOR, doing="set thresholds")
    with session_scope(get_context().engine) as session:
        stored = set_thresholds(
            session, kpi_id, bounds, actor=viewer.actor, note=note, expected_revision=expected_revision
        )
    get_context().caches.invalidate(KPIS)
    return stored


def restore_standard(kpi_id: str, *, note: str, expected_revision: int) -> Kpi:
    """Go back to the thresholds that Helmsight ships."""
    viewer = current_viewer()
    require(viewer, Role.OPERATOR, doing="set thresholds")
    with session_scope(get_context().engine) as session:
        stored = reset_thresholds(session, kpi_id, actor=viewer.actor, note=note, expected_revision=expected_revision)
    get_context().caches.invalidate(KPIS)
    return stored
