"""YAML or JSON text as plain values, with the line of each: no tags, no aliases, no surprises of YAML 1.1.

``yes`` and ``12:30`` stay text; a key given twice, an alias and a tag are problems. Depth and size are bounded.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from analytics.core.errors import InputError

MAX_SOURCE_BYTES = 4 * 2**20
MAX_DEPTH = 50

Path = tuple[str | int, ...]

_INT = re.compile(r"-?(?:0|[1-9]\d{0,17})", re.ASCII)
_FLOAT = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?", re.ASCII)
_CONSTANTS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}
_TAGS = {None, "!", *(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq"))}
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
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line_of(self, path: Path) -> int | None:
        """Return the line of the value at *path*, or of the nearest value around it."""
        for length in range(len(path), -1, -1):
            line = self.lines.get(path[:length])
            if line is not None:
                return line
        return None


def read_source(text: str) -> Source:
    """Parse *text*; what is wrong with it is in ``problems``.

    Raises:
        InputError: If it is larger than 4 MiB.
    """
    size = len(text.encode("utf-8", errors="replace"))
    if size > MAX_SOURCE_BYTES:
        raise InputError(
            f"The definition has {size / 2**20:.1f} MiB, more than {MAX_SOURCE_BYTES // 2**20} MiB; it was not read."
            " Split it into several workflows.",
            problems=[{"line": None, "path": "", "reason": "too large"}],
        )
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


class _TooDeepError(Exception):
    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


class _Builder:
    def __init__(self, source: Source, events: Iterator[Any]) -> None:
        self._source = source
        self._events = events

    def document(self) -> Any:
        for event in self._events:
            if isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
                continue
            if isinstance(event, yaml.StreamEndEvent):
                return None
            value = self._value(event, ())
            for rest in self._events:
                if isinstance(rest, yaml.DocumentStartEvent):
                    self._problem((), "more than one document", rest)
                    break
            return value
        return None

    def _value(self, event: Any, path: Path) -> Any:
        self._source.lines[path] = _line(event)
        if len(path) > MAX_DEPTH:
            raise _TooDeepError(_line(event))
        if isinstance(event, yaml.AliasEvent):
            self._problem(path, f"aliases are not read; write *{event.anchor} out", event)
            return None
        if event.tag not in _TAGS:
            self._problem(path, f"the tag {event.tag} is not read", event)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(path)
        return self._mapping(path)

    def _scalar(self, event: Any) -> Any:
        if event.style or not event.implicit[0]:
            return event.value
        text = event.value
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
        return text

    def _list(self, path: Path) -> list[Any]:
        items: list[Any] = []
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            if not isinstance(event, yaml.ScalarEvent):
                raise yaml.MarkedYAMLError(problem="a key has to be text", problem_mark=event.start_mark)
            key, line = event.value, _line(event)
            if key in found:
                self._problem((*path, key), "given twice", event)
            found[key] = self._value(next(self._events), (*path, key))
            self._source.lines[(*path, key)] = line
        return found

    def _problem(self, path: Path, reason: str, event: Any) -> None:
        self._source.problems.append(Problem(path, reason, _line(event)))


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
