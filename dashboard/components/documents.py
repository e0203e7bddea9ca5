"""Documents: the columns of their list, the text of a page, and what can be taken away."""

import csv
import functools
import io
from collections.abc import Callable

import orjson
import streamlit as st

from analytics.core.clock import utc_now
from analytics.store.queries.documents import DocumentDetail, DocumentRow, PageText
from dashboard import formats
from dashboard.components import states
from dashboard.components.run_view import ACTIVE
from dashboard.components.status import RUN_LOOKS, Look, look_of
from dashboard.components.tables import Column
from dashboard.components.words import UNSURE
from dashboard.filters import Filters
from dashboard.links import page_of, query

_LOOKS = {**RUN_LOOKS, "stored": Look("Stored", ":material/inventory_2:", "gray")}
_WORD_COLUMNS = ("page", "text", "confidence", "x", "y", "w", "h", "line", "block")

COLUMNS: list[Column[DocumentRow]] = [
    Column("Document", lambda row: row.name),
    Column("State", lambda row: look_of(_LOOKS, row.status), "state", width="small"),
    Column("Pages", lambda row: row.pages, "number", width="small"),
    Column("Confidence", lambda row: confidence_words(row.confidence), width="small"),
    Column("Size", lambda row: row.size_bytes, "bytes", width="small"),
    Column("Kind", lambda row: row.media_type, width="small"),
    Column("Uploaded", lambda row: row.created_at, "moment"),
    Column("By", lambda row: row.uploaded_by),
]


def confidence_words(confidence: float | None) -> str:
    """Return a confidence of 0 to 100 in words."""
    return formats.NO_DATA if confidence is None else f"{confidence:.1f} of 100"


def is_reading(detail: DocumentDetail) -> bool:
    """Return whether the document is still being read."""
    return detail.row.status in ACTIVE


def threshold_of(page: PageText) -> float:
    """Return the confidence below which a word was left out of the filtered text."""
    value = page.settings.get("confidence_threshold", UNSURE)
    return float(value) if isinstance(value, int | float) else UNSURE


def draw_title(detail: DocumentDetail, filters: Filters) -> None:
    """Draw what the document is, and the way to the run that reads it."""
    row = detail.row
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.header(f"{formats.escaped(row.name)} {look_of(_LOOKS, row.status).badge}", anchor=False, width="content")
        if row.run_id is not None:
            st.page_link(
                str(page_of("run").path),
                label="Open the run",
                icon=":material/play_circle:",
                query_params=query(filters, run=row.run_id),
            )
    by = f" by {formats.escaped(row.uploaded_by)}" if row.uploaded_by else ""
    st.caption(f"{formats.size_bytes(row.size_bytes)}, uploaded {formats.age(row.created_at, now=utc_now())}{by}.")


def draw_waiting(detail: DocumentDetail, filters: Filters) -> None:
    """Draw what holds the place of the text while there is none."""
    if is_reading(detail):
        with st.skeleton(height=320):
            pass
        st.caption(":material/progress_activity: The text is being read; it appears here by itself.")
    elif detail.row.status == "failed":
        states.empty(
            "The text could not be read", "The run says why; upload the file again to retry.", icon=":material/error:"
        )
    else:
        states.empty("No text", f"This document is {detail.row.status}; nobody asked to read it, or it has no page.")
    _ = filters


def draw_text(detail: DocumentDetail, page: PageText) -> None:
    """Draw the text of a page, how sure it is, and the downloads."""
    low = threshold_of(page)
    only_sure = st.toggle(
        f"Only words of confidence {low:g} and more",
        key="ocr.filtered",
        help="What is left out stays marked in the picture.",
    )
    text = page.filtered_text if only_sure else page.text
    st.code(text or "No text was found on this page.", language=None, wrap_lines=True)
    words = formats.plural(len(page.words), "word")
    st.caption(
        f"{words}, {formats.plural(len(text), 'character')}, confidence {confidence_words(page.confidence)}, read by"
        f" {page.engine} in {formats.duration(page.duration_s)}."
    )
    stem = detail.row.name.rsplit(".", 1)[0]
    makers: dict[str, tuple[Callable[[DocumentDetail], str | bytes], str]] = {
        "TXT": (as_text, "text/plain"),
        "JSON": (as_json, "application/json"),
        "CSV": (as_csv, "text/csv"),
    }
    with st.container(horizontal=True):
        for word, (make, media_type) in makers.items():
            st.download_button(
                word,
                data=functools.partial(make, detail),
                file_name=f"{stem}.{word.lower()}",
                mime=media_type,
                icon=":material/download:",
                on_click="ignore",
                key=f"ocr.download.{word}",
                help=f"All pages as {word}.",
            )


def as_text(detail: DocumentDetail) -> str:
    """Return the text of all pages, a form feed between them."""
    return "\f".join(page.text for page in detail.pages)


def as_json(detail: DocumentDetail) -> bytes:
    """Return all pages with their words and boxes."""
    pages = [
        {
            "page": page.page,
            "width": page.width,
            "height": page.height,
            "text": page.text,
            "filtered_text": page.filtered_text,
            "confidence": page.confidence,
            "word_count": len(page.words),
            "character_count": len(page.text),
            "engine": page.engine,
            "words": list(page.words),
        }
        for page in detail.pages
    ]
    body = {"id": str(detail.row.id), "name": detail.row.name, "media_type": detail.row.media_type, "pages": pages}
    return orjson.dumps(body, option=orjson.OPT_INDENT_2)


def as_csv(detail: DocumentDetail) -> str:
    """Return one line for each word."""
    out = io.StringIO()
    writer = csv.DictWriter(out, _WORD_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for page in detail.pages:
        writer.writerows({"page": page.page, **word} for word in page.words)
    return out.getvalue()
