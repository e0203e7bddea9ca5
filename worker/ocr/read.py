"""From a document to its words: pages read one by one, and the figures of requirement E3."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from analytics.core.settings import Settings
from worker.ocr.engine import Engine, OcrOptions, Word, get_engine
from worker.ocr.load import PageImage, load_pages


@dataclass(frozen=True, slots=True)
class PageText:
    """The words of one page; times in seconds."""

    number: int
    """From 1."""
    width: int
    height: int
    dpi: int
    text: str
    filtered_text: str
    """Only words at or above the confidence threshold."""
    confidence: float | None
    """0 to 100, weighted by characters; None when there is no word."""
    words: tuple[Word, ...]
    engine: str
    load_s: float
    recognise_s: float
    warnings: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        """Return how long the page took from file to words."""
        return self.load_s + self.recognise_s


@dataclass(frozen=True, slots=True)
class DocumentText:
    """What was read from a document."""

    pages: tuple[PageText, ...]
    options: OcrOptions
    engine: str
    engine_version: str
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds by stage: ``load``, ``recognise``."""

    @property
    def text(self) -> str:
        """Return the text of all pages, a form feed between them."""
        return "\f".join(page.text for page in self.pages)

    @property
    def filtered_text(self) -> str:
        """Return the same of the words at or above the threshold."""
        return "\f".join(page.filtered_text for page in self.pages)

    @property
    def confidence(self) -> float | None:
        """Return 0 to 100, weighted by characters, or None when no word was found."""
        return mean_confidence([word for page in self.pages for word in page.words])

    @property
    def word_count(self) -> int:
        """Return how many words were found, whatever their confidence."""
        return sum(len(page.words) for page in self.pages)

    @property
    def character_count(self) -> int:
        """Return how many characters these words have, white space not counted."""
        return sum(len(word.text) for page in self.pages for word in page.words)

    @property
    def warnings(self) -> list[str]:
        """Return what a reader of the result should know, each with its page."""
        return [f"Page {page.number}: {warning}" for page in self.pages for warning in page.warnings]

    def to_result(self) -> dict[str, Any]:
        """Return the result of requirement E3 as plain JSON values."""
        return {
            "text": self.text,
            "filtered_text": self.filtered_text,
            "confidence": self.confidence,
            "word_count": self.word_count,
            "character_count": self.character_count,
            "bounding_boxes": [{"page": page.number, **asdict(word)} for page in self.pages for word in page.words],
            "pages": len(self.pages),
            "engine": self.engine,
            "warnings": self.warnings,
            "timings": self.timings,
        }


def mean_confidence(words: Sequence[Word]) -> float | None:
    """Return the mean confidence of *words* weighted by their characters, 0 to 100; None when there are none."""
    characters = sum(len(word.text) for word in words)
    if not characters:
        return None
    return round(sum(word.confidence * len(word.text) for word in words) / characters, 2)


def text_of(words: Sequence[Word]) -> str:
    """Return *words* as text: a line break where the line changes, an empty line where the block does."""
    parts: list[str] = []
    before: Word | None = None
    for word in words:
        if before is not None:
            parts.append("\n\n" if word.block != before.block else "\n" if word.line != before.line else " ")
        parts.append(word.text)
        before = word
    return "".join(parts)


def read_pages(
    name: str, content: bytes, options: OcrOptions, settings: Settings, *, engine: Engine
) -> Iterator[PageText]:
    """Yield the pages of *content* as they are read.

    Raises:
        InputError: If the options cannot be used, or the document or a page cannot be read.
    """
    engine.check(options)
    pages = load_pages(name, content, settings, dpi=options.dpi)
    while True:
        started = time.perf_counter()
        page = next(pages, None)
        if page is None:
            return
        yield _read_page(page, options, engine, load_s=time.perf_counter() - started)


def _read_page(page: PageImage, options: OcrOptions, engine: Engine, *, load_s: float) -> PageText:
    started = time.perf_counter()
    words = tuple(engine.read(page, options))
    recognise_s = time.perf_counter() - started
    return PageText(
        number=page.number,
        width=page.width,
        height=page.height,
        dpi=page.dpi,
        text=text_of(words),
        filtered_text=text_of([word for word in words if word.confidence >= options.confidence_threshold]),
        confidence=mean_confidence(words),
        words=words,
        engine=engine.name,
        load_s=load_s,
        recognise_s=recognise_s,
        warnings=page.warnings,
    )


def read_document(
    name: str,
    content: bytes,
    options: OcrOptions,
    settings: Settings,
    *,
    engine_name: str = "tesseract",
    on_page: Callable[[PageText], None] | None = None,
) -> DocumentText:
    """Read *content* and return its text; *on_page* sees each page when it is done.

    Raises:
        InputError: If the options cannot be used, or the document cannot be read.
    """
    engine = get_engine(engine_name)
    pages = []
    for page in read_pages(name, content, options, settings, engine=engine):
        if on_page is not None:
            on_page(page)
        pages.append(page)
    timings = {
        "load": round(sum(page.load_s for page in pages), 4),
        "recognise": round(sum(page.recognise_s for page in pages), 4),
    }
    return DocumentText(tuple(pages), options, engine.name, engine.version, timings)
