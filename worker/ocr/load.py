"""From a file to upright pictures of its pages, one at a time.

Images are turned as their EXIF data say, laid on white where they are transparent, and 16 bits become 8 by
scaling, not by clipping. What engines do with the pictures is in ``worker.ocr.engine``.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from analytics.core.settings import Settings
from worker.ocr.source import is_animation, opened_image, opened_pdf, page_count, require_pages, require_pixels
from worker.ocr.upload import PDF, check_upload

WORKING_PIXELS = 40_000_000
"""Larger pages are made smaller before they are read; more pixels cost time and add no words."""
POINTS_PER_INCH = 72
_PLAUSIBLE_DPI = (50.0, 2400.0)


@dataclass(frozen=True, slots=True)
class PageImage:
    """One upright page, in grey or RGB with 8 bits."""

    number: int
    """From 1."""
    image: Image.Image
    width: int
    """Pixels of the page as uploaded (upright), or as rendered from a PDF."""
    height: int
    scale: float
    """Pixels of ``image`` per pixel of the page; 1 or less."""
    dpi: int
    """Of ``image``: told by the file, else the one asked for."""
    warnings: tuple[str, ...] = ()


def load_pages(name: str, content: bytes, settings: Settings, *, dpi: int) -> Iterator[PageImage]:
    """Yield the pages of *content* in order, each when it is asked for.

    Args:
        name: How messages call the document.
        content: The file.
        settings: Limits.
        dpi: Resolution at which PDF pages are rendered, and that of images that do not tell theirs.

    Raises:
        InputError: If the file cannot be read; before the first page where that can be told, else at the page.
    """
    if check_upload(name, content, settings) == PDF:
        yield from _pdf_pages(name, content, settings, dpi)
    else:
        yield from _image_pages(name, content, settings, dpi)


def _image_pages(name: str, content: bytes, settings: Settings, dpi: int) -> Iterator[PageImage]:
    limit = settings.ocr.max_pixels
    with opened_image(name, content, max_pixels=limit) as image:
        warnings = ("It is an animation; only its first frame was read.",) if is_animation(image) else ()
        pages = page_count(image, settings.ocr.max_pages)
        require_pages(name, pages, settings.ocr.max_pages)
        for index in range(pages):
            if index:
                image.seek(index)
                require_pixels(name, image, limit)
            told = _told_dpi(image)
            picture = flattened(ImageOps.exif_transpose(image))
            yield _fitted(index + 1, picture, told or dpi, warnings)


def _pdf_pages(name: str, content: bytes, settings: Settings, dpi: int) -> Iterator[PageImage]:
    with opened_pdf(name, content) as document:
        require_pages(name, len(document), settings.ocr.max_pages)
        for index in range(len(document)):
            page = document[index]
            width_pt, height_pt = page.get_size()
            allowed = math.sqrt(WORKING_PIXELS / max(width_pt * height_pt, 1.0)) * POINTS_PER_INCH
            effective = min(float(dpi), allowed)
            picture = page.render(scale=effective / POINTS_PER_INCH, grayscale=True).to_pil().convert("L")
            page.close()
            warnings = () if effective >= dpi else (f"The page is very large; it was rendered at {effective:.0f} dpi.",)
            yield PageImage(index + 1, picture, picture.width, picture.height, 1.0, max(round(effective), 1), warnings)


def _told_dpi(image: Image.Image) -> int | None:
    value = image.info.get("dpi")
    if not isinstance(value, tuple) or not value:
        return None
    horizontal = float(value[0])
    low, high = _PLAUSIBLE_DPI
    return round(horizontal) if low <= horizontal <= high else None


def _fitted(number: int, picture: Image.Image, dpi: int, warnings: tuple[str, ...]) -> PageImage:
    width, height = picture.size
    scale = min(1.0, math.sqrt(WORKING_PIXELS / (width * height)))
    if scale < 1.0:
        size = (max(1, int(width * scale)), max(1, int(height * scale)))
        picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
        dpi = max(1, round(dpi * scale))
    return PageImage(number, picture, width, height, scale, dpi, warnings)


def flattened(image: Image.Image) -> Image.Image:
    """Return *image* as grey (``L``) or ``RGB`` with 8 bits a channel, transparency laid on white."""
    if image.mode.startswith(("I", "F")):
        return _eight_bit(image)
    if image.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info:
        colours = image.convert("RGBA")
        paper = Image.new("RGBA", colours.size, "white")
        return Image.alpha_composite(paper, colours).convert("RGB")
    if image.mode in {"1", "L"}:
        return image.convert("L")
    return image.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Scale more than 8 bits to 8: 16-bit values by 257, others by their own range."""
    values = np.asarray(image).astype(np.float64)
    if image.mode.startswith("I;16") or (values.size and values.min() >= 0 and 255 < values.max() <= 65535):  # noqa: PLR2004
        low, span = 0.0, 65535.0
    else:
        low = float(values.min()) if values.size else 0.0
        span = (float(values.max()) - low) if values.size else 0.0
    scaled = np.zeros_like(values) if span <= 0 else (values - low) * (255.0 / span)
    return Image.fromarray(np.clip(np.rint(scaled), 0, 255).astype(np.uint8))
