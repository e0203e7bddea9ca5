"""The node kind ``transform``: reshape JSON by a list of declared steps; nothing is evaluated.

Each step takes the value of the one before. Steps on rows (pick, rename, where, sort, set, group) work on a list of
objects, or on one object as a list of one. ``{field}`` in a text names a field of the row.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from analytics.core.errors import InputError
from worker.workflow.conditions import OPERATORS, holds
from worker.workflow.node_kind import Idempotence, NodeCall, NodeKind, Transport
from worker.workflow.templates import as_text, look_up, parse_path

MAX_ROWS = 100_000

Rows = list[dict[str, Any]]

_FIELD = re.compile(r"\{([^{}]+)\}")
_NUMBER = (int, float)

_NAMES = {"type": "array", "items": {"type": "string"}, "minItems": 1}
_MAPPING = {"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1}
_CONDITION = {
    "type": "object",
    "required": ["field", "is"],
    "additionalProperties": False,
    "properties": {
        "field": {"type": "string"},
        "is": {"enum": list(OPERATORS)},
        "value": {},
    },
}
_AGGREGATE = {
    "type": "object",
    "required": ["as", "do"],
    "additionalProperties": False,
    "properties": {
        "as": {"type": "string"},
        "do": {"enum": ["count", "sum", "mean", "min", "max", "first", "last"]},
        "field": {"type": "string"},
    },
}
_GROUP = {
    "type": "object",
    "required": ["aggregates"],
    "additionalProperties": False,
    "properties": {
        "by": {"type": "array", "items": {"type": "string"}},
        "aggregates": {"type": "array", "items": _AGGREGATE, "minItems": 1},
    },
}
_SORT = {
    "type": "object",
    "required": ["by"],
    "additionalProperties": False,
    "properties": {"by": {"type": "string"}, "descending": {"type": "boolean"}},
}
_STEPS: dict[str, Any] = {
    "get": {"type": "string"},
    "pick": _NAMES,
    "drop": _NAMES,
    "rename": _MAPPING,
    "where": {"type": "array", "items": _CONDITION, "minItems": 1},
    "sort": _SORT,
    "limit": {"type": "integer", "minimum": 0},
    "set": _MAPPING,
    "group": _GROUP,
    "text": {"type": "string"},
    "join": {"type": "string"},
    "first": {"const": True},
    "count": {"const": True},
}


def _run(call: NodeCall) -> Any:
    value = call.config["input"]
    before = _size(value)
    for number, step in enumerate(call.config["steps"], 1):
        if call.stop.is_set():
            raise InputError("The transformation was stopped.")
        ((name, argument),) = step.items()
        try:
            value = _DO[name](value, argument)
        except InputError as error:
            raise InputError(f"Step {number} ({name}): {error.message}") from error
    said = f"{before} became {_size(value)} in {len(call.config['steps'])} steps"
    call.log.info(said)
    return value


def _size(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    return "nothing" if value is None else f"a text of {len(value)}" if isinstance(value, str) else "a value"


def _rows(value: Any) -> Rows:
    rows = [value] if isinstance(value, dict) else value
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError("it needs an object or a list of objects; nothing was transformed.")
    if len(rows) > MAX_ROWS:
        raise InputError(f"{len(rows)} rows are more than {MAX_ROWS}; nothing was transformed.")
    return rows


def _field(row: Mapping[str, Any], path: str) -> Any:
    """Return the field of *row* at *path*, or None when it is not there."""
    if path in row:
        return row[path]
    try:
        return look_up(parse_path(path), row)
    except InputError:
        return None


def _get(value: Any, path: str) -> Any:
    return look_up(parse_path(path), value)


def _pick(value: Any, names: Sequence[str]) -> Rows:
    return [{name: _field(row, name) for name in names} for row in _rows(value)]


def _drop(value: Any, names: Sequence[str]) -> Rows:
    gone = set(names)
    return [{name: inner for name, inner in row.items() if name not in gone} for row in _rows(value)]


def _rename(value: Any, names: Mapping[str, str]) -> Rows:
    return [{names.get(name, name): inner for name, inner in row.items()} for row in _rows(value)]


def _where(value: Any, conditions: Sequence[Mapping[str, Any]]) -> Rows:
    return [row for row in _rows(value) if all(_holds(row, condition) for condition in conditions)]


def _holds(row: Mapping[str, Any], condition: Mapping[str, Any]) -> bool:
    return holds(_field(row, condition["field"]), condition["is"], condition.get("value"))


def _sort(value: Any, argument: Mapping[str, Any]) -> Rows:
    def place(row: Mapping[str, Any]) -> tuple[int, Any]:
        found = _field(row, argument["by"])
        if _is_number(found):
            return 0, found
        return (1, found) if isinstance(found, str) else (2, "")

    return sorted(_rows(value), key=place, reverse=argument.get("descending", False))


def _limit(value: Any, most: int) -> Any:
    return value[:most] if isinstance(value, list) else value


def _set(value: Any, fields: Mapping[str, str]) -> Rows:
    return [{**row, **{name: _filled(row, text) for name, text in fields.items()}} for row in _rows(value)]


def _text(value: Any, template: str) -> Any:
    if isinstance(value, list):
        return [_filled(row, template) for row in _rows(value)]
    return _filled(_rows(value)[0], template)


def _filled(row: Mapping[str, Any], template: str) -> Any:
    """Return *template* with ``{field}`` replaced; a text that is one field keeps the field's type."""
    whole = _FIELD.fullmatch(template)
    if whole is not None:
        return _field(row, whole[1].strip())

    def fill(match: re.Match[str]) -> str:
        found = _field(row, match[1].strip())
        return "" if found is None else as_text(found)

    return _FIELD.sub(fill, template)


