"""YAML or JSON text as plain values, with the line of each: no tags, no aliases, no surprises of YAML 1.1.

``yes`` and ``12:30`` stay text; a key given twice, an alias and a tag are problems. Depth and size are bounded.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import yaml

from analytics.core.errors import InputError

MAX_SOURCE_BYTES = 4 * 2**20
MAX_DEPTH = 50

Path = tuple[str | int, ...]

_INT = re.compile(r"-?(?:0|[1-9]\d{0,18})", re.ASCII)
_FLOAT = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?", re.ASCII)
_CONSTANTS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}
_TAGS = {None, "!", *(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq"))}
_MAY_BE_NUMBER = frozenset("-0123456789")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a definition."""

    path: Path
    reason: str
    line: int | None = None
    """From 1; None when the source has no lines."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as pages and the API show it."""
        return {"line": self.line, "path": ".".join(str(part) for part in self.path), "reason": self.reason}


@dataclass
class Source:
    """A parsed text."""

    value: Any = None
    problems: list[Problem] = field(default_factory=list)
    first_line: int | None = None
    """Line of the value itself; None when there are no lines."""
    marks: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    """Each mapping and list by identity, with the lines of its items in the same shape."""

    def line_of(self, path: Path) -> int | None:
        """Return the line of the value at *path*, or of the nearest value around it."""
        line, value = self.first_line, self.value
        for part in path:
            marked = self.marks.get(id(value))
            try:
                line, value = marked[1][part], value[part]  # type: ignore[index]
            except (KeyError, IndexError, TypeError):
                break
        return line


def read_source(text: str) -> Source:
    """Parse *text*; what is wrong with it is in ``problems``.

    Raises:
        InputError: If it is larger than 4 MiB.
    """
    size = len(text)
    if size <= MAX_SOURCE_BYTES:
        size = len(text.encode("utf-8", errors="replace"))
    _check_size(size)
    source = Source()
    try:
        source.value = _Builder(source, yaml.parse(text, Loader=_LOADER)).document()
    except yaml.MarkedYAMLError as error:
        mark: Any = error.problem_mark or error.context_mark
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        source.problems.append(Problem((), reason or "cannot be read", mark.line + 1 if mark else None))
    except yaml.YAMLError as error:
        source.problems.append(Problem((), str(error).splitlines()[0]))
    except _TooDeepError as error:
        source.problems.append(Problem((), f"nested deeper than {MAX_DEPTH} levels", error.line))
    return source


def read_value(value: Any) -> Source:
    """Take *value*, which somebody else has parsed; what keeps it from being JSON is in ``problems``.

    Raises:
        InputError: If it is larger than 4 MiB as JSON.
    """
    try:
        encoded = orjson.dumps(value)
    except TypeError as error:
        deep = "recursion" in str(error).lower()
        reason = f"nested deeper than {MAX_DEPTH} levels" if deep else f"it is not JSON: {error}"
        return Source(problems=[Problem((), reason)])
    _check_size(len(encoded))
    return Source(value=value)


def _check_size(size_bytes: int) -> None:
    if size_bytes > MAX_SOURCE_BYTES:
        raise InputError(
            f"The definition has {size_bytes / 2**20:.1f} MiB, more than {MAX_SOURCE_BYTES // 2**20} MiB; it was not"
            " read. Split it into several workflows.",
            problems=[{"line": None, "path": "", "reason": "too large"}],
        )


class _TooDeepError(Exception):
    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


class _Builder:
    """Builds plain values out of events; *path* is where it is at the moment."""

    def __init__(self, source: Source, events: Iterator[Any]) -> None:
        self._source = source
        self._next = events.__next__
        self._marks = source.marks
        self._path: list[str | int] = []

    def document(self) -> Any:
        while True:
            event = self._next()
            if isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
                continue
            if isinstance(event, yaml.StreamEndEvent):
                return None
            self._source.first_line = _line(event)
            value = self._value(event)
            while not isinstance(event, yaml.StreamEndEvent):
                event = self._next()
                if isinstance(event, yaml.DocumentStartEvent):
                    self._problem("more than one document", event)
                    break
            return value

    def _value(self, event: Any) -> Any:
        kind = type(event)
        if kind is yaml.AliasEvent:
            self._problem(f"aliases are not read; write *{event.anchor} out", event)
            return None
        if event.tag not in _TAGS:
            self._problem(f"the tag {event.tag} is not read", event)
        if kind is yaml.ScalarEvent:
            return event.value if event.style or not event.implicit[0] else plain_scalar(event.value)
        if len(self._path) >= MAX_DEPTH:
            raise _TooDeepError(_line(event))
        return self._list() if kind is yaml.SequenceStartEvent else self._mapping()

    def _list(self) -> list[Any]:
        items: list[Any] = []
        lines: list[int] = []
        self._marks[id(items)] = (items, lines)
        self._path.append(0)
        while True:
            event = self._next()
            if type(event) is yaml.SequenceEndEvent:
                break
            lines.append(_line(event))
            self._path[-1] = len(items)
            items.append(self._value(event))
        self._path.pop()
        return items

    def _mapping(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        lines: dict[str, int] = {}
        self._marks[id(found)] = (found, lines)
        self._path.append("")
        while True:
            event = self._next()
            if type(event) is yaml.MappingEndEvent:
                break
            if type(event) is not yaml.ScalarEvent:
                raise yaml.MarkedYAMLError(problem="a key has to be text", problem_mark=event.start_mark)
            key = event.value
            self._path[-1] = key
            if key in found:
                self._problem("given twice", event)
            lines[key] = _line(event)
            found[key] = self._value(self._next())
        self._path.pop()
        return found

    def _problem(self, reason: str, event: Any) -> None:
        self._source.problems.append(Problem(tuple(self._path), reason, _line(event)))


def plain_scalar(text: str) -> Any:
    """Return what plain *text* means in YAML 1.2's core: a number, a constant, or text."""
    first = text[:1]
    if first in _MAY_BE_NUMBER:
        if _INT.fullmatch(text):
            return int(text)
        return float(text) if _FLOAT.fullmatch(text) else text
    return _CONSTANTS.get(text, text)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
