"""Funnels that somebody defined and gave a name."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.core.errors import ConflictError, InputError, NotFoundError
from analytics.journeys.funnels import FunnelSpec, Step, check
from analytics.store.queries import audit
from analytics.store.tables import LIVE, Funnel

MOST_FUNNELS = 200
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class SavedFunnel:
    """A funnel with a name."""

    id: uuid.UUID
    name: str
    spec: FunnelSpec
    updated_at: datetime
    updated_by: str
    origin: str


def list_funnels(session: Session) -> list[SavedFunnel]:
    """Return the funnels that are saved, by name."""
    return [_saved(row) for row in session.scalars(select(Funnel).order_by(Funnel.name))]


def get_funnel(session: Session, funnel_id: uuid.UUID) -> SavedFunnel:
    """Return one funnel.

    Raises:
        NotFoundError: If there is none.
    """
    return _saved(_found(session, funnel_id))


def save_funnel(
    session: Session, name: str, spec: FunnelSpec, *, actor: str, funnel_id: uuid.UUID | None = None
) -> SavedFunnel:
    """Store a new funnel, or change *funnel_id*; one of the demo that is changed is yours from then on.

    Raises:
        InputError: If it cannot be one; nothing was stored.
        ConflictError: If another has the name.
        NotFoundError: If there is no *funnel_id*.
    """
    check(spec)
    name = name.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise InputError(f"A funnel has a name of 1 to {_LONGEST_NAME} characters; nothing was stored.")
    others = {row.id: row.name for row in session.execute(select(Funnel.id, Funnel.name))}
    if any(other == name and other_id != funnel_id for other_id, other in others.items()):
        raise ConflictError(f"There is a funnel called {name!r} already; nothing was stored. Choose another name.")
    if funnel_id is None and len(others) >= MOST_FUNNELS:
        raise InputError(f"{MOST_FUNNELS} funnels are the most; nothing was stored. Delete one first.")
    row = Funnel() if funnel_id is None else _found(session, funnel_id)
    row.name, row.steps, row.window_s = name, steps_json(spec.steps), spec.window.total_seconds()
    row.updated_at, row.updated_by, row.origin = utc_now(), actor, LIVE
    session.add(row)
    session.flush()
    _record(session, actor, "funnel.saved", row.id, name)
    return _saved(row)


def delete_funnel(session: Session, funnel_id: uuid.UUID, *, actor: str) -> None:
    """Remove a funnel.

    Raises:
        NotFoundError: If there is none.
    """
    row = _found(session, funnel_id)
    _record(session, actor, "funnel.deleted", row.id, row.name)
    session.execute(delete(Funnel).where(Funnel.id == funnel_id))


def steps_json(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Return *steps* as they are stored."""
    return [{"kind": step.kind, "label": step.label, "where": dict(step.where)} for step in steps]


def steps_of(document: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    """Return the steps of what :func:`steps_json` made."""
    return tuple(Step(item["kind"], item.get("label", ""), item.get("where", {})) for item in document)


def _found(session: Session, funnel_id: uuid.UUID) -> Funnel:
    row = session.get(Funnel, funnel_id)
    if row is None:
        raise NotFoundError("There is no such funnel; nothing was done.")
    return row


def _saved(row: Funnel) -> SavedFunnel:
    spec = FunnelSpec(steps_of(row.steps), timedelta(seconds=row.window_s))
    return SavedFunnel(row.id, row.name, spec, row.updated_at, row.updated_by, row.origin)


def _record(session: Session, actor: str, action: str, funnel_id: uuid.UUID, name: str) -> None:
    detail = {"name": name}
    audit.record(session, actor=actor, action=action, object_type="funnel", object_id=str(funnel_id), detail=detail)
