"""One event as it is taken in: what it may hold, checked field by field, so that the rest of a batch goes in."""

import math
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

CLOCK_SLACK = timedelta(minutes=5)
"""So far the clock of a sender may be ahead of ours."""
MOST_SHOWN = 100
"""Rejected rows that an answer names; the others are counted."""
MOST_PROPS_BYTES = 32 * 2**10
"""Of one event's properties as JSON."""

_SPACE = uuid.UUID("6f1c2e0a-8f7e-5d54-9a5c-5b1f0b0a7c11")
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*")
_MOST_COST_USD = 10_000_000
_MOST_DURATION_MS = 1000 * 86400 * 366
_LENGTHS = {
    "id": 200,
    "source": 200,
    "kind": 100,
    "subject": 300,
    "service": 100,
    "props.email": 254,
    "props.owner": 200,
    "props.lead_id": 300,
}
LEAD_STATUSES = ("new", "contacted", "qualified", "won", "lost")
_WITH_SUBJECT = frozenset({"lead", "context"})
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_SHOWN_CHARACTERS = 60
_UNFIT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NUL = "\x00"
_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_ENVELOPE = frozenset({"specversion", "datacontenttype", "dataschema"})
_ALIASES = {"type": "kind", "time": "at", "data": "props"}


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that can be stored."""

    id: uuid.UUID
    """Made of the source and of what the source calls it: the same event has the same id, however often it is told."""
    told_id: str
    """What the source calls it."""
    at: datetime
    kind: str
    """Dotted, such as ``web.page_view``."""
    source: str
    subject: str | None = None
    """The person, lead or context it is about."""
    project_id: uuid.UUID | None = None
    props: Mapping[str, Any] = field(default_factory=dict)
    service: str | None = None
    duration_ms: float | None = None
    cost_usd: float | None = None
    """None when it is not known; never 0 for that."""
    is_timed: bool = True
    """False when its sender did not say when it happened, so that *at* is when we were told."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was not taken, and why."""

    index: int
    """Its place in the batch, from 0; of a file the line it begins in, from 1."""
    id: str | None
    """What its sender calls it, shortened; None when that cannot be read."""
    path: str
    """The field, such as ``data.duration_ms``; empty for the whole row."""
    reason: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch: ``received == stored + known + rejected``."""

    received: int
    stored: int
    known: int
    """Told before, in this batch or an earlier one; nothing was changed by them."""
    rejected: int
    problems: Sequence[Rejected] = ()
    """The first :data:`MOST_SHOWN` of those rejected."""
    leads: int = 0
    """Leads that were added or changed."""
    contexts: int = 0
    """Contexts that were added or changed."""


class UnfitError(ValueError):
    """A field holds what it must not."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(reason)
        self.path = path
        self.reason = reason


def event_id(source: str, told_id: str) -> uuid.UUID:
    """Return the id of the event that *source* calls *told_id*."""
    return uuid.uuid5(_SPACE, f"{len(source)}:{source}{told_id}")


def from_cloudevent(row: Any, *, now: datetime, oldest: datetime) -> NewEvent:
    """Return the event of *row*, a CloudEvent in its JSON form, or a plain one without ``specversion``.

    A CloudEvent has an id, a source and a type. A plain one may call the last ``kind``, the time ``at`` and the data
    ``props``, needs no id, which it is then given, and comes from ``api`` where it does not say otherwise.

    Raises:
        UnfitError: If it cannot be stored.
    """
    if not isinstance(row, dict):
        raise UnfitError("", f"an event is a JSON object, not {_named(row)}")
    is_cloudevent = "specversion" in row
    if is_cloudevent:
        _check_envelope(row)
        given = {_ALIASES.get(name, name): value for name, value in row.items() if name not in _ENVELOPE}
    else:
        given = {_ALIASES.get(name, name): value for name, value in row.items()}
    props = given.pop("props", None)
    if props is None:
        props = {}
    elif not isinstance(props, dict):
        props = {"value": props}
    known = {name: given.pop(name) for name in _FIELDS if name in given}
    if not known.keys() >= _MEASURES:
        known |= {name: props[name] for name in _MEASURES & props.keys() - known.keys()}
        props = {name: value for name, value in props.items() if name not in _MEASURES}
    if is_cloudevent:
        props = {**given, **props}
    else:
        if given:
            raise UnfitError(
                _clean(str(next(iter(given)))), "is no field of an event; what you want to add goes into `data`"
            )
        known = {"source": "api", **known}
        if known.get("id") is None:
            known["id"] = str(uuid.uuid4())
    return checked(known, props, now=now, oldest=oldest, names=_TOLD if is_cloudevent else {})


