"""The OpenAPI document, made from the operations themselves, so that it cannot leave one out."""

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, get_args, get_origin

from pydantic import BaseModel, TypeAdapter

from analytics.store.paging import Page
from dashboard.api.operations import PREFIX, CursorQuery, Operation
from dashboard.auth.roles import Role

_PARAMETER = re.compile(r"{(?P<name>\w+)(?::(?P<kind>\w+))?}")
_KINDS: dict[str | None, dict[str, Any]] = {
    None: {"type": "string"},
    "uuid": {"type": "string", "format": "uuid"},
    "int": {"type": "integer"},
}
_REFERENCE = "#/components/schemas/{model}"
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "required": ["type", "title", "status", "detail", "code", "retryable"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What failed, what was not done, what to do next."},
        "code": {"type": "string", "description": "Short name of the kind of error, for programs."},
        "retryable": {"type": "boolean"},
        "correlation_id": {"type": "string"},
        "context": {"type": "object"},
    },
}
_REFUSALS = {
    "401": "Not signed in, or the token is no longer valid.",
    "403": "The role does not allow it.",
    "422": "What was sent cannot be used; `context.problems` says where.",
    "503": "A part is away; try again.",
}


def openapi_document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of *operations*."""
    schemas: dict[str, Any] = {"Problem": _PROBLEM}
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = PREFIX + _PARAMETER.sub(r"{\g<name>}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Helmsight",
            "version": version("helmsight"),
            "description": "Everything the pages show and do. Times are UTC with offset, intervals half-open,"
            " absence is null.",
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "An API token, made on the Admin page."},
                "session": {"type": "apiKey", "in": "cookie", "name": "helmsight_session"},
            },
        },
    }


def _operation(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = {
        "operationId": operation.handler.__name__,
        "summary": operation.summary,
        "tags": [operation.area],
        "x-role": operation.role.label,
        "description": f"Needs the role {operation.role.label}."
        + ("" if operation.role is Role.ADMIN else " Higher roles may too."),
        "parameters": _parameters(operation, schemas),
        "responses": _responses(operation, schemas),
    }
    if operation.body_media_type == "multipart/form-data":
        form = {"type": "object", "required": ["file"], "properties": {"file": {"type": "string", "format": "binary"}}}
        document["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": form}}}
    elif operation.bodies:
        content = {media_type: {"schema": schema} for media_type, schema in operation.bodies.items()}
        document["requestBody"] = {"required": True, "content": content}
    elif operation.body is not None:
        content = {operation.body_media_type: {"schema": _schema(operation.body, schemas, mode="validation")}}
        document["requestBody"] = {"required": True, "content": content}
    return document


def _parameters(operation: Operation, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    found = [
        {"name": match["name"], "in": "path", "required": True, "schema": _KINDS[match["kind"]]}
        for match in _PARAMETER.finditer(operation.path)
    ]
    found += [
        {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
        for name, text in operation.headers.items()
    ]
    if operation.query is None:
        return found
    schema = operation.query.model_json_schema(ref_template=_REFERENCE)
    schemas.update(schema.pop("$defs", {}))
    for name, field in schema.get("properties", {}).items():
        parameter = {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": field}
        if "description" in field:
            parameter["description"] = field.pop("description")
        found.append(parameter)
    return found


def _responses(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    done: dict[str, Any] = {"description": "Done."}
    if operation.returns is not None:
        done["content"] = {operation.media_type: {"schema": _answer(operation, schemas)}}
    problem = {"application/problem+json": {"schema": {"$ref": _REFERENCE.format(model="Problem")}}}
    refusals = {status: {"description": text, "content": problem} for status, text in _REFUSALS.items()}
    if "{" in operation.path:
        refusals["404"] = {"description": "There is no such thing.", "content": problem}
    return {str(operation.status): done, **dict(sorted(refusals.items()))}


def _answer(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    if operation.returns is bytes:
        return {"type": "string", "format": "binary"}
    if get_origin(operation.returns) is Page:
        (row,) = get_args(operation.returns)
        counts = {name: {"type": "integer"} for name in ("page", "limit", "total", "pages")}
        return _envelope({"items": {"type": "array", "items": _schema(row, schemas)}, **counts})
    if operation.query is not None and issubclass(operation.query, CursorQuery):
        rows = {"type": "array", "items": _schema(operation.returns, schemas)}
        cursor = {"type": ["string", "null"], "description": "Send as `after` for the next page."}
        return _envelope({"items": rows, "limit": {"type": "integer"}, "next": cursor})
    return _schema(operation.returns, schemas)


def _envelope(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _schema(kind: Any, schemas: dict[str, Any], *, mode: Any = "serialization") -> dict[str, Any]:
    schema = TypeAdapter(kind).json_schema(ref_template=_REFERENCE, mode=mode)
    schemas.update(schema.pop("$defs", {}))
    is_named = isinstance(kind, type) and (issubclass(kind, BaseModel) or hasattr(kind, "__dataclass_fields__"))
    if is_named and "$ref" not in schema:
        schemas[kind.__name__] = schema
        return {"$ref": _REFERENCE.format(model=kind.__name__)}
    return schema
