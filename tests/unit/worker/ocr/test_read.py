import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image

from analytics.core.errors import InputError
from analytics.core.settings import Settings
from tests.unit.worker.ocr.documents import image_bytes, pdf_bytes
from worker.ocr import load
from worker.ocr.engine import OcrOptions, Word, engine_names, get_engine
from worker.ocr.read import mean_confidence, read_document, text_of
from worker.ocr.sample import SAMPLE_TEXT, sample_image_path
from worker.ocr.tesseract import data_directories

SETTINGS = Settings()


def word(text: str, confidence: float, *, line: int = 0, block: int = 0) -> Word:
    return Word(text, confidence, 0, 0, 1, 1, line, block)


@pytest.fixture(scope="module")
def sample():
    return read_document("sample", sample_image_path().read_bytes(), OcrOptions(), SETTINGS)


def recall(wanted: list[str], found: list[str]) -> float:
    missed = Counter(wanted) - Counter(found)
    return 1 - missed.total() / len(wanted)


def test_the_shipped_invoice_is_read_nearly_whole(sample):
    assert recall(SAMPLE_TEXT.split(), sample.text.split()) >= 0.95
    assert sample.confidence > 90
    assert 100 < sample.word_count < 200
    assert sample.character_count == sum(len(part) for part in sample.text.split())


def test_umlauts_are_read(sample):
    with_umlaut = [part for part in SAMPLE_TEXT.split() if set(part) & set("äöüÄÖÜß")]
    assert len(with_umlaut) >= 15
    assert recall(with_umlaut, sample.text.split()) >= 0.95


def test_lines_of_the_page_are_lines_of_the_text(sample):
    assert "1 Fräser, gehärtet, Größe 12 4 39,90 159,60" in sample.text.splitlines()


def test_boxes_are_in_pixels_of_the_page_also_when_it_was_made_smaller(sample, monkeypatch):
    monkeypatch.setattr(load, "WORKING_PIXELS", 2_000_000)
    smaller = read_document("sample", sample_image_path().read_bytes(), OcrOptions(), SETTINGS)
    for result in (sample, smaller):
        page = result.pages[0]
        assert (page.width, page.height) == (1654, 2339)
        assert all(w.x >= 0 and w.y >= 0 and w.x + w.w <= 1654 and w.y + w.h <= 2339 for w in page.words)
        invoice = next(w for w in page.words if w.text == "Rechnung")
        assert (invoice.x, invoice.y) == pytest.approx((160, 350), abs=15)


def test_the_result_has_every_field_of_the_requirement(sample):
    result = sample.to_result()
    assert {"text", "filtered_text", "confidence", "word_count", "character_count", "bounding_boxes"} <= result.keys()
    assert {"text", "confidence", "x", "y", "w", "h"} <= result["bounding_boxes"][0].keys()
    assert result["timings"]["recognise"] > 0


def test_a_higher_threshold_leaves_doubtful_words_out_of_the_filtered_text(sample):
    strict = read_document("sample", sample_image_path().read_bytes(), OcrOptions(confidence_threshold=95.0), SETTINGS)
    assert strict.text == sample.text
    assert 0 < len(strict.filtered_text.split()) < len(sample.filtered_text.split())


def test_a_pdf_is_read_page_by_page():
    seen = []
    content = pdf_bytes("Invoice number", "Second page")
    result = read_document("two.pdf", content, OcrOptions(language="eng"), SETTINGS, on_page=seen.append)
    assert [page.number for page in seen] == [1, 2]
    assert result.text == "Invoice number\fSecond page"


def test_an_empty_page_has_no_words_and_no_confidence():
    result = read_document("blank.png", image_bytes(Image.new("L", (300, 200), 255)), OcrOptions(), SETTINGS)
    assert (result.text, result.word_count, result.confidence) == ("", 0, None)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param(OcrOptions(language="deu+klingon"), "unknown_language", id="language"),
        pytest.param(OcrOptions(oem=0), "unknown_oem", id="legacy"),
        pytest.param(OcrOptions(oem=2), "unknown_oem", id="legacy-and-lstm"),
        pytest.param(OcrOptions(psm=0), "unknown_psm", id="orientation-only"),
        pytest.param(OcrOptions(psm=2), "unknown_psm", id="layout-only"),
        pytest.param(OcrOptions(psm=14), "unknown_psm", id="no-such-psm"),
    ],
)
def test_options_that_cannot_be_met_are_refused_before_a_page_is_read(options, reason):
    with pytest.raises(InputError) as caught:
        read_document("sample", b"not even looked at", options, SETTINGS)
    assert caught.value.context["reason"] == reason


def test_a_missing_language_is_told_with_those_that_are_there():
    with pytest.raises(InputError, match="Installed are: deu, eng"):
        get_engine("tesseract").check(OcrOptions(language="fra"))


def test_a_page_that_takes_too_long_is_given_up_and_the_next_document_is_read():
    impatient = OcrOptions(page_timeout=timedelta(milliseconds=1))
    with pytest.raises(InputError, match=r"longer than 0\.001 s"):
        read_document("sample", sample_image_path().read_bytes(), impatient, SETTINGS)
    patient = read_document("one.pdf", pdf_bytes("Still here"), OcrOptions(language="eng"), SETTINGS)
    assert patient.text == "Still here"


def test_language_data_come_from_the_wheels():
    assert any((directory / "deu.traineddata").is_file() for directory in data_directories())
    assert {"deu", "eng"} <= get_engine("tesseract").languages()
    assert "osd" not in get_engine("tesseract").languages()


def test_an_engine_is_kept_and_an_unknown_one_is_told_with_the_known():
    assert get_engine("tesseract") is get_engine("tesseract")
    assert engine_names() == ["tesseract"]
    with pytest.raises(InputError, match="Choose one of: tesseract"):
        get_engine("crystal_ball")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_library_brings_no_threads_of_its_own(sample):
    assert sample.word_count
    assert "libgomp" not in Path("/proc/self/maps").read_text()


def test_confidence_is_weighted_by_characters():
    assert mean_confidence([word("abc", 90.0), word("d", 50.0)]) == 80.0
    assert mean_confidence([]) is None


def test_text_breaks_where_lines_and_blocks_do():
    words = [word("a", 9), word("b", 9), word("c", 9, line=1), word("d", 9, line=2, block=1)]
    assert text_of(words) == "a b\nc\n\nd"
    assert text_of([]) == ""
