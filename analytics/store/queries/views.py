"""Saved views: filters of a page under a name, one's own and those that others share."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.core.errors import ConflictError, InputError, NotFoundError
from analytics.core.ids import new_id

MOST_VIEWS = 100
"""The most views that one person keeps of one page."""
MAX_NAME = 80
MAX_QUERY_BYTES = 4_096


@dataclass(frozen=True, slots=True)
class SavedViewRow:
    """A saved view."""

    id: uuid.UUID
    owner: str
    page: str
    """``runs``, for example."""
    name: str
    query: Mapping[str, Any]
    """The page's filters, as the page wrote them."""
    shared: bool
    """True: everybody sees it; only its owner changes it."""
    created_at: datetime
    is_own: bool


_COLUMNS = "id, owner, page, name, query, shared, created_at, owner = :owner AS is_own"


def list_views(session: Session, *, owner: str, page: str) -> list[SavedViewRow]:
    """Return the views of *page* that *owner* keeps, then those that others share, by name; at most 300."""
    rows = session.execute(
        text(
            f"SELECT {_COLUMNS} FROM saved_view WHERE page = :page AND (owner = :owner OR shared)"  # noqa: S608
            " ORDER BY is_own DESC, lower(name), owner LIMIT 300"
        ),
        {"owner": owner, "page": page},
    )
    return [SavedViewRow(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name


def save_view(
    session: Session, *, owner: str, page: str, name: str, query: Mapping[str, Any], shared: bool = False
) -> SavedViewRow:
    """Keep *query* as a view of *owner*; one that has that name already is replaced.

    Raises:
        InputError: If the name is empty or too long, or the query too large.
        ConflictError: If *owner* keeps 100 views of that page already.
    """
    name = name.strip()
    if not 1 <= len(name) <= MAX_NAME:
        raise InputError(f"A view's name has 1 to {MAX_NAME} characters, not {len(name)}; nothing was saved.")
    encoded = orjson.dumps(dict(query))
    if len(encoded) > MAX_QUERY_BYTES:
        raise InputError(f"The filters have more than {MAX_QUERY_BYTES} bytes; nothing was saved. Use fewer of them.")
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('helmsight.view.' || :owner, 0))"), {"owner": owner}
    )
    place = {"owner": owner, "page": page, "name": name}
    others = session.scalar(
        text("SELECT count(*) FROM saved_view WHERE owner = :owner AND page = :page AND name <> :name"), place
    )
    if (others or 0) >= MOST_VIEWS:
        raise ConflictError(f"You keep {MOST_VIEWS} views of this page already; nothing was saved. Delete one first.")
    row = session.execute(
        text(
            "INSERT INTO saved_view (id, owner, page, name, query, shared)"  # noqa: S608 - constants
            " VALUES (:id, :owner, :page, :name, CAST(:query AS jsonb), :shared)"
            " ON CONFLICT (owner, page, name) DO UPDATE SET query = excluded.query, shared = excluded.shared"
            f" RETURNING {_COLUMNS}"
        ),
        {**place, "id": new_id(), "query": encoded.decode(), "shared": shared},
    ).one()
    return SavedViewRow(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name


def delete_view(session: Session, view_id: uuid.UUID, *, owner: str) -> None:
    """Delete a view of *owner*.

    Raises:
        NotFoundError: If *owner* has no such view; nothing was deleted.
    """
    gone: Any = session.execute(
        text("DELETE FROM saved_view WHERE id = :id AND owner = :owner"), {"id": view_id, "owner": owner}
    )
    if not gone.rowcount:
        raise NotFoundError("You have no such view, so nothing was deleted; somebody else's is deleted by its owner.")
