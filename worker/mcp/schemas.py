"""JSON Schemas of tools: written by strangers, so nothing is fetched and every pattern takes linear time."""

import json
from collections.abc import Mapping
from typing import Any

import jsonschema_rs

MAX_ARGUMENT_BYTES = 2**20
MAX_SCHEMA_BYTES = 2**18
_SHOWN = 5
_OPEN_KEYWORDS = ("additionalProperties", "patternProperties", "allOf", "anyOf", "oneOf", "$ref", "if", "propertyNames")


def compile_schema(schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
    """Return a validator for *schema*.

    Raises:
        ValueError: If it is too large, not valid, refers to another document, or has a pattern that cannot be
            matched in linear time.
    """
    if len(json.dumps(schema)) > MAX_SCHEMA_BYTES:
        raise ValueError(f"it is larger than {MAX_SCHEMA_BYTES:,} bytes")
    try:
        return jsonschema_rs.validator_for(dict(schema), offline=True, pattern_options=jsonschema_rs.RegexOptions())
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        raise ValueError(str(error).split("\n", 1)[0]) from error


def argument_problems(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what is wrong with *arguments*, as ``path`` and ``reason``, the first few.

    Names that a closed list of properties does not have are wrong too, also when the schema leaves that open.

    Raises:
        ValueError: If *schema* itself cannot be used.
    """
    if len(json.dumps(dict(arguments))) > MAX_ARGUMENT_BYTES:
        return [{"path": "", "reason": f"they are larger than {MAX_ARGUMENT_BYTES:,} bytes"}]
    problems = value_problems(compile_schema(schema), dict(arguments))
    known = schema.get("properties", {})
    if not any(keyword in schema for keyword in _OPEN_KEYWORDS):
        problems += [
            {"path": name, "reason": f"there is no such argument; there are: {', '.join(known) or 'none'}"}
            for name in arguments
            if name not in known
        ]
    return problems[:_SHOWN]


def value_problems(validator: jsonschema_rs.Validator, value: Any) -> list[dict[str, str]]:
    """Return where *value* is not what *validator* wants, and why."""
    return [
        {"path": ".".join(map(str, error.instance_path)), "reason": error.message}
        for error in validator.iter_errors(value)
    ]
