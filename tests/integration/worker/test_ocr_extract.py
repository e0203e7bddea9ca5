import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import func, select

from analytics.core.clock import utc_now
from analytics.core.errors import InputError, NotFoundError
from analytics.core.ids import new_id
from analytics.store.engine import session_scope
from analytics.store.queries import documents
from analytics.store.tables import Blob, DocumentPage
from worker.ocr.sample import SAMPLE_TEXT, sample_image_path
from worker.workflow.kinds import find_kind
from worker.workflow.node_kind import NodeCall, WorkerResources

pytestmark = pytest.mark.integration


@pytest.fixture
def call(settings, engine):
    return NodeCall(
        run_id=new_id(),
        run_created_at=utc_now(),
        node_id="read",
        attempt=1,
        key="k",
        config={"sample": True, "language": "deu+eng"},
        timeout=timedelta(seconds=60),
        settings=settings,
        resources=WorkerResources(engine=engine),
    )


def test_reading_the_sample_twice_leaves_one_document_with_one_page(call, session):
    first = find_kind("ocr.extract").run(call)
    second = find_kind("ocr.extract").run(replace(call, attempt=2))
    assert first["document_id"] == second["document_id"]
    assert session.scalar(select(func.count()).select_from(DocumentPage)) == 1
    detail = documents.document_detail(session, uuid.UUID(first["document_id"]))
    assert detail is not None
    assert detail.row.pages == 1
    assert detail.row.confidence == pytest.approx(first["confidence"], abs=0.01)
    assert "Gesamtbetrag EUR 837,88" in detail.pages[0].text
    assert detail.pages[0].words[0].keys() == {"text", "confidence", "x", "y", "w", "h", "line", "block"}
    assert first["word_count"] == len(detail.pages[0].words)
    assert len(set(SAMPLE_TEXT.split()) & set(first["text"].split())) > 100


def test_a_stored_document_is_read_and_pages_of_an_earlier_reading_go(call, engine, session):
    with session_scope(engine) as writing:
        key = documents.store_document(
            writing,
            name="scan.png",
            content=sample_image_path().read_bytes(),
            media_type="image/png",
            uploaded_by="ada@example.com",
        )
        left_over = documents.PageText(2, 1, 1, "old", "old", 50.0, [], "tesseract", 0.1, {})
        documents.save_page(writing, key, left_over)
    summary = find_kind("ocr.extract").run(replace(call, config={"document_id": str(key), "psm": 4}))
    assert summary["pages"] == 1
    detail = documents.document_detail(session, key)
    assert [page.page for page in detail.pages] == [1]
    assert detail.pages[0].settings["psm"] == 4


def test_a_document_that_is_not_there_is_named(call):
    with pytest.raises(NotFoundError, match="Upload it again"):
        find_kind("ocr.extract").run(replace(call, config={"document_id": str(new_id())}))
    with pytest.raises(InputError, match="no document id"):
        find_kind("ocr.extract").run(replace(call, config={"document_id": "invoice"}))


def test_equal_bytes_are_kept_once_and_documents_come_newest_first(engine, session):
    with session_scope(engine) as writing:
        keys = [
            documents.store_document(
                writing, name=f"{n}.png", content=b"same bytes", media_type="image/png", uploaded_by=None
            )
            for n in range(3)
        ]
    assert session.scalar(select(func.count()).select_from(Blob)) == 1
    rows = documents.list_documents(session, limit=2)
    assert [row.id for row in rows] == keys[:0:-1]
    assert rows[0].status == documents.STORED
    assert rows[0].confidence is None
    assert rows[0].size_bytes == len(b"same bytes")
    rest = documents.list_documents(session, before=(rows[-1].created_at, rows[-1].id), limit=2)
    assert [row.id for row in rest] == keys[:1]
    assert documents.document_bytes(session, keys[0]) == b"same bytes"
    assert documents.document_bytes(session, new_id()) is None
    assert documents.document_detail(session, new_id()) is None


def test_pages_read_in_a_child_are_counted_in_the_workers_metrics(call):
    kind = find_kind("ocr.extract")

    def counted() -> tuple[float, float]:
        labels = {"engine": "tesseract"}
        pages = REGISTRY.get_sample_value("helmsight_ocr_pages_total", {**labels, "outcome": "ok"}) or 0.0
        return pages, REGISTRY.get_sample_value("helmsight_ocr_page_duration_seconds_count", labels) or 0.0

    before = counted()
    kind.observe(kind.run(call))
    assert counted() == (before[0] + 1, before[1] + 1)


def test_each_item_of_a_loop_has_a_sample_of_its_own(call, session):
    read = find_kind("ocr.extract").run
    first, second = (read(replace(call, node_id="each/read", map_index=place)) for place in range(2))
    assert first["document_id"] != second["document_id"]


def test_a_kept_text_is_known_by_the_bytes_of_the_document_and_the_language(call, engine, session):
    keys = []
    for content in (b"one", b"two", b"one"):
        with session_scope(engine) as writing:
            keys.append(
                documents.store_document(
                    writing, name="a.png", content=content, media_type="image/png", uploaded_by=None
                )
            )
    fingerprint = find_kind("ocr.extract").fingerprint
    first, second, third = (fingerprint({"document_id": str(key), "language": "eng"}, engine) for key in keys)
    assert first == third != second
    assert fingerprint({"document_id": str(keys[0])}, engine) != first
    assert fingerprint({"document_id": str(uuid.uuid4()), "language": "eng"}, engine)[0] == ""
    assert fingerprint({"sample": True}, engine)[0] not in {"", first[0], second[0]}
