"""YAML or JSON text as plain values, with the line of each: no tags, no aliases, no surprises of YAML 1.1.

``yes`` and ``12:30`` stay text; a key given twice and a tag are problems, and so is an alias except where a caller
takes them. Depth and size are bounded.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import orjson
import yaml

from analytics.core.errors import InputError

MAX_SOURCE_BYTES = 4 * 2**20
MAX_DEPTH = 50
MAX_VALUES = 200_000
"""How many values aliases may add up to."""

Path = tuple[str | int, ...]

_INT = re.compile(r"-?(?:0|[1-9]\d{0,18})", re.ASCII)
_FLOAT = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?", re.ASCII)
_CONSTANTS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}
_TAGS = {None, "!", *(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq"))}
_MAY_BE_NUMBER = frozenset("-0123456789")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""Characters that JSON may hold as they are and YAML may not."""

_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a text."""

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
    _check_text(text)
    source, *more = [*islice(_sources(text, aliases=False), 2), Source()]
    if len(more) > 1:
        source.problems.append(Problem((), "more than one document", more[0].first_line))
    return source


def read_documents(text: str) -> list[Source]:
    """Parse each document of *text*, aliases and merged mappings (``<<``) included; those that are empty are left out.

    Mappings and lists that an alias stands for are shared. A document that cannot be parsed is the last one.

    Raises:
        InputError: If *text* is larger than 4 MiB.
    """
    _check_text(text)
    return [source for source in _sources(text, aliases=True) if source.value is not None or source.problems]


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


def _check_text(text: str) -> None:
    size = len(text)
    _check_size(size if size > MAX_SOURCE_BYTES else len(text.encode("utf-8", errors="replace")))


def _check_size(size_bytes: int) -> None:
    if size_bytes > MAX_SOURCE_BYTES:
        raise InputError(
            f"The text has {size_bytes / 2**20:.1f} MiB, more than {MAX_SOURCE_BYTES // 2**20} MiB; it was not"
            " read. Split it into several.",
            problems=[{"line": None, "path": "", "reason": "too large"}],
        )


def _sources(text: str, *, aliases: bool) -> Iterator[Source]:
    events, goes_on = yaml.parse(text, Loader=_LOADER), True
    while goes_on:
        source = Source()
        goes_on = _read_into(source, events, aliases=aliases)
        if goes_on or source.problems:
            yield source


def _read_into(source: Source, events: Iterator[Any], *, aliases: bool) -> bool:
    """Read one document; return False at the end of the text and after a fault that ends reading."""
    try:
        return _Builder(source, events, takes_aliases=aliases).document()
    except yaml.MarkedYAMLError as error:
        mark: Any = error.problem_mark or error.context_mark
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        source.problems.append(Problem((), reason or "cannot be read", mark.line + 1 if mark else None))
    except yaml.YAMLError as error:
        source.problems.append(Problem((), str(error).splitlines()[0]))
    except _RefusedError as error:
        source.problems.append(Problem((), error.reason, error.line))
    return False


class _RefusedError(Exception):
    def __init__(self, reason: str, line: int) -> None:
        super().__init__(reason, line)
        self.reason = reason
        self.line = line


class _Builder:
    """Builds plain values out of events; *path* is where it is at the moment."""

    def __init__(self, source: Source, events: Iterator[Any], *, takes_aliases: bool) -> None:
        self._source = source
        self._next = events.__next__
        self._marks = source.marks
        self._path: list[str | int] = []
        self._takes_aliases = takes_aliases
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._values = 0

    def document(self) -> bool:
        """Build the next document; return False when there is none."""
        while True:
            kind = type(self._next())
            if kind is yaml.StreamEndEvent:
                return False
            if kind is yaml.DocumentStartEvent:
                break
        event = self._next()
        self._source.first_line = _line(event)
        self._source.value = self._value(event)
        return True

    def _value(self, event: Any) -> Any:
        kind = type(event)
        if kind is yaml.AliasEvent:
            return self._alias(event)
        if event.tag not in _TAGS:
            self._problem(f"the tag {event.tag} is not read", event)
        self._values += 1
        if kind is yaml.ScalarEvent:
            value = event.value if event.style or not event.implicit[0] else plain_scalar(event.value)
            if event.anchor:
                self._anchors[event.anchor] = (value, 1)
            return value
        if len(self._path) >= MAX_DEPTH:
            raise _RefusedError(f"nested deeper than {MAX_DEPTH} levels", _line(event))
        before = self._values
        value = self._list() if kind is yaml.SequenceStartEvent else self._mapping()
        if event.anchor:
            self._anchors[event.anchor] = (value, self._values - before)
        return value

    def _alias(self, event: Any) -> Any:
        if not self._takes_aliases:
            self._problem(f"aliases are not read; write *{event.anchor} out", event)
            return None
        value, size = self._anchors.get(event.anchor, (None, 0))
        if event.anchor not in self._anchors:
            self._problem(f"*{event.anchor} stands for nothing before it", event)
        self._values += size
        if self._values > MAX_VALUES:
            raise _RefusedError(f"aliases add up to more than {MAX_VALUES} values", _line(event))
        return value

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
        return self._merged(found, lines) if self._takes_aliases and "<<" in found else found

    def _merged(self, found: dict[str, Any], lines: dict[str, int]) -> dict[str, Any]:
        """Give *found* what it merges in; what it says itself stays, and the first of several wins."""
        given, line = found.pop("<<"), lines.pop("<<")
        for part in given if isinstance(given, list) else [given]:
            if not isinstance(part, dict):
                self._source.problems.append(Problem((*self._path, "<<"), "only mappings can be merged in", line))
                continue
            for key, value in part.items():
                if found.setdefault(key, value) is value:
                    lines.setdefault(key, line)
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


def yaml_text(value: Any) -> str:
    """Return *value* as YAML that :func:`read_source` reads back alike, mappings in their order."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110))


class _Dumper(_DUMPER):  # type: ignore[misc]
    """Writes no aliases, and quotes where plain text would become a number."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def _represent_text(dumper: Any, text: str) -> Any:
    style: str | None = None
    if not isinstance(plain_scalar(text), str):
        style = "'"
    elif "\r" in text or NOT_IN_YAML.search(text):
        style = '"'
    elif "\n" in text:
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
