"""What an OCR engine is, and which there are.

Other packages add engines by an entry point in the group ``helmsight.ocr_engines`` that names a callable without
arguments returning an :class:`Engine`.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import entry_points
from typing import Protocol

from analytics.core.errors import InputError
from worker.ocr.load import PageImage

ENTRY_POINTS = "helmsight.ocr_engines"


@dataclass(frozen=True, slots=True)
class OcrOptions:
    """How a document is to be read (requirement E1)."""

    language: str = "deu+eng"
    psm: int = 6
    """Page segmentation mode, as Tesseract numbers them."""
    oem: int = 3
    """Engine mode; 1 and 3 are the LSTM recogniser."""
    dpi: int = 300
    confidence_threshold: float = 60.0
    """0 to 100; words below it are left out of ``filtered_text``."""
    page_timeout: timedelta = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Word:
    """One word; the box is in pixels of the page as uploaded, origin top left."""

    text: str
    confidence: float
    """0 to 100."""
    x: int
    y: int
    w: int
    h: int
    line: int
    """From 0, over the whole page."""
    block: int
    """From 0."""


class Engine(Protocol):
    """Finds words in the picture of a page."""

    name: str
    version: str

    def languages(self) -> frozenset[str]:
        """Return the languages it can read here."""
        ...

    def check(self, options: OcrOptions) -> None:
        """Raise InputError if it cannot do what *options* ask."""
        ...

    def warm(self, options: OcrOptions) -> None:
        """Load what reading with *options* needs, so that the first page is not slower."""
        ...

    def read(self, page: PageImage, options: OcrOptions) -> Sequence[Word]:
        """Return the words of *page* in reading order.

        Raises:
            InputError: If the page takes longer than ``options.page_timeout``.
        """
        ...


def _tesseract() -> Engine:
    from worker.ocr.tesseract import TesseractEngine  # noqa: PLC0415 - the library loads only where it reads

    return TesseractEngine()


_BUILT_IN: dict[str, Callable[[], Engine]] = {"tesseract": _tesseract}
_loaded: dict[tuple[int, str], Engine] = {}


def engine_names() -> list[str]:
    """Return the names of all engines, sorted; none is loaded."""
    return sorted({*_BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINTS))})


def get_engine(name: str) -> Engine:
    """Return the engine *name*, kept for the life of the process; a forked child makes its own.

    Raises:
        InputError: If there is none of that name; the message lists those that are there.
    """
    key = (os.getpid(), name)
    if key not in _loaded:
        _loaded[key] = _make(name)
    return _loaded[key]


def _make(name: str) -> Engine:
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    for point in entry_points(group=ENTRY_POINTS):
        if point.name == name:
            engine: Engine = point.load()()
            return engine
    raise InputError(f"There is no OCR engine {name!r}; nothing was read. Choose one of: {', '.join(engine_names())}.")
