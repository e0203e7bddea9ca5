"""Stored definitions of objectives with their revisions, as documents; what they mean is not known here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Text, cast, func, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from analytics.store.tables.base import LIVE
from analytics.store.tables.slos import SloDefinition, SloRevision


@dataclass(frozen=True, slots=True)
class DefinitionRow:
    """What is stored of one objective."""

    slo_id: str
    revision: int
    document: str
    """The newest definition as JSON; also of one taken out of use."""
    is_active: bool
    updated_at: datetime
    updated_by: str
    origin: str


@dataclass(frozen=True, slots=True)
class RevisionRow:
    """One stored state of an objective."""

    revision: int
    document: str | None
    """As JSON; None when this revision took the objective out of use."""
    note: str
    created_at: datetime
    created_by: str


def list_definitions(session: Session, *, ids: Sequence[str] | None = None) -> list[DefinitionRow]:
    """Return the stored definitions by id, also those out of use; only *ids* when given."""
    query = select(
        SloDefinition.slo_id,
        SloDefinition.revision,
        cast(SloDefinition.document, Text),
        SloDefinition.is_active,
        SloDefinition.updated_at,
        SloDefinition.updated_by,
        SloDefinition.origin,
    ).order_by(SloDefinition.slo_id)
    if ids is not None:
        query = query.where(SloDefinition.slo_id.in_(ids))
    return [DefinitionRow(*row) for row in session.execute(query)]


def list_revisions(session: Session, slo_id: str) -> list[RevisionRow]:
    """Return the stored revisions of an objective, oldest first."""
    rows = session.execute(
        select(
            SloRevision.revision,
            cast(SloRevision.document, Text),
            SloRevision.note,
            SloRevision.created_at,
            SloRevision.created_by,
        )
        .where(SloRevision.slo_id == slo_id)
        .order_by(SloRevision.revision)
    )
    return [RevisionRow(*row) for row in rows]


def lock_definitions(session: Session) -> None:
    """Let nobody else change a definition until the transaction ends, so that what was checked stays true."""
    session.execute(_LOCK)


def add_revision(
    session: Session,
    slo_id: str,
    document: Mapping[str, Any],
    *,
    revision: int,
    is_active: bool,
    actor: str,
    note: str,
) -> None:
    """Store *document* as *revision*, which counts from now on; an objective of the demo is *actor*'s then.

    To be called with the definitions locked.
    """
    row = {
        "revision": revision,
        "document": document,
        "is_active": is_active,
        "updated_by": actor,
        "origin": LIVE,
    }
    session.execute(
        upsert(SloDefinition)
        .values(slo_id=slo_id, **row)
        .on_conflict_do_update(index_elements=[SloDefinition.slo_id], set_={**row, "updated_at": func.now()})
    )
    session.execute(
        insert(SloRevision).values(
            slo_id=slo_id,
            revision=revision,
            document=document if is_active else None,
            note=note,
            created_by=actor,
        )
    )


_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('helmsight.slo_definition'))")
