"""Facts about contexts, brought into the table of contexts."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.contexts.model import ContextEvent
from analytics.core.clock import require_aware

UNKNOWN = "unknown"
"""The type of a context that nobody has told of yet, who only read or wrote it."""


@dataclass(slots=True)
class _Told:
    """What some facts tell of one context."""

    seen_at: datetime
    origin: str
    created_at: datetime | None = None
    archived_at: datetime | None = None
    last_read_at: datetime | None = None
    last_write_at: datetime | None = None
    parent_id: str | None = None
    type: str | None = None
    name: str | None = None
    agent_id: str | None = None
    project_id: uuid.UUID | None = None


def take_in(session: Session, rows: Sequence[ContextEvent]) -> int:
    """Create, archive and touch the contexts that *rows* tell of; return how many contexts that concerns.

    The same rows twice, or in another order, lead to the same times: the creation only moves back, reading, writing
    and archiving only forward. Parent, type, name, agent and project are told by ``created``; a later call replaces
    what an earlier one said. A context that is read before anybody created it is known from then on, with its id as
    name.

    Raises:
        InputError: If a time has no time zone; nothing was changed.
    """
    told: dict[str, _Told] = {}
    for row in sorted(rows, key=lambda row: require_aware(row.at)):
        _add(told.setdefault(row.context_id, _Told(row.at, row.origin)), row)
    if not told:
        return 0
    # In the order of their ids, so that two who take in the same contexts do not wait for each other in a ring.
    items = sorted(told.items())
    columns = {name: [getattr(item, name) for _, item in items] for name in _Told.__slots__}
    session.execute(_UPSERT, {"ids": [context_id for context_id, _ in items], **columns})
    return len(items)


def _add(told: _Told, row: ContextEvent) -> None:
    """Add what *row* tells; rows come oldest first."""
    match row.kind.removeprefix("context."):
        case "created":
            told.created_at = told.created_at or row.at
            for name in ("parent_id", "type", "name", "agent_id", "project_id"):
                setattr(told, name, getattr(row, name) or getattr(told, name))
        case "read":
            told.last_read_at = row.at
        case "write":
            told.last_write_at = row.at
        case "archived":
            told.archived_at = row.at
        case _:
            """What else happens to a context makes it known, no more."""


_UPSERT = text(f"""
    INSERT INTO context AS known (id, parent_id, kind, name, agent_id, project_id, created_at, archived_at,
                                  last_read_at, last_write_at, origin)
    SELECT id, parent_id, coalesce(kind, '{UNKNOWN}'), coalesce(name, id), agent_id, project_id,
           coalesce(created_at, seen_at), archived_at, last_read_at, last_write_at, origin
    FROM unnest(CAST(:ids AS text[]), CAST(:parent_id AS text[]), CAST(:type AS text[]), CAST(:name AS text[]),
                CAST(:agent_id AS text[]), CAST(:project_id AS uuid[]), CAST(:created_at AS timestamptz[]),
                CAST(:seen_at AS timestamptz[]), CAST(:archived_at AS timestamptz[]),
                CAST(:last_read_at AS timestamptz[]), CAST(:last_write_at AS timestamptz[]), CAST(:origin AS text[]))
         AS told (id, parent_id, kind, name, agent_id, project_id, created_at, seen_at, archived_at, last_read_at,
                  last_write_at, origin)
    ON CONFLICT (id) DO UPDATE SET
        parent_id = coalesce(excluded.parent_id, known.parent_id),
        kind = CASE WHEN excluded.kind = '{UNKNOWN}' THEN known.kind ELSE excluded.kind END,
        name = CASE WHEN excluded.name = excluded.id THEN known.name ELSE excluded.name END,
        agent_id = coalesce(excluded.agent_id, known.agent_id),
        project_id = coalesce(excluded.project_id, known.project_id),
        created_at = least(excluded.created_at, known.created_at),
        archived_at = greatest(excluded.archived_at, known.archived_at),
        last_read_at = greatest(excluded.last_read_at, known.last_read_at),
        last_write_at = greatest(excluded.last_write_at, known.last_write_at)
""")  # noqa: S608 - a word of our own
