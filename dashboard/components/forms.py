"""A form from a JSON Schema: the kinds of fields that parameters and tool arguments have, errors next to the field.

Strings, integers, numbers, booleans, choices and lists of strings get their own widget; anything else is written as
JSON text. What was typed is checked against the schema before it is handed over.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jsonschema_rs
import orjson
import streamlit as st

from analytics.core.errors import InputError
from dashboard import formats

FieldKind = Literal["string", "text", "integer", "number", "boolean", "choice", "choices", "strings", "json"]
_LONG_TEXT = 200
_WHOLE = ""
"""Key of problems that belong to no single field."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form."""

    name: str
    kind: FieldKind
    label: str
    description: str | None
    is_required: bool
    default: Any
    """None when the schema gives none."""
    options: tuple[Any, ...]
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to send a form."""

    name: str
    label: str
    icon: str | None = None
    may_be_empty: bool = False
    """Whether it may be taken without the required fields, as a rejection may."""


def fields_of(schema: Mapping[str, Any]) -> list[Field]:
    """Return the fields of the object that *schema* describes, in its order, the required ones first."""
    properties = schema.get("properties") or {}
    required = set(schema.get("required") or ())
    fields = [_field(name, _resolved(part, schema), name in required) for name, part in properties.items()]
    return sorted(fields, key=lambda field: not field.is_required)


def _field(name: str, schema: Mapping[str, Any], required: bool) -> Field:  # noqa: FBT001 - internal
    title = str(schema.get("title") or name.replace("_", " ").capitalize())
    options: tuple[Any, ...] = tuple(schema.get("enum") or ())
    items = schema.get("items")
    if schema.get("type") == "array" and isinstance(items, Mapping) and items.get("enum"):
        options = tuple(items["enum"])
    return Field(
        name=name,
        kind=_kind(schema),
        label=title,
        description=schema.get("description"),
        is_required=required,
        default=schema.get("default"),
        options=options,
        schema=schema,
    )


_PLAIN_KINDS: Mapping[str, FieldKind] = {"integer": "integer", "number": "number", "boolean": "boolean"}


def _kind(schema: Mapping[str, Any]) -> FieldKind:
    if schema.get("enum"):
        return "choice"
    word = str(schema.get("type"))
    if word == "string":
        is_long = schema.get("format") == "textarea" or schema.get("maxLength", 0) > _LONG_TEXT
        return "text" if is_long else "string"
    items = schema.get("items")
    if word == "array" and isinstance(items, Mapping):
        if items.get("enum"):
            return "choices"
        return "strings" if items.get("type") == "string" else "json"
    return _PLAIN_KINDS.get(word, "json")


def _resolved(part: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a local reference, and take the one form beside null of an optional field."""
    if not isinstance(part, Mapping):
        return {}
    outer = {name: value for name, value in part.items() if name in {"title", "description", "default"}}
    reference = part.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        target: Any = root
        for step in reference[2:].split("/"):
            target = target.get(step, {}) if isinstance(target, Mapping) else {}
        return {**_resolved(target, root), **outer}
    for word in ("anyOf", "oneOf"):
        forms = [
            form for form in part.get(word) or () if not (isinstance(form, Mapping) and form.get("type") == "null")
        ]
        if len(forms) == 1:
            return {**_resolved(forms[0], root), **outer}
    if isinstance(part.get("type"), Sequence) and not isinstance(part["type"], str):
        kinds = [kind for kind in part["type"] if kind != "null"]
        return {**part, "type": kinds[0]} if len(kinds) == 1 else part
    return part


