"""JSON Schema: what a value violates, as (path, reason); parameters with their defaults.

Schemas never fetch anything: a reference to another document is a problem.
"""

from collections.abc import Mapping
from typing import Any

import jsonschema_rs

from analytics.core.errors import InputError
from worker.workflow.templates import has_template

Path = tuple[str | int, ...]

MAX_REASON = 400
"""Characters; messages quote the value that is wrong."""


def schema_problem(schema: Any) -> tuple[Path, str] | None:
    """Return what is wrong with *schema* itself, or None."""
    try:
        validator(schema)
    except jsonschema_rs.ValidationError as error:
        return tuple(error.instance_path), error.message
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        return (), str(error).splitlines()[0]
    return None


def validator(schema: Any) -> jsonschema_rs.Validator:
    """Return a validator for *schema* that opens no connection."""
    return jsonschema_rs.validator_for(schema, offline=True)


def violations(
    checker: jsonschema_rs.Validator, value: Any, *, templated: bool = False, most: int = 100
) -> list[tuple[Path, str]]:
    """Return where *value* is not what *checker* wants, and why.

    Args:
        checker: Of a schema.
        value: A JSON value.
        templated: Strings that hold a template pass: their value is known when the node runs.
        most: About how many are looked for.
    """
    found: list[tuple[Path, str]] = []
    for error in checker.iter_errors(value):
        if len(found) >= most:
            break
        path: Path = tuple(error.instance_path)
        if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.AdditionalProperties):
            found += [((*path, name), f"there is no key {name!r} here") for name in error.kind.unexpected]
        elif not (templated and _is_template(value, path)):
            found.append((path, _shortened(error.message)))
    return found


def complete_params(schema: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return *params* with the schema's defaults added.

    Raises:
        InputError: If they do not fit *schema*; ``context["problems"]`` has a path and a reason for each.
    """
    defaults = {
        name: inner["default"]
        for name, inner in schema.get("properties", {}).items()
        if isinstance(inner, Mapping) and "default" in inner
    }
    full = defaults | dict(params)
    problems = [
        {"line": None, "path": ".".join(("params", *map(str, path))), "reason": reason}
        for path, reason in violations(validator(dict(schema)), full)
    ]
    if problems:
        listed = "; ".join(f"{problem['path']}: {problem['reason']}" for problem in problems[:5])
        raise InputError(f"The parameters do not fit the workflow: {listed}. Nothing was queued.", problems=problems)
    return full


def _shortened(message: str) -> str:
    """Return *message* without the middle of a large value in it."""
    half = MAX_REASON // 2
    return message if len(message) <= MAX_REASON else f"{message[:half]} … {message[-half:]}"


def _is_template(value: Any, path: Path) -> bool:
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return False
    return has_template(value)