def checked(
    known: Mapping[str, Any],
    props: Mapping[str, Any],
    *,
    now: datetime,
    oldest: datetime,
    names: Mapping[str, str] | None = None,
) -> NewEvent:
    """Return the event that has the fields *known* and the properties *props*.

    Args:
        known: By our names; numbers as numbers, the time as text or None.
        props: What else it says.
        now: The present.
        oldest: Events before it are refused.
        names: What the sender calls our fields, for what is told of them.

    Raises:
        UnfitError: If it cannot be stored.
    """
    get = known.get
    try:
        told_id = _text("id", get("id"), is_needed=True)
        source = _text("source", get("source"), is_needed=True)
        kind = _kind(get("kind"))
        at = _time(get("at"), now, oldest)
        subject = _text("subject", get("subject")) or None
        check_kind_of(kind, subject, props)
        return NewEvent(
            event_id(source, told_id),
            told_id,
            at or now,
            kind,
            source,
            subject,
            _project(get("project_id")),
            _props(props),
            _text("service", get("service")) or None,
            _number("duration_ms", get("duration_ms"), _MOST_DURATION_MS),
            _number("cost_usd", get("cost_usd"), _MOST_COST_USD),
            at is not None,
        )
    except UnfitError as error:
        if names:
            head, dot, rest = error.path.partition(".")
            error.path = names.get(head, head) + dot + rest
        raise


def check_kind_of(kind: str, subject: str | None, props: Mapping[str, Any]) -> None:
    """Check what kinds that we know must hold besides.

    Raises:
        UnfitError: If something is missing or wrong.
    """
    family = kind.partition(".")[0]
    if family not in _WITH_SUBJECT:
        return
    if subject is None:
        raise UnfitError("subject", f"is needed: it names the {family}")
    if family != "lead":
        return
    _number("props.p_score", props.get("p_score"), 1)
    status = props.get("status")
    if status is not None and status not in LEAD_STATUSES:
        raise UnfitError("props.status", f"is {_named(status)}, not one of {', '.join(LEAD_STATUSES)}")
    for name in ("email", "owner", "lead_id"):
        value = _text(f"props.{name}", props.get(name))
        if name == "email" and value and not looks_like_email(value):
            raise UnfitError("props.email", f"{shown(value)!r} is no e-mail address")


def looks_like_email(value: str) -> bool:
    """Return whether *value* has the form of an e-mail address."""
    return _EMAIL.fullmatch(value) is not None


def shown(value: Any) -> str | None:
    """Return *value* as an id that a report may hold; None when it is no text."""
    if not isinstance(value, str) or not value:
        return None
    return _clean(value)


def _clean(value: str) -> str:
    text = _UNFIT.sub("\N{REPLACEMENT CHARACTER}", value[: _SHOWN_CHARACTERS + 1])
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


# ---- Fields ----


_FIELDS = ("id", "source", "kind", "subject", "at", "service", "duration_ms", "cost_usd", "project_id")
_MEASURES = frozenset({"service", "duration_ms", "cost_usd", "project_id"})
_TOLD = {
    "kind": "type",
    "at": "time",
    "props": "data",
    **{name: f"data.{name}" for name in _MEASURES},
}


