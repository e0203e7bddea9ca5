"""Conditions: JSON that is true or false over a run's values; no code is evaluated.

A comparison is ``{value: "{{ nodes.a.output.n }}", is: "==", than: 3}``; ``all``, ``any`` and ``not`` combine
conditions. ``present`` and ``absent`` take no ``than``. Values of different types are never in order, so ``<`` and
its like are false for them; true and 1 are different values.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from worker.workflow.templates import resolve

Path = tuple[str | int, ...]

OPERATORS = ("==", "!=", "<", "<=", ">", ">=", "in", "contains", "present", "absent")
ALONE = frozenset({"present", "absent"})
"""Operators that look at one value."""
MAX_DEPTH = 20

CONDITION_DEFS: dict[str, Any] = {
    "condition": {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "dependentRequired": {"is": ["value"], "than": ["is", "value"]},
        "properties": {
            "value": {"description": "What is looked at, usually a template."},
            "is": {"enum": list(OPERATORS)},
            "than": {"description": "What it is compared with."},
            "all": {"type": "array", "items": {"$ref": "#/$defs/condition"}, "minItems": 1, "maxItems": 100},
            "any": {"type": "array", "items": {"$ref": "#/$defs/condition"}, "minItems": 1, "maxItems": 100},
            "not": {"$ref": "#/$defs/condition"},
        },
    }
}
"""For the ``$defs`` of a schema that refers to ``#/$defs/condition``."""
CONDITION_SCHEMA: dict[str, Any] = {"$ref": "#/$defs/condition", "$defs": CONDITION_DEFS}

_FORMS = ("value", "all", "any", "not")
_Number = (int, float)


def evaluate(condition: Mapping[str, Any], scope: Mapping[str, Any]) -> bool:
    """Tell whether *condition*, as it stands in the definition, holds over *scope*.

    Only what decides is looked at: ``all`` ends at the first that is false, ``any`` at the first that is true.

    Raises:
        InputError: If a template without ``?`` names what is not there.
    """
    if "all" in condition:
        return all(evaluate(inner, scope) for inner in condition["all"])
    if "any" in condition:
        return any(evaluate(inner, scope) for inner in condition["any"])
    if "not" in condition:
        return not evaluate(condition["not"], scope)
    operands = resolve({key: condition[key] for key in ("value", "than") if key in condition}, scope)
    return holds(operands.get("value"), condition["is"], operands.get("than"))


def holds(found: Any, operator: str, wanted: Any) -> bool:
    """Tell whether *found* stands to *wanted* as *operator* says; both are JSON values, None: not there."""
    match operator:
        case "present" | "absent":
            return (found is not None) == (operator == "present")
        case "==" | "!=":
            return _same(found, wanted) == (operator == "==")
        case "in":
            return isinstance(wanted, list) and any(_same(found, item) for item in wanted)
        case "contains":
            return _contains(found, wanted)
        case _:
            return _in_order(found, operator, wanted)


def condition_problems(condition: Any, where: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield what the schema cannot say about *condition*: one form each, and operands that fit the operator."""
    open_parts: list[tuple[Any, Path]] = [(condition, where)]
    while open_parts:
        part, path = open_parts.pop()
        if not isinstance(part, Mapping):
            continue
        forms = [name for name in _FORMS if name in part]
        if len(path) - len(where) > 2 * MAX_DEPTH:
            yield path, f"conditions are nested deeper than {MAX_DEPTH}"
            return
        if len(forms) != 1:
            yield path, "a condition has either `value` and `is`, or one of `all`, `any`, `not`"
        elif forms == ["value"]:
            yield from _comparison_problems(part, path)
        for name in ("all", "any"):
            if isinstance(part.get(name), list):
                open_parts += [(inner, (*path, name, place)) for place, inner in enumerate(part[name])]
        if "not" in part:
            open_parts.append((part["not"], (*path, "not")))


def _comparison_problems(part: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, str]]:
    operator = part.get("is")
    if operator is None:
        yield path, f"`is` is missing; one of {', '.join(OPERATORS)}"
    elif operator in ALONE and "than" in part:
        yield (*path, "than"), f"`is: {operator}` looks at one value; take `than` away"
    elif operator in OPERATORS and operator not in ALONE and "than" not in part:
        yield path, f"`is: {operator}` needs `than`, what it is compared with"


def _same(left: Any, right: Any) -> bool:
    """Compare as JSON does: a truth value is no number."""
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _contains(found: Any, wanted: Any) -> bool:
    if isinstance(found, list):
        return any(_same(item, wanted) for item in found)
    return isinstance(wanted, str) and isinstance(found, str | dict) and wanted in found


def _in_order(found: Any, order: str, wanted: Any) -> bool:
    """Compare two numbers or two texts; others have no order."""
    if not ((_is_number(found) and _is_number(wanted)) or (isinstance(found, str) and isinstance(wanted, str))):
        return False
    match order:
        case "<":
            return bool(found < wanted)
        case "<=":
            return bool(found <= wanted)
        case ">":
            return bool(found > wanted)
        case _:
            return bool(found >= wanted)


def _is_number(value: Any) -> bool:
    return isinstance(value, _Number) and not isinstance(value, bool)
