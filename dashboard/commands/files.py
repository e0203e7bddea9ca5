"""Text that commands are given: by the name of a file, of a folder, or from standard input."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from analytics.core.errors import InputError

STANDARD_INPUT = "-"
_SUFFIXES = frozenset({".yaml", ".yml", ".json"})


def text_of(name: str) -> str:
    """Return the text of the file *name*, or of standard input for ``-``.

    Raises:
        InputError: If it is not text.
        OSError: If it cannot be read.
    """
    try:
        return sys.stdin.read() if name == STANDARD_INPUT else Path(name).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not text in UTF-8; nothing was done.") from error


def texts_of(names: Sequence[str]) -> dict[str, str]:
    """Return the texts of files by name; of a folder, those of the YAML and JSON files in it and below, in order.

    Raises:
        InputError: If one is not text, or a folder has no such file.
        OSError: If one cannot be read.
    """
    return {path: text_of(path) for name in names for path in _files(name)}


def _files(name: str) -> Iterator[str]:
    folder = Path(name)
    if name == STANDARD_INPUT or not folder.is_dir():
        yield name
        return
    found = sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES and path.is_file())
    if not found:
        raise InputError(f"There is no YAML or JSON file in {name}; nothing was done.")
    yield from map(str, found)
