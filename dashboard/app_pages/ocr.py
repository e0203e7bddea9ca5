"""What does a document say?"""

import functools
import uuid

import streamlit as st

from analytics.core.errors import InputError
from analytics.store.queries.documents import DocumentDetail
from dashboard import actions, data, formats, guard
from dashboard.auth.roles import Role
from dashboard.auth.viewer import current_viewer
from dashboard.components import documents, states, tables
from dashboard.components.head import current_filters
from dashboard.components.navigation import go
from dashboard.components.words import word_image
from dashboard.context import get_context
from dashboard.links import page_of, query
from dashboard.reading import LIVE

filters = current_filters()
can_upload = current_viewer().role >= Role.OPERATOR
TYPES = ["png", "jpg", "jpeg", "tif", "tiff", "webp", "gif", "bmp", "pdf"]


def open_document(document_id: object) -> None:
    go("ocr", filters, document=document_id)


def draw_upload() -> None:
    if not can_upload:
        st.caption(":material/lock: Uploading needs the role operator.")
        return
    limit = get_context().settings.http.max_upload_bytes
    with st.form("ocr.upload", clear_on_submit=True, border=True):
        files = st.file_uploader(
            f"Images or PDF files, at most {formats.size_bytes(limit)} each",
            type=TYPES,
            accept_multiple_files=True,
            max_upload_size=max(1, limit // 2**20),
            key="ocr.files",
        )
        sent = st.form_submit_button("Read the text", icon=":material/document_scanner:")
    if not sent:
        return
    if not files:
        st.warning("Choose a file first; nothing was queued.", icon=":material/edit_note:")
        return
    queued = [actions.attempt(functools.partial(actions.read_document, file.name, file.getvalue())) for file in files]
    taken = [run for run in queued if run is not None]
    if len(files) == 1 and taken:
        st.toast(actions.queued_words(taken[0]), icon=":material/schedule:")
        open_document(taken[0].document_id)
    elif taken:
        st.success(f"{formats.plural(len(taken), 'document')} queued.", icon=":material/check_circle:")


def draw_documents() -> None:
    answer = data.list_documents()
    found = states.settle(answer, "The documents")
    if found is None:
        return
    if not found:
        states.empty(
            "No document yet", "Upload an image or a PDF above; its text appears here.", icon=":material/description:"
        )
        return
    row = tables.table(
        found,
        documents.COLUMNS,
        alt="Uploaded documents, newest first, with how far their reading is",
        key="ocr.table",
        can_open=True,
        height="content",
    )
    if row is not None:
        open_document(found[row].id)


def document_id() -> uuid.UUID | None:
    text = st.query_params.get("document")
    if not text:
        return None
    try:
        return uuid.UUID(text)
    except ValueError:
        raise InputError(f"{text[:60]!r} is not the number of a document; nothing was read.") from None


def draw_document(wanted: uuid.UUID) -> None:
    detail = states.settle(data.document(wanted), "The document")
    if detail is None:
        return
    documents.draw_title(detail, filters)
    if not detail.pages:
        documents.draw_waiting(detail, filters)
    else:
        draw_page(detail)
    was_reading = st.session_state.get("ocr.reading")
    st.session_state["ocr.reading"] = documents.is_reading(detail)
    if was_reading and not documents.is_reading(detail):
        st.rerun()


def draw_page(detail: DocumentDetail) -> None:
    number = 1
    if len(detail.pages) > 1:
        number = st.pagination(len(detail.pages), key="ocr.page")
    page = detail.pages[number - 1]
    picture = data.page_picture(detail.row.id, page.page).value
    left, right = st.columns([3, 2], gap="medium")
    with left:
        if picture is None:
            states.empty("The picture is gone", "The file is no longer kept; its text still is.")
        else:
            word_image(
                picture.content,
                picture.media_type,
                width=page.width,
                height=page.height,
                words=page.words,
                threshold=documents.threshold_of(page),
                label=f"Page {page.page} of {detail.row.name} with {formats.plural(len(page.words), 'word')} marked",
                key=f"ocr.words.{detail.row.id}.{page.page}",
            )
    with right:
        documents.draw_text(detail, page)


wanted = document_id()
if wanted is None:
    draw_upload()
    guard.live(draw_documents, name="documents", every=filters.rhythm and max(LIVE, filters.rhythm))
else:
    st.page_link(
        str(page_of("ocr").path), label="All documents", icon=":material/arrow_back:", query_params=query(filters)
    )
    first = data.document(wanted)
    reading = first.value is None or documents.is_reading(first.value)
    guard.live(functools.partial(draw_document, wanted), name="document", every=LIVE if reading else None)
