"""Templates in node configurations: ``{{ params.x }}`` and ``{{ nodes.fetch.output.items[0].id }}``.

Each begins with a root: ``params``, ``nodes`` and ``run`` everywhere, ``item`` and ``index`` in the body of a
``foreach``, ``loop`` in that of a ``while``, ``event`` in a trigger. A path walks dictionaries by key and lists by
index, never attributes of Python objects; there are no calls, no operators and no filters. A string that is one
template keeps the type of what it names; inside a longer string the value becomes text. A path that ends in ``?`` may
name nothing: then the key or the item is left out.
"""

import functools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from analytics.core.errors import InputError

ROOTS = ("params", "nodes", "run")
"""What every template of a definition may begin with."""

MAX_PATH = 500
"""Characters of a path."""

_TEMPLATE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_PATH = re.compile(r"[A-Za-z_][\w-]*(?:\.[A-Za-z_0-9][\w-]*|\[\d{1,6}\])*", re.ASCII)
_INTERNAL = re.compile(r"__\w+__", re.ASCII)
_CONTAINERS = (dict, list)
_ABSENT = object()
_PART = re.compile(r"[\w-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reference:
    """One template: the path it names, in parts, and where in the configuration it stands."""

    parts: tuple[str, ...]
    where: tuple[str | int, ...]

    @property
    def path(self) -> str:
        """Return the path as it is written."""
        return ".".join(self.parts)


@functools.lru_cache(maxsize=8192)
def parse_path(text: str) -> tuple[str, ...]:
    """Return the parts of the path *text*.

    Raises:
        InputError: If *text* is not a path.
    """
    text = text.strip()
    if len(text) > MAX_PATH or _PATH.fullmatch(text) is None:
        raise InputError(
            f"{text[:80]!r} is not a path such as params.name or nodes.fetch.output.items[0]; templates have no calls,"
            " operators or filters"
        )
    parts = tuple(_PART.findall(text))
    inside = next((part for part in parts if _INTERNAL.fullmatch(part)), None)
    if inside is not None:
        raise InputError(f"{inside!r} in {text[:80]!r} belongs to Python's internals; templates read JSON values only")
    return parts


def unknown_roots(value: Any, roots: Collection[str]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield each template in *value* that begins with none of *roots* or is no path, as its place and the reason."""
    try:
        for reference in references(value):
            if reference.parts[0] not in roots:
                yield reference.where, f"the template {reference.path!r} has to begin with {either(roots)}"
    except InputError as error:
        yield error.context["where"], error.message


def either(words: Collection[str]) -> str:
    """Return *words* as a choice: "a, b or c"."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def has_template(value: object) -> bool:
    """Tell whether *value* is a string with a template in it."""
    return isinstance(value, str) and "{{" in value and _TEMPLATE.search(value) is not None


def references(value: Any, where: tuple[str | int, ...] = ()) -> Iterator[Reference]:
    """Yield every template in *value*, a JSON value.

    Raises:
        InputError: At the first template that is not a path, with ``context["where"]``.
    """
    found: list[tuple[str, tuple[str | int, ...]]] = []
    if isinstance(value, str):
        found.append((value, where))
    elif isinstance(value, Mapping | list):
        _find_templates(value, list(where), found)
    for text, place in found:
        for match in _TEMPLATE.finditer(text):
            try:
                parts = parse_path(match[1].strip().removesuffix("?"))
            except InputError as error:
                raise InputError(error.message, where=place) from None
            yield Reference(parts, place)


def _find_templates(
    value: Mapping[str, Any] | list[Any], path: list[str | int], found: list[tuple[str, tuple[str | int, ...]]]
) -> None:
    """Add each text inside *value* that may hold a template to *found*, with its place below *path*."""
    items: Iterable[tuple[str | int, Any]] = enumerate(value) if isinstance(value, list) else value.items()
    for key, inner in items:
        if isinstance(inner, str):
            if "{{" in inner:
                found.append((inner, (*path, key)))
        elif isinstance(inner, _CONTAINERS):
            path.append(key)
            _find_templates(inner, path, found)
            path.pop()


def resolve(value: Any, scope: Mapping[str, Any]) -> Any:
    """Return *value* with every template replaced by what it names in *scope*.

    Raises:
        InputError: If a template names something that is not there.
    """
    if isinstance(value, str):
        if "{{" not in value:
            return value
        whole = _TEMPLATE.fullmatch(value.strip())
        if whole is not None and "{{" not in whole[1]:
            return _value_of(whole[1], scope)
        return _TEMPLATE.sub(lambda match: _text_of(match[1], scope), value)
    if isinstance(value, Mapping):
        inner = {key: resolve(item, scope) for key, item in value.items()}
        return {key: item for key, item in inner.items() if item is not _ABSENT}
    if isinstance(value, list):
        return [item for item in (resolve(item, scope) for item in value) if item is not _ABSENT]
    return value


def _value_of(template: str, scope: Mapping[str, Any]) -> Any:
    template = template.strip()
    if not template.endswith("?"):
        return look_up(parse_path(template), scope)
    try:
        return look_up(parse_path(template[:-1]), scope)
    except InputError:
        return _ABSENT


def _text_of(template: str, scope: Mapping[str, Any]) -> str:
    value = _value_of(template, scope)
    return "" if value is _ABSENT else as_text(value)


def look_up(parts: tuple[str, ...], scope: Any) -> Any:
    """Return what *parts* name in *scope*, dictionaries by key and lists by index.

    Raises:
        InputError: If a part is not there; the message says which, and what is.
    """
    found = scope
    for depth, part in enumerate(parts):
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            raise InputError(
                f"The template {'.'.join(parts)!r} names {part!r}, which is not in"
                f" {'.'.join(parts[:depth]) or 'the run'}{_contents(found)}."
            )
    return found


def as_text(value: Any) -> str:
    """Return a JSON value as it stands inside a longer string: text as it is, the rest as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _contents(value: Any) -> str:
    if isinstance(value, Mapping):
        names = sorted(str(key) for key in value)[:8]
        return f" (it has {', '.join(names)})" if names else " (it is empty)"
    if isinstance(value, list):
        return f" (a list of {len(value)})"
    return f" (a {type(value).__name__})"
