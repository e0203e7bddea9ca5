"""What people can do on the page Journeys; each checks the role, as in :mod:`dashboard.actions`."""

import io
import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.journeys import leads, saved_funnels
from analytics.journeys.events import Taken
from analytics.journeys.funnels import FunnelSpec
from analytics.journeys.importing import Mapped, Preview, import_csv, look_at
from analytics.journeys.leads import LeadRow
from analytics.journeys.saved_funnels import SavedFunnel
from analytics.store.engine import session_scope
from analytics.store.queries import audit
from dashboard import data
from dashboard import journey_questions as ask
from dashboard.auth.roles import Role
from dashboard.auth.sessions import Viewer
from dashboard.auth.viewer import current_viewer, require
from dashboard.context import get_context
from dashboard.kept import CONTEXTS, SESSIONS


def save_funnel(name: str, spec: FunnelSpec, *, funnel_id: uuid.UUID | None) -> SavedFunnel:
    """Save a funnel, or change one."""
    viewer = _operator("save a funnel")
    with session_scope(get_context().engine) as session:
        stored = saved_funnels.save_funnel(session, name, spec, actor=viewer.actor, funnel_id=funnel_id)
    _changed(ask.JOURNEYS)
    return stored


def delete_funnel(funnel_id: uuid.UUID) -> None:
    """Remove a funnel."""
    viewer = _operator("delete a funnel")
    with session_scope(get_context().engine) as session:
        saved_funnels.delete_funnel(session, funnel_id, actor=viewer.actor)
    _changed(ask.JOURNEYS)


def change_lead(lead_id: uuid.UUID, changes: Mapping[str, Any]) -> LeadRow:
    """Change a lead."""
    viewer = _operator("change a lead")
    with session_scope(get_context().engine) as session:
        changed = leads.change_lead(session, lead_id, changes, actor=viewer.actor)
    _changed(ask.LEADS)
    return changed


def delete_lead(lead_id: uuid.UUID) -> None:
    """Remove a lead."""
    viewer = _operator("delete a lead")
    with session_scope(get_context().engine) as session:
        leads.delete_lead(session, lead_id, actor=viewer.actor)
    _changed(ask.LEADS)


def look_at_file(content: bytes, mapped: Mapped | None) -> Preview:
    """Return what a file would be taken for; stores nothing."""
    _operator("import events")
    now = utc_now()
    oldest = now - get_context().settings.store.keep_facts
    return look_at(io.BytesIO(content), now=now, oldest=oldest, mapped=mapped)


def import_file(name: str, content: bytes, mapped: Mapped) -> Taken:
    """Take in the rows of a file as events."""
    viewer = _operator("import events")
    context = get_context()
    now = utc_now()
    oldest = now - context.settings.store.keep_facts
    with session_scope(context.engine) as session:
        taken = import_csv(session, io.BytesIO(content), mapped=mapped, now=now, oldest=oldest)
        _note_import(session, viewer, name, taken)
    _changed(ask.LEADS, CONTEXTS, SESSIONS)
    data.forget_all()
    return taken


def _note_import(session: Session, viewer: Viewer, name: str, taken: Taken) -> None:
    detail = {"file": name[:200], "stored": taken.stored, "known": taken.known, "rejected": taken.rejected}
    audit.record(
        session,
        actor=viewer.actor,
        action="event.imported",
        object_type="event",
        object_id=str(taken.stored),
        detail=detail,
    )


def _operator(doing: str) -> Viewer:
    viewer = current_viewer()
    require(viewer, Role.OPERATOR, doing=doing)
    return viewer


def _changed(*tags: str) -> None:
    get_context().caches.invalidate(*tags)