def collect(fields: Sequence[Field], typed: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the arguments that *typed* widget values stand for, and by field what cannot be read."""
    arguments: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for field in fields:
        try:
            value = _value(field, typed.get(field.name))
        except InputError as error:
            problems[field.name] = error.message
            continue
        if value is not None:
            arguments[field.name] = value
        elif field.is_required:
            problems[field.name] = "This field is required."
    return arguments, problems


def _value(field: Field, typed: Any) -> Any:
    match field.kind:
        case "strings":
            lines = [line.strip() for line in str(typed or "").splitlines() if line.strip()]
            return lines or ([] if field.is_required and typed is not None else None)
        case "choices":
            return list(typed) if typed else None
        case "json":
            if typed is None or not str(typed).strip():
                return None
            try:
                return orjson.loads(str(typed))
            except orjson.JSONDecodeError as error:
                raise InputError(f"This is not JSON: {error}.") from error
        case "string" | "text":
            return typed or None
        case _:
            return typed


def check(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, str]:
    """Return by field what *schema* does not allow; an empty key holds what belongs to no field."""
    problems: dict[str, str] = {}
    for error in jsonschema_rs.validator_for(dict(schema)).iter_errors(dict(arguments)):
        field = str(error.instance_path[0]) if error.instance_path else _WHOLE
        problems.setdefault(field, error.message[:300])
    return problems


def with_defaults(schema: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return *schema* with *values* as the defaults of its fields, so that a form of it starts with them."""
    properties = schema.get("properties") or {}
    parts = {
        name: {**_resolved(part, schema), "default": values[name]} if name in values else part
        for name, part in properties.items()
    }
    return {**schema, "properties": parts}


def draw_form(
    schema: Mapping[str, Any],
    *,
    key: str,
    submit: str,
    icon: str | None = None,
    disabled: bool = False,
    border: bool = True,
) -> dict[str, Any] | None:
    """Draw a form for *schema*; return the arguments on the run in which they were sent and are valid, else None."""
    sent = draw_choice(schema, key=key, choices=[Choice("send", submit, icon)], disabled=disabled, border=border)
    return None if sent is None else sent[1]


def draw_choice(
    schema: Mapping[str, Any], *, key: str, choices: Sequence[Choice], disabled: bool = False, border: bool = True
) -> tuple[str, dict[str, Any]] | None:
    """Draw a form for *schema* that ends in one of several *choices*.

    Returns:
        The name of the choice and the arguments, on the run in which they were sent and are valid; else None.
    """
    fields = fields_of(schema)
    found_key, problems_key = f"{key}.found", f"{key}.problems"

    def send(choice: Choice) -> None:
        typed = {field.name: st.session_state.get(_widget_key(key, field)) for field in fields}
        arguments, problems = collect(fields, typed)
        problems = {} if choice.may_be_empty else problems or check(schema, arguments)
        st.session_state[problems_key] = problems
        st.session_state[found_key] = None if problems else (choice.name, arguments)

    problems: Mapping[str, str] = st.session_state.get(problems_key) or {}
    with st.form(key=f"{key}.form", enter_to_submit=False, border=border):
        if not fields:
            st.caption("Nothing to fill in.")
        for field in fields:
            _draw_field(field, _widget_key(key, field), disabled=disabled)
            if field.name in problems:
                st.markdown(f":red[:material/error: {formats.escaped(problems[field.name])}]")
        if _WHOLE in problems:
            st.markdown(f":red[:material/error: {formats.escaped(problems[_WHOLE])}]")
        with st.container(horizontal=True):
            for choice in choices:
                st.form_submit_button(
                    choice.label,
                    icon=choice.icon,
                    disabled=disabled,
                    on_click=send,
                    args=(choice,),
                    key=f"{key}.{choice.name}",
                )
    found: tuple[str, dict[str, Any]] | None = st.session_state.pop(found_key, None)
    return found


def _widget_key(key: str, field: Field) -> str:
    return f"{key}.{field.name}"


def _draw_field(field: Field, key: str, *, disabled: bool) -> None:
    label = f"{field.label} *" if field.is_required else field.label
    shared: dict[str, Any] = {"key": key, "help": field.description, "disabled": disabled}
    _DRAWERS[field.kind](field, label, shared)


def _string(field: Field, label: str, shared: dict[str, Any]) -> None:
    st.text_input(label, value=field.default or "", max_chars=field.schema.get("maxLength"), **shared)


def _text(field: Field, label: str, shared: dict[str, Any]) -> None:
    st.text_area(label, value=field.default or "", height=120, **shared)


def _integer(field: Field, label: str, shared: dict[str, Any]) -> None:
    st.number_input(label, value=_whole(field.default), step=1, **_bounds(field, int), **shared)


def _number(field: Field, label: str, shared: dict[str, Any]) -> None:
    st.number_input(label, value=_real(field.default), **_bounds(field, float), **shared)


def _boolean(field: Field, label: str, shared: dict[str, Any]) -> None:
    if field.is_required or field.default is not None:
        st.checkbox(label, value=bool(field.default), **shared)
    else:
        st.selectbox(label, [True, False], index=None, format_func=_yes_no, placeholder="Not set", **shared)


def _choice(field: Field, label: str, shared: dict[str, Any]) -> None:
    index = field.options.index(field.default) if field.default in field.options else None
    st.selectbox(label, field.options, index=index, placeholder="Choose", **shared)


def _choices(field: Field, label: str, shared: dict[str, Any]) -> None:
    st.multiselect(label, field.options, default=field.default or [], **shared)


def _strings(field: Field, label: str, shared: dict[str, Any]) -> None:
    st.text_area(f"{label} (one a line)", value="\n".join(field.default or ()), height=100, **shared)


def _json(field: Field, label: str, shared: dict[str, Any]) -> None:
    text = "" if field.default is None else orjson.dumps(field.default, option=orjson.OPT_INDENT_2).decode()
    st.text_area(f"{label} (JSON)", value=text, height=120, **shared)


_DRAWERS: Mapping[FieldKind, Callable[[Field, str, dict[str, Any]], None]] = {
    "string": _string,
    "text": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "choice": _choice,
    "choices": _choices,
    "strings": _strings,
    "json": _json,
}


def _bounds(field: Field, kind: type[int] | type[float]) -> dict[str, Any]:
    low, high = field.schema.get("minimum"), field.schema.get("maximum")
    return {
        "min_value": None if low is None else kind(low),
        "max_value": None if high is None else kind(high),
    }


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def _real(value: Any) -> float | None:
    return None if value is None else float(value)


def _yes_no(value: bool) -> str:  # noqa: FBT001 - called by the widget
    return "Yes" if value else "No"
