"""What may be uploaded: the kind is told from the first bytes, the limits are checked before a pixel is decoded.

Light to import, so that pages and routes can refuse a bad file at once. Decoding is in ``worker.ocr.load``.
"""

from analytics.core.errors import InputError
from analytics.core.settings import Settings

PDF = "application/pdf"

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
)
_PDF_HEAD_BYTES = 1024
"""A PDF may carry this much before its header (ISO 32000-1, annex H.3.4.1)."""

MEDIA_TYPES = (PDF, "image/png", "image/jpeg", "image/tiff", "image/webp", "image/gif", "image/bmp")


def sniff(content: bytes) -> str | None:
    """Return the media type that the first bytes of *content* tell, or None when it is none that we read."""
    for magic, media_type in _MAGIC:
        if content.startswith(magic):
            return media_type
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    if b"%PDF-" in content[:_PDF_HEAD_BYTES]:
        return PDF
    return None


def check_upload(name: str, content: bytes, settings: Settings) -> str:
    """Return the media type of *content*, an upload called *name*.

    Bytes, pixels, pages, passwords and missing ends are checked; the pixels themselves are not decoded.

    Raises:
        InputError: If it is empty, too large, neither an image nor a PDF, cut off, damaged or encrypted. The
            ``reason`` in its context is one word for programs.
    """
    if not content:
        raise InputError(f"{name!r} is empty; nothing was stored. Choose another file.", reason="empty_file")
    limit = settings.http.max_upload_bytes
    if len(content) > limit:
        raise InputError(
            f"{name!r} has {len(content):,} bytes, but at most {limit:,} are taken; nothing was stored.",
            reason="too_many_bytes",
        )
    media_type = sniff(content)
    if media_type is None:
        raise InputError(
            f"{name!r} does not start like an image or a PDF, whatever its name says; nothing was stored."
            " Upload PNG, JPEG, TIFF, WebP, GIF, BMP or PDF.",
            reason="not_an_image",
        )
    from worker.ocr.source import check_image, check_pdf  # noqa: PLC0415 - Pillow and PDFium load when needed

    if media_type == PDF:
        check_pdf(name, content, max_pages=settings.ocr.max_pages)
    else:
        check_image(name, content, max_pixels=settings.ocr.max_pixels, max_pages=settings.ocr.max_pages)
    return media_type
