"""Mappings of a document read field by field: what is missing, of the wrong kind or unknown becomes a problem."""

import enum
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeVar

from analytics.slo.specs.durations import duration, kind_of, number, share
from analytics.slo.specs.problems import Problems, nearest

E = TypeVar("E", bound=enum.StrEnum)
T = TypeVar("T")

MAX_TEXT = 20_000

_BITS = 64
_LABEL_HINT = "letters, digits and _, no digit first"
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)


class Fields:
    """One mapping of a document. Reading a field makes it known; :meth:`close` complains of the others."""

    def __init__(self, values: Mapping[str, Any], path: str, problems: Problems) -> None:
        self.values = values
        self.path = path
        self.problems = problems
        self._known: set[str] = set()

    def at(self, name: str) -> str:
        """Return the path of the field *name*."""
        return f"{self.path}.{name}" if self.path else name

    def has(self, name: str) -> bool:
        """Return whether the field is there and not null."""
        self._known.add(name)
        return self.values.get(name) is not None

    def error(self, name: str, message: str, hint: str | None = None) -> None:
        """Complain of the field *name*."""
        self.problems.error(self.at(name), message, hint)

    def text(self, name: str, *, required: bool = False) -> str | None:
        """Return text without white space around it; None when it is not there. Numbers are taken as written."""
        value = self._value(name, required=required)
        if value is None:
            return None
        if isinstance(value, dict | list | bool) or (isinstance(value, int) and value.bit_length() > _BITS):
            self.error(name, f"text is needed, not {kind_of(value)}")
            return None
        found = str(value).strip()
        if len(found) > MAX_TEXT:
            self.error(name, f"it has {len(found)} characters, more than {MAX_TEXT}")
            return None
        if not found and required:
            self.error(name, "it is empty")
        return found or None

    def number(self, name: str, *, required: bool = False) -> Decimal | None:
        """Return a finite number; None when it is not there."""
        return self._read(name, number, required=required)

    def whole(self, name: str, *, least: int = 0) -> int | None:
        """Return a whole number of at least *least*; None when it is not there."""
        found = self.number(name)
        if found is None:
            return None
        if found != int(found) or found < least:
            self.error(name, f"{found} is not a whole number of at least {least}")
            return None
        return int(found)

    def share(self, name: str, *, required: bool = False) -> Decimal | None:
        """Return a share of 1; None when it is not there."""
        return self._read(name, share, required=required)

    def duration(self, name: str, *, required: bool = False) -> timedelta | None:
        """Return a length of time above 0; None when it is not there."""
        text = self.text(name, required=required)
        found = self.problems.built(self.at(name), lambda: duration(text)) if text else None
        if found == timedelta():
            self.error(name, "it has no length")
            return None
        return found

    def flag(self, name: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self._value(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.error(name, f"true or false is needed, not {kind_of(value)}")
            return default
        return value

    def choice(self, name: str, kinds: type[E], *, required: bool = False) -> E | None:
        """Return one of *kinds*; None when it is not there."""
        text = self.text(name, required=required)
        if text is None:
            return None
        try:
            return kinds(text)
        except ValueError:
            self.error(name, f"{text!r} is not known", nearest(text, [item.value for item in kinds]))
            return None

    def mapping(self, name: str, *, required: bool = False) -> "Fields | None":
        """Return a mapping; None when it is not there."""
        value = self._value(name, required=required)
        if value is None:
            return None
        return fields(value, self.at(name), self.problems)

    def items(self, name: str, *, required: bool = False) -> list["Fields"]:
        """Return a list of mappings; empty when it is not there."""
        found = [fields(item, f"{self.at(name)}[{place}]", self.problems) for place, item in self._list(name)]
        if not found and required:
            self.error(name, "at least one is needed")
        return [item for item in found if item is not None]

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts; empty when it is not there."""
        found = []
        for place, item in self._list(name):
            if isinstance(item, str) and item.strip():
                found.append(item.strip())
            else:
                self.error(f"{name}[{place}]", f"text is needed, not {kind_of(item)}")
        return tuple(found)

    def label_names(self, name: str) -> tuple[str, ...]:
        """Return a list of different names of labels; empty when it is not there."""
        found: list[str] = []
        for place, text in enumerate(self.texts(name)):
            if not _LABEL.fullmatch(text):
                self.error(f"{name}[{place}]", f"{text[:100]!r} is no name of a label", _LABEL_HINT)
            elif text in found:
                self.error(f"{name}[{place}]", f"the label {text!r} is given twice")
            else:
                found.append(text)
        return tuple(found)

    def labels(self, name: str, *, any_key: bool = False) -> dict[str, str]:
        """Return texts by name, sorted; numbers, true and false are taken as written.

        Args:
            name: The field.
            any_key: Whether names need not be names of Prometheus labels.
        """
        value = self._value(name)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.error(name, f"a mapping is needed, not {kind_of(value)}")
            return {}
        found = {}
        for key, item in value.items():
            if isinstance(item, dict | list) or item is None:
                self.error(f"{name}.{key}", f"text is needed, not {kind_of(item)}")
            elif not any_key and not _LABEL.fullmatch(str(key)):
                self.error(f"{name}.{key}", f"{key!r} is no name of a label", _LABEL_HINT)
            else:
                found[str(key)] = str(item).lower() if isinstance(item, bool) else str(item)
        return dict(sorted(found.items()))

    def only(self, names: Mapping[str, T]) -> tuple[str, T] | None:
        """Return the one of *names* that is there, with what it stands for; None, with a problem, otherwise."""
        given = [name for name in names if self.has(name)]
        if len(given) == 1:
            return given[0], names[given[0]]
        wanted = f"exactly one of {', '.join(names)} is needed"
        self.problems.error(self.path, f"{wanted}, not {' and '.join(given)}" if given else wanted)
        return None

    def ignore(self, *names: str) -> None:
        """Take *names* as known without reading them."""
        self._known.update(names)

    def close(self, *, is_lenient: bool = False) -> None:
        """Complain of fields that nobody asked for; when *is_lenient*, only where reading is strict."""
        complain = self.problems.forgive if is_lenient else self.problems.error
        for name in self.values:
            if name not in self._known:
                complain(self.at(name), "this field is not known", nearest(name, self._known))

    def _value(self, name: str, *, required: bool = False) -> Any:
        self._known.add(name)
        value = self.values.get(name)
        if value is None and required:
            self.error(name, "it is missing")
        return value

    def _read(self, name: str, read: Callable[[object], T], *, required: bool) -> T | None:
        value = self._value(name, required=required)
        return None if value is None else self.problems.built(self.at(name), lambda: read(value))

    def _list(self, name: str) -> list[tuple[int, Any]]:
        value = self._value(name)
        if value is None:
            return []
        if not isinstance(value, list | tuple):
            self.error(name, f"a list is needed, not {kind_of(value)}")
            return []
        return list(enumerate(value))


def label_name(text: str) -> str:
    """Return *text* as the name of a label: other characters become ``_``."""
    name = re.sub(r"\W", "_", text, flags=re.ASCII)
    return f"_{name}" if name[:1].isdigit() else name


def fields(value: object, path: str, problems: Problems) -> Fields | None:
    """Return *value* as fields; None, with a problem, when it is no mapping of names."""
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return Fields(value, path, problems)
    problems.error(path, f"a mapping is needed, not {kind_of(value)}")
    return None
