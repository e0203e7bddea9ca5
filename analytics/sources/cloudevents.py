"""CloudEvents 1.0 as they come over HTTP: one, a batch, or one whose attributes are headers; and plain JSON.

What one row holds is not looked at here, only what the request as a whole is.

Source:
    CloudEvents 1.0.2, JSON event format, sections 3 and 4; HTTP protocol binding, section 3.
"""

import codecs
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import orjson

from analytics.core.errors import InputError

MOST_EVENTS = 50_000
"""Of one request."""
ONE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
PLAIN = "application/json"
_HEADER = "ce-"
_LONGEST_INTEGER = 30


def read_events(body: bytes, headers: Mapping[str, str]) -> Sequence[Any]:
    """Return the events of a request, each as it came.

    Text that is not UTF-8 does not spoil the rest: it is left in its row, with surrogates for the wrong bytes.

    Args:
        body: Of the request.
        headers: By lower-case name.

    Raises:
        InputError: If it is compressed, in another form, no JSON, or has too many events; nothing was stored.
    """
    if headers.get("content-encoding", "identity") != "identity":
        raise InputError("Events are taken uncompressed; nothing was stored. Send them without Content-Encoding.")
    media_type, charset = _media_type(headers)
    if charset not in {"", "utf-8", "utf8", "us-ascii"}:
        raise InputError(f"Events are taken in UTF-8, not {charset[:40]!r}; nothing was stored.")
    if f"{_HEADER}specversion" in headers:
        return [_from_headers(body, headers, media_type)]
    if media_type not in {ONE, BATCH, PLAIN}:
        raise InputError(
            f"Send events as {ONE}, {BATCH} or {PLAIN}, not {media_type[:80] or 'without Content-Type'!r};"
            " nothing was stored."
        )
    document = _parsed(body)
    if media_type == BATCH and not isinstance(document, list):
        raise InputError(f"The body of {BATCH} is a list of events; nothing was stored.")
    rows = document if isinstance(document, list) else [document]
    if len(rows) > MOST_EVENTS:
        raise InputError(
            f"The body has {len(rows):,} events; {MOST_EVENTS:,} are the most. Nothing was stored; send less at once."
        )
    return rows


def _from_headers(body: bytes, headers: Mapping[str, str], media_type: str) -> dict[str, Any]:
    """Return the event whose attributes are the headers ``ce-…`` and whose data is the body."""
    event: dict[str, Any] = {
        name.removeprefix(_HEADER): unquote(value, errors="surrogateescape")
        for name, value in headers.items()
        if name.startswith(_HEADER)
    }
    event.pop("data", None)
    if not body:
        return event
    is_json = media_type in {"", PLAIN} or media_type.endswith("+json")
    event["data"] = _parsed(body) if is_json else body.decode("utf-8", "surrogateescape")
    return event


def _media_type(headers: Mapping[str, str]) -> tuple[str, str]:
    kind, *parameters = headers.get("content-type", "").split(";")
    pairs = (parameter.strip().partition("=") for parameter in parameters)
    charset = next((value.strip('" ') for name, _, value in pairs if name.strip().lower() == "charset"), "")
    return kind.strip().lower(), charset.lower()


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        first = error
    try:
        # Slower, but takes a row with broken text or an absurd number for what it is, so that the rest can go in.
        text = body.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")
        return json.loads(text, parse_int=_integer, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise InputError(f"The body is not JSON ({first}); nothing was stored.") from first


def _integer(digits: str) -> float:
    return int(digits) if len(digits) < _LONGEST_INTEGER else math.inf


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
