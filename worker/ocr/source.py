"""Opening image and PDF files safely: limits and damage are told before pixels are decoded.

Not here: turning a page into an upright grey picture (``worker.ocr.load``).
"""

import io
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pypdfium2
import pypdfium2.raw as pdfium
from PIL import Image, UnidentifiedImageError

from analytics.core.errors import InputError

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP")
PDFIUM_LOCK = threading.RLock()
"""PDFium is not thread-safe: whoever touches a document holds this."""

_JPEG_SCAN = b"\xff\xda"
_JPEG_END = b"\xff\xd9"
_DAMAGE = (OSError, ValueError, SyntaxError, EOFError, struct.error, KeyError, IndexError, TypeError, OverflowError)
"""What Pillow's readers raise on a damaged file, besides its own classes."""


@contextmanager
def opened_image(name: str, content: bytes, *, max_pixels: int) -> Iterator[Image.Image]:
    """Open *content* as an image of at most *max_pixels* pixels a page; only its header is read.

    Raises:
        InputError: If it is too large or damaged, also when that shows in the block, while pixels are decoded.
    """
    Image.MAX_IMAGE_PIXELS = max_pixels
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            require_pixels(name, image, max_pixels)
            yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(
            f"{name!r} has more than {max_pixels:,} pixels a page; nothing was read. Make it smaller,"
            " or raise HELMSIGHT_OCR__MAX_PIXELS.",
            reason="too_many_pixels",
        ) from error
    except (UnidentifiedImageError, *_DAMAGE) as error:
        raise InputError(
            f"{name!r} starts like an image, but is cut off or damaged ({_short(error)}); nothing was read."
            " Export or scan it again.",
            reason="damaged_image",
        ) from error


def require_pixels(name: str, image: Image.Image, max_pixels: int) -> None:
    """Check the size of the present frame of *image*.

    Raises:
        InputError: If it has more than *max_pixels* pixels.
    """
    if image.width * image.height > max_pixels:
        raise InputError(
            f"{name!r} has {image.width:,} x {image.height:,} pixels, but at most {max_pixels:,} a page are read;"
            " nothing was read. Make it smaller, or raise HELMSIGHT_OCR__MAX_PIXELS.",
            reason="too_many_pixels",
        )


def check_image(name: str, content: bytes, *, max_pixels: int, max_pages: int) -> None:
    """Check an image without decoding it.

    Raises:
        InputError: If it is too large, has too many pages, or is cut off or damaged as far as that shows.
    """
    with opened_image(name, content, max_pixels=max_pixels) as image:
        if image.format in {"JPEG", "MPO"} and content.rfind(_JPEG_END) < content.rfind(_JPEG_SCAN):
            raise OSError("its end is missing")
        require_pages(name, page_count(image, max_pages), max_pages)
        if image.format == "PNG":
            image.verify()


def page_count(image: Image.Image, max_pages: int) -> int:
    """Return how many pages *image* has: the frames of a TIFF, else 1.

    A TIFF with more than *max_pages* counts as ``max_pages + 1``: a hostile one has millions, and each takes time.
    """
    if image.format != "TIFF":
        return 1
    for pages in range(1, max_pages + 1):
        try:
            image.seek(pages)  # one by one: Pillow miscounts when it jumps
        except EOFError:
            image.seek(0)
            return pages
    return max_pages + 1


def is_animation(image: Image.Image) -> bool:
    """Return whether *image* moves; the second picture of a camera's JPEG does not count."""
    return image.format in {"GIF", "PNG", "WEBP"} and bool(getattr(image, "is_animated", False))


def require_pages(name: str, pages: int, max_pages: int) -> None:
    """Check how many pages a document has.

    Raises:
        InputError: If *pages* is zero or more than *max_pages*.
    """
    if pages < 1:
        raise InputError(f"{name!r} has no pages; nothing was read.", reason="no_pages")
    if pages > max_pages:
        raise InputError(
            f"{name!r} has more than {max_pages:,} pages; nothing was read. Split it,"
            " or raise HELMSIGHT_OCR__MAX_PAGES.",
            reason="too_many_pages",
        )


@contextmanager
def opened_pdf(name: str, content: bytes) -> Iterator[pypdfium2.PdfDocument]:
    """Open *content* as a PDF; the PDFium lock is held until the block ends.

    Raises:
        InputError: If it needs a password or is damaged, also when that shows in the block.
    """
    with PDFIUM_LOCK:
        try:
            document = pypdfium2.PdfDocument(content)
        except pypdfium2.PdfiumError as error:
            # PDFium may still tell of the document before, so that its word alone does not count.
            if error.err_code == pdfium.FPDF_ERR_PASSWORD and b"/Encrypt" in content:
                raise InputError(
                    f"{name!r} needs a password; nothing was read. Remove the password and upload it again.",
                    reason="encrypted_pdf",
                ) from error
            raise _damaged_pdf(name, error) from error
        try:
            yield document
        except pypdfium2.PdfiumError as error:
            raise _damaged_pdf(name, error) from error
        finally:
            document.close()


def check_pdf(name: str, content: bytes, *, max_pages: int) -> None:
    """Check a PDF without rendering it.

    Raises:
        InputError: If it needs a password, is damaged, or has no or too many pages.
    """
    with opened_pdf(name, content) as document:
        require_pages(name, len(document), max_pages)


def _damaged_pdf(name: str, error: pypdfium2.PdfiumError) -> InputError:
    return InputError(
        f"{name!r} starts like a PDF, but is cut off or damaged ({_short(error)}); nothing was read. Export it again.",
        reason="corrupt_pdf",
    )


def _short(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0][:120] if text and "BytesIO" not in text[0] else type(error).__name__
