"""Templates in node configurations: ``{{ params.x }}`` and ``{{ nodes.fetch.output.items[0].id }}``.

A path walks dictionaries by key and lists by index, never attributes of Python objects; there are no calls,
no operators and no filters. A string that is one template keeps the type of what it names; inside a longer
string the value becomes text. A path that ends in ``?`` may name nothing: then the key or the item is left out.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from analytics.core.errors import InputError

ROOTS = ("params", "nodes", "run")

_TEMPLATE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_PATH = re.compile(r"[A-Za-z_][\w-]*(?:\.[A-Za-z_0-9][\w-]*|\[\d{1,6}\])*", re.ASCII)
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


def parse_path(text: str) -> tuple[str, ...]:
    """Return the parts of the path *text*.

    Raises:
        InputError: If *text* is not a path.
    """
    text = text.strip()
    if _PATH.fullmatch(text) is None:
        raise InputError(f"{text[:80]!r} is not a path such as params.name or nodes.fetch.output.items[0]")
    return tuple(_PART.findall(text))


def has_template(value: object) -> bool:
    """Tell whether *value* is a string with a template in it."""
    return isinstance(value, str) and _TEMPLATE.search(value) is not None


def references(value: Any, where: tuple[str | int, ...] = ()) -> Iterator[Reference]:
    """Yield every template in *value*, a JSON value.

    Raises:
        InputError: At the first template that is not a path, with ``context["where"]``.
    """
    if isinstance(value, str):
        for match in _TEMPLATE.finditer(value):
            try:
                parts = parse_path(match[1].strip().removesuffix("?"))
            except InputError as error:
                raise error.with_context(where=where) from None
            yield Reference(parts, where)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from references(inner, (*where, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from references(inner, (*where, place))


def resolve(value: Any, scope: Mapping[str, Any]) -> Any:
    """Return *value* with every template replaced by what it names in *scope*.

    Raises:
        InputError: If a template names something that is not there.
    """
    if isinstance(value, str):
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
