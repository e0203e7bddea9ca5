import subprocess
import sys
import time

import pytest
from PIL import Image

from analytics.core.errors import InputError
from analytics.core.settings import HttpSettings, OcrSettings, Settings
from tests.unit.worker.ocr.documents import drawing, image_bytes, pdf_bytes, png_header
from worker.ocr.upload import MEDIA_TYPES, check_upload, sniff

SETTINGS = Settings(ocr=OcrSettings(max_pages=3))

GOOD = {
    "png": (image_bytes(drawing()), "image/png"),
    "jpeg": (image_bytes(drawing(), "JPEG"), "image/jpeg"),
    "tiff": (image_bytes(drawing(), "TIFF"), "image/tiff"),
    "webp": (image_bytes(drawing(), "WEBP"), "image/webp"),
    "gif": (image_bytes(drawing(), "GIF"), "image/gif"),
    "bmp": (image_bytes(drawing(), "BMP"), "image/bmp"),
    "pdf": (pdf_bytes("One", "Two"), "application/pdf"),
}


@pytest.mark.parametrize("kind", GOOD)
def test_the_kind_is_told_from_the_bytes_whatever_the_name(kind):
    content, media_type = GOOD[kind]
    assert check_upload("holiday.docx", content, SETTINGS) == media_type
    assert media_type in MEDIA_TYPES


def refused(name: str, content: bytes, settings: Settings = SETTINGS) -> InputError:
    with pytest.raises(InputError) as caught:
        check_upload(name, content, settings)
    assert name in caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        pytest.param("empty.png", b"", "empty_file", id="empty"),
        pytest.param("notes.png", b"Dear diary, today I renamed a text file.", "not_an_image", id="text"),
        pytest.param("page.html", b"<html><body>%PDF</body></html>", "not_an_image", id="html"),
        pytest.param("cut.png", GOOD["png"][0][:-40], "damaged_image", id="png-cut"),
        pytest.param("head.png", GOOD["png"][0][:20], "damaged_image", id="png-head-only"),
        pytest.param("flipped.png", GOOD["png"][0].replace(b"IDAT", b"IDAX"), "damaged_image", id="png-crc"),
        pytest.param("cut.jpg", GOOD["jpeg"][0][:-60], "damaged_image", id="jpeg-cut"),
        pytest.param("cut.tif", GOOD["tiff"][0][:6], "damaged_image", id="tiff-cut"),
        pytest.param("fake.webp", b"RIFF\0\0\0\0WEBPnothing", "damaged_image", id="webp-fake"),
        pytest.param("locked.pdf", pdf_bytes("Hi", encrypt=True), "encrypted_pdf", id="pdf-locked"),
        pytest.param("broken.pdf", b"%PDF-1.7\nnothing of use", "corrupt_pdf", id="pdf-broken"),
        pytest.param("long.pdf", pdf_bytes(*"abcd"), "too_many_pages", id="pdf-long"),
        pytest.param("none.pdf", pdf_bytes(), "corrupt_pdf", id="pdf-no-pages"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(name, content, reason):
    error = refused(name, content)
    assert error.context["reason"] == reason
    assert error.status == 422
    assert "nothing was" in error.message


def test_a_small_file_with_huge_dimensions_is_refused_before_it_is_decoded():
    bomb = png_header(30_000, 30_000)
    assert len(bomb) < 150_000
    started = time.process_time()
    error = refused("bomb.png", bomb)
    assert time.process_time() - started < 0.5
    assert error.context["reason"] == "too_many_pixels"
    assert "HELMSIGHT_OCR__MAX_PIXELS" in error.message


def test_the_limit_of_pixels_is_the_one_of_the_settings():
    small = Settings(ocr=OcrSettings(max_pixels=1000))
    assert refused("big.png", GOOD["png"][0], small).context["reason"] == "too_many_pixels"
    wide = Settings(ocr=OcrSettings(max_pixels=1_000_000_000))
    assert check_upload("bomb.png", png_header(30_000, 30_000), wide) == "image/png"


def test_too_many_bytes_are_refused_with_the_limit():
    error = refused("large.png", GOOD["png"][0], Settings(http=HttpSettings(max_upload_bytes=100)))
    assert error.context["reason"] == "too_many_bytes"
    assert "at most 100" in error.message


def test_a_tiff_with_too_many_pages_is_refused():
    pages = [Image.new("1", (8, 8)) for _ in range(5)]
    content = image_bytes(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert refused("fax.tif", content).context["reason"] == "too_many_pages"


def test_an_animation_may_be_uploaded():
    frames = [drawing(), Image.new("RGB", (120, 60), "red")]
    content = image_bytes(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert check_upload("loop.gif", content, SETTINGS) == "image/gif"


def test_a_pdf_may_have_a_few_bytes_before_its_head():
    assert sniff(b"\r\n\r\n" + GOOD["pdf"][0]) == "application/pdf"
    assert sniff(b" " * 2000 + GOOD["pdf"][0]) is None


def test_importing_the_checks_loads_no_image_library():
    heavy = ("PIL", "numpy", "pypdfium2", "tesserocr")
    code = f"import sys, worker.ocr.upload; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_document_without_pages_is_not_called_locked_because_the_one_before_was():
    assert refused("locked.pdf", pdf_bytes("Hi", encrypt=True)).context["reason"] == "encrypted_pdf"
    assert refused("none.pdf", pdf_bytes()).context["reason"] == "corrupt_pdf"
