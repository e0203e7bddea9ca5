"""Uploaded documents, their bytes, and the words that were read on their pages."""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, delete, func, select, true, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.core.errors import NotFoundError
from analytics.core.ids import new_id
from analytics.store.paging import DEFAULT_LIMIT, check_paging
from analytics.store.tables import LIVE, Blob, Document, DocumentPage, Run

STORED = "stored"
"""Status of a document that no run was asked to read."""
READ = "completed"
_RUN_SLACK = timedelta(days=1)
"""A run that reads a document was made at most this long before the document was stored."""


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A document, and how far its reading is."""

    id: uuid.UUID
    name: str
    media_type: str
    size_bytes: int
    created_at: datetime
    run_id: uuid.UUID | None
    status: str
    """That of its run; ``stored`` when nobody asked to read it."""
    pages: int
    """Pages read so far."""
    confidence: float | None
    """0 to 100, weighted by characters; None when no word was read."""
    uploaded_by: str | None
    origin: str


@dataclass(frozen=True, slots=True)
class PageText:
    """The words of one page; boxes in pixels of the page, origin top left."""

    page: int
    """From 1."""
    width: int
    height: int
    text: str
    filtered_text: str
    """Only words at or above the confidence threshold."""
    confidence: float | None
    words: Sequence[Mapping[str, Any]]
    """``text, confidence, x, y, w, h, line, block`` of each word, in reading order."""
    engine: str
    duration_s: float
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DocumentDetail:
    """A document with all its pages, in order."""

    row: DocumentRow
    pages: Sequence[PageText]


def list_documents(
    session: Session, *, before: tuple[datetime, uuid.UUID] | None = None, limit: int = DEFAULT_LIMIT
) -> list[DocumentRow]:
    """Return documents, newest first; two statements however many there are.

    Args:
        session: The open transaction.
        before: Time and id of the last document of the page before.
        limit: How many at most, 1 to 100.

    Raises:
        InputError: If *limit* is out of range.
    """
    check_paging(limit=limit)
    query = _documents().order_by(Document.created_at.desc(), Document.id.desc()).limit(limit)
    if before is not None:
        query = query.where(tuple_(Document.created_at, Document.id) < tuple_(*before))
    return _rows(session, query)


def document_detail(session: Session, document_id: uuid.UUID) -> DocumentDetail | None:
    """Return the document *document_id* with its pages, or None when there is none."""
    rows = _rows(session, _documents().where(Document.id == document_id))
    if not rows:
        return None
    pages = session.scalars(
        select(DocumentPage).where(DocumentPage.document_id == document_id).order_by(DocumentPage.page)
    )
    return DocumentDetail(rows[0], [_page(page) for page in pages])


def document_bytes(session: Session, document_id: uuid.UUID) -> bytes | None:
    """Return the file as it was uploaded, or None when there is no such document."""
    return session.scalar(
        select(Blob.content).join(Document, Document.sha256 == Blob.sha256).where(Document.id == document_id)
    )


def store_document(
    session: Session,
    *,
    name: str,
    content: bytes,
    media_type: str,
    uploaded_by: str | None,
    run_id: uuid.UUID | None = None,
    origin: str = LIVE,
    document_id: uuid.UUID | None = None,
) -> uuid.UUID:
    """Store *content* and return the id of its document; equal bytes are kept once.

    Args:
        session: The caller's transaction.
        name: What the uploader calls it.
        content: The file, already checked.
        media_type: What its first bytes say it is.
        uploaded_by: E-mail of the uploader, if there is one.
        run_id: The run that will read it.
        origin: ``live`` or ``demo``.
        document_id: Its id when the caller may come twice: the second call changes nothing.
    """
    digest = hashlib.sha256(content).digest()
    session.execute(
        insert(Blob).values(sha256=digest, size_bytes=len(content), content=content).on_conflict_do_nothing()
    )
    key = document_id or new_id()
    session.execute(
        insert(Document)
        .values(
            id=key,
            name=name,
            media_type=media_type,
            sha256=digest,
            run_id=run_id,
            uploaded_by=uploaded_by,
            created_at=utc_now(),
            origin=origin,
        )
        .on_conflict_do_nothing()
    )
    return key


def set_document_run(session: Session, document_id: uuid.UUID, run_id: uuid.UUID) -> None:
    """Note that *run_id* reads the document.

    Raises:
        NotFoundError: If there is no such document.
    """
    changed = session.scalar(
        update(Document).where(Document.id == document_id).values(run_id=run_id).returning(Document.id)
    )
    if changed is None:
        raise NotFoundError(f"There is no document {document_id}; nothing was changed.")


def save_page(session: Session, document_id: uuid.UUID, page: PageText) -> None:
    """Store what was read on one page, in place of what was there; safe to run twice."""
    values = {
        "width": page.width,
        "height": page.height,
        "text": page.text,
        "filtered_text": page.filtered_text,
        "confidence": page.confidence,
        "words": list(page.words),
        "engine": page.engine,
        "settings": dict(page.settings),
        "duration_s": page.duration_s,
        "created_at": utc_now(),
    }
    session.execute(
        insert(DocumentPage)
        .values(document_id=document_id, page=page.page, **values)
        .on_conflict_do_update(index_elements=[DocumentPage.document_id, DocumentPage.page], set_=values)
    )


def drop_pages_after(session: Session, document_id: uuid.UUID, last_page: int) -> None:
    """Delete pages after *last_page*, left by an earlier reading that found more."""
    session.execute(delete(DocumentPage).where(DocumentPage.document_id == document_id, DocumentPage.page > last_page))


def _documents() -> Select[Any]:
    characters = func.length(func.regexp_replace(DocumentPage.text, r"\s+", "", "g"))
    read = (
        select(
            func.count().label("pages"),
            (func.sum(DocumentPage.confidence * characters) / func.nullif(func.sum(characters), 0)).label("confidence"),
        )
        .where(DocumentPage.document_id == Document.id)
        .lateral("read")
    )
    return (
        select(
            Document.id,
            Document.name,
            Document.media_type,
            Blob.size_bytes,
            Document.created_at,
            Document.run_id,
            read.c.pages,
            read.c.confidence,
            Document.uploaded_by,
            Document.origin,
        )
        .join(Blob, Blob.sha256 == Document.sha256)
        .join(read, true())
    )


def _rows(session: Session, query: Select[Any]) -> list[DocumentRow]:
    found = session.execute(query).all()
    statuses = _run_statuses(session, found)
    return [
        DocumentRow(
            id=row.id,
            name=row.name,
            media_type=row.media_type,
            size_bytes=row.size_bytes,
            created_at=row.created_at,
            run_id=row.run_id,
            status=statuses.get(row.run_id) or (READ if row.pages else STORED),
            pages=row.pages,
            confidence=None if row.confidence is None else round(float(row.confidence), 2),
            uploaded_by=row.uploaded_by,
            origin=row.origin,
        )
        for row in found
    ]


def _run_statuses(session: Session, documents: Sequence[Row[Any]]) -> dict[uuid.UUID | None, str]:
    runs = {row.run_id for row in documents if row.run_id is not None}
    if not runs:
        return {}
    oldest = min(row.created_at for row in documents) - _RUN_SLACK
    found = session.execute(select(Run.id, Run.status).where(Run.id.in_(runs), Run.created_at >= oldest))
    return {row.id: row.status for row in found}


def _page(page: DocumentPage) -> PageText:
    return PageText(
        page=page.page,
        width=page.width,
        height=page.height,
        text=page.text,
        filtered_text=page.filtered_text,
        confidence=page.confidence,
        words=page.words,
        engine=page.engine,
        duration_s=page.duration_s,
        settings=page.settings,
    )
