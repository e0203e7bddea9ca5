"""Pages of documents as pictures a browser can show: how pages and routes reach the decoders of ``worker.ocr``.

What is read from a page is in ``worker.ocr``; the words' boxes fit these pictures, which are upright in the same way.
"""

import io
from dataclasses import dataclass

from PIL import Image, ImageOps

from analytics.core.errors import NotFoundError
from analytics.core.settings import OcrSettings
from worker.ocr.load import POINTS_PER_INCH, flattened
from worker.ocr.source import opened_image, opened_pdf, page_count
from worker.ocr.upload import PDF, sniff

LONGEST_SIDE = 2600
"""Pixels; enough to read small print at four times its size on a screen."""
_PDF_DPI = 200
_SHOWN_AS_THEY_ARE = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
_SMALL_BYTES = 2 * 2**20
_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class PagePicture:
    """One page, upright."""

    content: bytes
    media_type: str
    width: int
    """Pixels of this picture, which may be smaller than the page as uploaded."""
    height: int


def page_picture(name: str, content: bytes, page: int, *, settings: OcrSettings) -> PagePicture:
    """Return *page*, from 1, of the document *content*.

    Raises:
        NotFoundError: If the document has no such page.
        InputError: If the document is damaged or too large.
    """
    if sniff(content) == PDF:
        return _encoded(_pdf_page(name, content, page))
    with opened_image(name, content, max_pixels=settings.max_pixels) as image:
        if not 1 <= page <= page_count(image, settings.max_pages):
            raise NotFoundError(f"{name!r} has no page {page}; nothing was shown.")
        if page > 1:
            image.seek(page - 1)
        if _is_ready(image, content):
            return PagePicture(content, _SHOWN_AS_THEY_ARE[str(image.format)], image.width, image.height)
        return _encoded(flattened(ImageOps.exif_transpose(image)))


def _pdf_page(name: str, content: bytes, page: int) -> Image.Image:
    with opened_pdf(name, content) as document:
        if not 1 <= page <= len(document):
            raise NotFoundError(f"{name!r} has no page {page}; nothing was shown.")
        sheet = document[page - 1]
        longest_pt = max(*sheet.get_size(), 1.0)
        scale = min(_PDF_DPI / POINTS_PER_INCH, LONGEST_SIDE / longest_pt)
        picture: Image.Image = sheet.render(scale=scale).to_pil().convert("RGB")
        sheet.close()
        return picture


def _is_ready(image: Image.Image, content: bytes) -> bool:
    """Return whether a browser shows the file as it is, upright and soon."""
    upright = image.getexif().get(_EXIF_ORIENTATION, 1) == 1
    small = len(content) <= _SMALL_BYTES and max(image.size) <= LONGEST_SIDE
    return image.format in _SHOWN_AS_THEY_ARE and image.mode in {"1", "L", "P", "RGB"} and upright and small


def _encoded(picture: Image.Image) -> PagePicture:
    if max(picture.size) > LONGEST_SIDE:
        picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=88, method=2)
    return PagePicture(out.getvalue(), "image/webp", picture.width, picture.height)