def _check_envelope(row: Mapping[str, Any]) -> None:
    if row["specversion"] != "1.0":
        raise UnfitError("specversion", "only version 1.0 of CloudEvents is understood")
    if "data_base64" in row:
        raise UnfitError("data_base64", "binary data are not kept; send JSON as `data`")


def _text(name: str, value: Any, *, is_needed: bool = False) -> str:
    if value is None or value == "":
        if is_needed:
            raise UnfitError(name, "is needed")
        return ""
    if not isinstance(value, str):
        raise UnfitError(name, f"is {_named(value)} where text belongs")
    if len(value) > _LENGTHS[name]:
        raise UnfitError(name, f"has {len(value):,} characters; {_LENGTHS[name]} are the most")
    if not value.isprintable() and _UNFIT.search(value):
        raise UnfitError(name, _unfit_reason(value))
    return value


def _kind(value: Any) -> str:
    kind = _text("kind", value, is_needed=True)
    if _KIND.fullmatch(kind) is None:
        raise UnfitError(
            "kind", f"{shown(kind)!r} is no name of a kind: letters, digits, _ and -, parted by dots, a letter first"
        )
    return kind


def _time(value: Any, now: datetime, oldest: datetime) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        moment = value
    elif not isinstance(value, str):
        raise UnfitError("at", f"is {_named(value)} where a time such as 2026-05-04T12:00:00Z belongs")
    else:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise UnfitError("at", f"{shown(value)!r} is no time such as 2026-05-04T12:00:00Z") from None
    if moment.tzinfo is None:
        raise UnfitError("at", f"{shown(str(value))} has no time zone; add one, for example Z")
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise UnfitError("at", "is outside of the years 1 to 9999 in UTC") from None
    if moment > now + CLOCK_SLACK:
        raise UnfitError("at", f"lies in the future: it is {now:%Y-%m-%dT%H:%M:%SZ} here")
    if moment < oldest:
        raise UnfitError("at", f"is older than what is kept, which begins {oldest:%Y-%m-%d}")
    return moment


def _number(name: str, value: Any, most: float) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnfitError(name, f"is {_named(value)} where a number belongs")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise UnfitError(name, "is not a finite number")
    if number < 0:
        raise UnfitError(name, "is negative")
    if number > most:
        raise UnfitError(name, f"is more than {most:,}")
    return number


def _project(value: Any) -> uuid.UUID | None:
    if value is None or value == "":
        return None
    try:
        return uuid.UUID(value)
    except (ValueError, AttributeError, TypeError):
        raise UnfitError("project_id", f"is {_named(value)} where the id of a project belongs") from None


def _props(value: Mapping[str, Any]) -> Mapping[str, Any]:
    if not value:
        return value
    try:
        document = orjson.dumps(value)
    except (TypeError, ValueError):
        raise UnfitError(
            "props", "holds what JSON cannot: broken text, too many levels or too large a number"
        ) from None
    if len(document) > MOST_PROPS_BYTES:
        raise UnfitError("props", f"has {len(document):,} bytes; {MOST_PROPS_BYTES:,} are the most")
    if _ESCAPED_NUL.search(document):
        raise UnfitError("props", "holds a NUL character")
    return value


def _unfit_reason(value: str) -> str:
    if _SURROGATE.search(value):
        return "holds bytes that are no text"
    return "holds a NUL character" if _NUL in value else "holds control characters"


_NAMES: tuple[tuple[type | tuple[type, ...], Callable[[Any], str]], ...] = (
    (bool, lambda value: "true" if value else "false"),
    (str, lambda value: f"the text {shown(value)!r}"),
    ((int, float), lambda value: f"the number {value!s:.40}"),
    (dict, lambda _: "an object"),
    (list, lambda _: "a list"),
)


def _named(value: Any) -> str:
    for kind, words in _NAMES:
        if isinstance(value, kind):
            return words(value)
    return "nothing" if value is None else type(value).__name__
