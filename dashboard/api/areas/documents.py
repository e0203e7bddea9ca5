"""Documents: uploaded, read by a run, and what they say."""

import uuid
from typing import Any
from urllib.parse import quote

from pydantic import Field
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import Response

from analytics.core.errors import InputError
from analytics.store.queries import documents
from analytics.store.queries.documents import DocumentDetail, DocumentRow
from dashboard.api.operations import Asked, Call, CursorQuery, Listing, Operation, decode_cursor, found, listing
from dashboard.auth.roles import Role
from worker.enqueue import QueuedRun

_INLINE = "sandbox; default-src 'none'; img-src 'self'; style-src 'unsafe-inline'"


class OcrQuery(Asked):
    """How to read the document; what is not sent is as the settings say."""

    languages: str | None = Field(default=None, max_length=60, description="For example `deu+eng`.")
    confidence_threshold: float | None = Field(default=None, ge=0, le=100, description="For the filtered text.")
    dpi: int | None = Field(default=None, ge=72, le=600, description="Resolution at which a PDF is drawn.")


async def list_documents(call: Call) -> Listing:
    """Return documents."""
    query = call.query(CursorQuery)
    rows = await call.ask(documents.list_documents, before=decode_cursor(query.after), limit=query.limit)
    return listing(rows, query.limit, lambda row: (row.created_at, row.id))


async def upload_document(call: Call) -> QueuedRun:
    """Store a document and queue the run that reads it."""
    name, content = await _upload(call)
    options: dict[str, Any] = call.query(OcrQuery).model_dump(exclude_none=True)
    return await call.in_thread(
        call.context.door.queue_ocr,
        name=name,
        content=content,
        options=options,
        requested_by=call.viewer.email,
        trigger="api",
    )


async def get_document(call: Call) -> DocumentDetail:
    """Return one document with its text."""
    document_id: uuid.UUID = call.path("document_id")
    return found(await call.ask(documents.document_detail, document_id), "document")


async def get_content(call: Call) -> Response:
    """Return the file as it was uploaded."""
    document_id: uuid.UUID = call.path("document_id")
    detail = found(await call.ask(documents.document_detail, document_id), "document")
    content = found(await call.ask(documents.document_bytes, document_id), "document")
    return Response(
        content,
        media_type=detail.row.media_type,
        headers={
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(detail.row.name, safe='')}",
            "Cache-Control": "private, max-age=3600",
            "Content-Security-Policy": _INLINE,
        },
    )


async def _upload(call: Call) -> tuple[str, bytes]:
    kind = call.request.headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        raise InputError("Send the file as the field `file` of multipart/form-data; nothing was stored.")
    try:
        async with call.request.form(max_files=1, max_fields=1) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise InputError("The form has no file called `file`; nothing was stored.")
            return (file.filename or "document")[:255], await file.read()
    except HTTPException as error:
        raise InputError(f"The form cannot be read ({error.detail}); nothing was stored.") from error


_ONE = "/documents/{document_id:uuid}"

OPERATIONS = (
    Operation(
        "GET",
        "/documents",
        list_documents,
        "List documents, newest first.",
        Role.ANALYST,
        DocumentRow,
        query=CursorQuery,
    ),
    Operation(
        "POST",
        "/documents",
        upload_document,
        "Upload an image or PDF as the field `file` and queue the run that reads it.",
        Role.OPERATOR,
        QueuedRun,
        query=OcrQuery,
        status=202,
        doing="upload a document",
        body_media_type="multipart/form-data",
    ),
    Operation("GET", _ONE, get_document, "Return a document with its text and words.", Role.ANALYST, DocumentDetail),
    Operation(
        "GET",
        f"{_ONE}/content",
        get_content,
        "Return the file as it was uploaded.",
        Role.ANALYST,
        bytes,
        media_type="application/octet-stream",
    ),
)