def _join(value: Any, separator: str) -> str:
    if not isinstance(value, list):
        raise InputError("it needs a list; nothing was transformed.")
    return separator.join(as_text(item) for item in value)


def _first(value: Any, _: bool) -> Any:  # noqa: FBT001 - the step's argument
    if not isinstance(value, list):
        raise InputError("it needs a list; nothing was transformed.")
    return value[0] if value else None


def _count(value: Any, _: bool) -> int:  # noqa: FBT001 - the step's argument
    if not isinstance(value, list | dict | str):
        raise InputError("it needs a list, an object or a text; nothing was transformed.")
    return len(value)


def _group(value: Any, argument: Mapping[str, Any]) -> Rows:
    by = argument.get("by", [])
    groups: dict[str, tuple[dict[str, Any], Rows]] = {}
    for row in _rows(value):
        key = {name: _field(row, name) for name in by}
        groups.setdefault(as_text(list(key.values())), (key, []))[1].append(row)
    if not by and not groups:
        groups[""] = ({}, [])
    return [
        {**key, **{item["as"]: _aggregate(rows, item) for item in argument["aggregates"]}}
        for key, rows in groups.values()
    ]


def _aggregate(rows: Rows, item: Mapping[str, Any]) -> Any:
    """Return one aggregate; None when there is no value to aggregate."""
    if item["do"] == "count" and "field" not in item:
        return len(rows)
    if "field" not in item:
        raise InputError(f"the aggregate {item['as']!r} needs a `field`; nothing was transformed.")
    values = [found for found in (_field(row, item["field"]) for row in rows) if found is not None]
    match item["do"]:
        case "count":
            return len(values)
        case "first":
            return values[0] if values else None
        case "last":
            return values[-1] if values else None
        case what:
            return _of_numbers(what, list(_numbers(values)))


def _of_numbers(what: str, numbers: Sequence[float]) -> float | None:
    if not numbers:
        return None
    match what:
        case "sum":
            return sum(numbers)
        case "mean":
            return sum(numbers) / len(numbers)
        case "min":
            return min(numbers)
        case _:
            return max(numbers)


def _numbers(values: Sequence[Any]) -> Iterator[float]:
    for value in values:
        if _is_number(value):
            yield value


def _is_number(value: Any) -> bool:
    return isinstance(value, _NUMBER) and not isinstance(value, bool)


_DO: dict[str, Callable[[Any, Any], Any]] = {
    "get": _get,
    "pick": _pick,
    "drop": _drop,
    "rename": _rename,
    "where": _where,
    "sort": _sort,
    "limit": _limit,
    "set": _set,
    "group": _group,
    "text": _text,
    "join": _join,
    "first": _first,
    "count": _count,
}

KIND = NodeKind(
    name="transform",
    summary="Reshapes JSON: pick, rename, filter, sort, group and fill in text.",
    config_schema={
        "type": "object",
        "required": ["input", "steps"],
        "additionalProperties": False,
        "properties": {
            "input": {"description": "What to reshape, usually a template."},
            "steps": {
                "type": "array",
                "maxItems": 50,
                "items": {
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": 1,
                    "additionalProperties": False,
                    "properties": _STEPS,
                },
            },
        },
    },
    transport=Transport.THREAD,
    idempotence=Idempotence.IDEMPOTENT,
    run=_run,
    cacheable=True,
    docs="""Puts out what the last step leaves. Steps on rows (`pick`, `drop`, `rename`, `where`, `sort`, `set`,
`group`) take a list of objects, or one object as a list of one; `{field}` in a text names a field of the row.

| Step | What it does |
|---|---|
| `get: a.b[0]` | goes down a path |
| `pick: [a, b]`, `drop: [a]` | keeps or takes away fields |
| `rename: {old: new}` | gives fields other names |
| `where: [{field, is, value}]` | keeps rows for which every condition holds |
| `sort: {by, descending}`, `limit: 10` | orders rows, keeps the first |
| `set: {name: "{a} of {b}"}` | fills fields in |
| `group: {by, aggregates: [{as, do, field}]}` | a row for each group: count, sum, mean, min, max, first, last |
| `text: "{a}"`, `join: ", "` | makes text |
| `first: true`, `count: true` | the first item; how many there are |

```yaml
- id: slow
  kind: transform
  needs: [history]
  config:
    input: "{{ nodes.history.output.rows }}"
    steps:
      - where: [{field: seconds, is: ">", value: 60}]
      - sort: {by: seconds, descending: true}
      - limit: 10
```
""",
)
