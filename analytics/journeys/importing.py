"""Events out of CSV files in whatever encoding: told apart, shown before, taken in row by row in bounded memory."""

import codecs
import csv
import hashlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy.orm import Session

from analytics.core.errors import InputError
from analytics.journeys.events import MOST_SHOWN, NewEvent, Rejected, Taken, UnfitError, checked, shown
from analytics.journeys.ingest import store

FIELDS = ("at", "kind", "source", "subject", "id", "service", "duration_ms", "cost_usd", "project_id")
NEEDED = ("at", "kind")
DEFAULT_SOURCE = "import"
ENCODINGS = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8 with a byte order mark",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16, little endian",
    "utf-16-be": "UTF-16, big endian",
    "cp1252": "Windows-1252",
    "latin-1": "Latin-1",
}
"""What files may be written in, as Python and as people call it."""

_DELIMITERS = ",;\t|"
_MOST_COLUMNS = 200
_LONGEST_NAME = 200
_LONGEST_LINE = 2**20
_LONGEST_HEAD = 2**16
_CHUNK_BYTES = 2**20
_HEAD_BYTES = 4096
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
_BATCH = 5000
_NUMBERS = ("duration_ms", "cost_usd")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_BROKEN = "\udc80"
_BROKEN_ERRORS = "helmsight.broken"
_GUESSES: Mapping[str, frozenset[str]] = {
    "at": frozenset({"at", "time", "timestamp", "datetime", "date", "event_time", "occurred_at", "created_at"}),
    "kind": frozenset({"kind", "type", "event", "event_type", "event_name", "action"}),
    "source": frozenset({"source", "channel"}),
    "subject": frozenset({"subject", "user", "user_id", "person", "email", "visitor", "customer", "distinct_id"}),
    "id": frozenset({"id", "event_id", "uuid"}),
    "service": frozenset({"service"}),
    "duration_ms": frozenset({"duration_ms", "duration"}),
    "cost_usd": frozenset({"cost_usd", "cost"}),
    "project_id": frozenset({"project_id", "project"}),
}


@dataclass(frozen=True, slots=True)
class CsvForm:
    """How a file is written."""

    encoding: str
    """One of :data:`ENCODINGS`."""
    encoding_said: str
    """Why we think so, as a sentence."""
    delimiter: str
    columns: Sequence[str]


@dataclass(frozen=True, slots=True)
class Mapped:
    """What columns mean."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Column by field of :data:`FIELDS`; the others become properties."""
    fixed: Mapping[str, str] = field(default_factory=dict)
    """Value by field, for fields that no column has."""
    zone: ZoneInfo | None = None
    """Of times without one; None: they are refused."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a file would be taken for."""

    form: CsvForm
    mapped: Mapped
    rows: Sequence[Mapping[str, str]]
    """The first rows, by column."""
    problems: Sequence[Rejected]
    """Of these rows."""


@dataclass(frozen=True, slots=True)
class _Limits:
    now: datetime
    oldest: datetime


def look_at(
    file: BinaryIO,
    *,
    now: datetime,
    oldest: datetime,
    mapped: Mapped | None = None,
    encoding: str | None = None,
    most: int = 20,
) -> Preview:
    """Return how *file* is written and what its first rows would become; stores nothing.

    Args:
        file: Read from its beginning, and left there.
        now: The present.
        oldest: Events before it are refused.
        mapped: What the columns mean; None: guessed by their names.
        encoding: One of :data:`ENCODINGS`; None: found out.
        most: How many rows.

    Raises:
        InputError: If it is not a table of text, or the columns meant are not there.
    """
    form = form_of(file, encoding)
    mapped = guessed(form.columns) if mapped is None else mapped
    _check_columns(form, mapped)
    rows: list[Mapping[str, str]] = []
    problems: list[Rejected] = []
    with _records(file, form) as records:
        for line, values in islice(records, most):
            rows.append(dict(zip(form.columns, map(_printable, values), strict=False)))
            try:
                _event(values, form, mapped, _Limits(now, oldest))
            except UnfitError as error:
                problems.append(_rejected(line, values, form, mapped, error))
    return Preview(form, mapped, rows, problems)


def import_csv(
    session: Session,
    file: BinaryIO,
    *,
    mapped: Mapped,
    now: datetime,
    oldest: datetime,
    encoding: str | None = None,
) -> Taken:
    """Take in the events of *file*, those that are fit.

    A row without an id is known by all it holds: the same row again, in this file or another, is the same event.
    Nothing waits for imported events: they are history. Safe to run twice.

    Args:
        session: The caller's transaction; nothing is half-applied.
        file: Read from its beginning.
        mapped: What its columns mean.
        now: The present.
        oldest: Events before it are refused.
        encoding: One of :data:`ENCODINGS`; None: found out.

    Raises:
        InputError: If it is not a table of text, or no column tells when and what happened; nothing was stored.
        DependencyError: If PostgreSQL is away.
    """
    form = form_of(file, encoding)
    _check_columns(form, mapped)
    missing = [name for name in NEEDED if name not in mapped.columns and name not in mapped.fixed]
    if missing:
        raise InputError(f"No column is said to hold {' or '.join(missing)}; nothing was stored.")
    taken = Taken(0, 0, 0, 0)
    limits = _Limits(now, oldest)
    with _records(file, form) as records:
        while batch := list(islice(records, _BATCH)):
            events, problems = _events(batch, form, mapped, limits)
            stored = store(session, events)
            taken = replace(
                taken,
                received=taken.received + len(batch),
                stored=taken.stored + len(stored.new),
                known=taken.known + stored.known,
                rejected=taken.rejected + len(problems),
                problems=[*taken.problems, *problems][:MOST_SHOWN],
                leads=taken.leads + stored.leads,
                contexts=taken.contexts + stored.contexts,
            )
    return taken


def form_of(file: BinaryIO, encoding: str | None = None) -> CsvForm:
    """Return how *file* is written; it is left at its beginning.

    Raises:
        InputError: If it is empty, or no table of text.
    """
    if encoding is not None and encoding not in ENCODINGS:
        raise InputError(f"{encoding[:40]!r} is none of the encodings {', '.join(ENCODINGS)}; nothing was read.")
    found, said = (encoding, "as you said") if encoding is not None else _encoding(file)
    with _text(file, found) as text:
        head = text.readline(_LONGEST_HEAD)
    if not head.strip():
        raise InputError("The file has no first line with the names of its columns; nothing was read.")
    if len(head) == _LONGEST_HEAD:
        raise InputError("The file's first line is far too long for names of columns; nothing was read.")
    options = [(len(next(csv.reader([head], delimiter=mark), [])), mark) for mark in _DELIMITERS]
    delimiter = max(options, key=lambda option: option[0])[1]
    with _text(file, found) as text:
        columns = _columns(text, delimiter)
    return CsvForm(found, said, delimiter, columns)


def guessed(columns: Sequence[str]) -> Mapped:
    """Return what *columns* mean by their names; each stands for one field at most."""
    known = {column.strip().lower().replace(" ", "_").replace("-", "_"): column for column in reversed(columns)}
    found = {}
    for name, names in _GUESSES.items():
        exact = known.get(name) or next((known[item] for item in sorted(names) if item in known), None)
        if exact is not None:
            found[name] = exact
    return Mapped(found, {} if "source" in found else {"source": DEFAULT_SOURCE})


def zone_of(name: str | None) -> ZoneInfo | None:
    """Return the time zone called *name*; None for None.

    Raises:
        InputError: If there is none.
    """
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InputError(f"There is no time zone {name[:60]!r}; nothing was stored.") from error


# ---- How a file is written ----


def _encoding(file: BinaryIO) -> tuple[str, str]:
    """Return the encoding of *file* and why; looks at all of it, a piece at a time."""
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    for mark, encoding, name in _MARKS:
        if head.startswith(mark):
            return encoding, f"it begins with the byte order mark of {name}"
    # Text in Western letters has a zero in every other byte of UTF-16 and nowhere else.
    for encoding, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        if len(zeros) > 1 and zeros.count(0) > len(zeros) // 2:
            return encoding, "every other byte is zero"
    good, broken, has_c1 = _counted(file)
    if not broken:
        return "utf-8", "all of it is UTF-8" if good else "it has plain ASCII letters only"
    if good >= broken:
        return "utf-8", f"{good:,} of its letters are UTF-8, and {broken:,} bytes are broken"
    reason = "letters that Latin-1 does not have" if has_c1 else "only letters of Latin-1"
    return "cp1252" if has_c1 else "latin-1", f"it is not UTF-8, and has {reason}"


def _counted(file: BinaryIO) -> tuple[int, int, bool]:
    """Return how many letters beyond ASCII are UTF-8, how many bytes are not, and whether bytes 80 to 9F are there."""
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    good = broken = 0
    has_c1 = False
    while chunk := file.read(_CHUNK_BYTES):
        if chunk.isascii():
            continue
        text = decoder.decode(chunk)
        odd = len(re.findall("[\udc80-\udcff]", text))
        broken += odd
        good += len(re.findall("[^\x00-\x7f]", text)) - odd
        has_c1 = has_c1 or re.search(rb"[\x80-\x9f]", chunk) is not None
    broken += len(decoder.decode(b"", final=True))
    return good, broken, has_c1


def _one_broken(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return _BROKEN, error.end


codecs.register_error(_BROKEN_ERRORS, _one_broken)


@contextmanager
def _text(file: BinaryIO, encoding: str) -> Iterator[io.TextIOWrapper]:
    """Yield *file* as text from its beginning; bytes that are none become one surrogate."""
    file.seek(0)
    text = io.TextIOWrapper(file, encoding=encoding, errors=_BROKEN_ERRORS, newline="")
    try:
        yield text
    finally:
        text.detach()
        file.seek(0)


@contextmanager
def _records(file: BinaryIO, form: CsvForm) -> Iterator[Iterator[tuple[int, Sequence[str]]]]:
    """Yield the rows of *file* after the header, each with the line it begins in."""
    with _text(file, form.encoding) as text:
        reader = csv.reader(_lines(text), delimiter=form.delimiter)
        next(reader, None)
        yield _rows(reader)


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    """Yield lines; one that is too long comes in pieces, which are no rows."""
    while line := text.readline(_LONGEST_LINE):
        yield line


def _rows(reader: Any) -> Iterator[tuple[int, Sequence[str]]]:
    while True:
        line = reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error:
            # A field that is longer than a row may be, mostly because a quotation mark is missing.
            yield line, ()
        else:
            if values:
                yield line, values


def _columns(text: io.TextIOWrapper, delimiter: str) -> Sequence[str]:
    try:
        names = next(csv.reader(_lines(text), delimiter=delimiter), [])
    except csv.Error as error:
        raise InputError(f"The first line cannot be read ({error}); nothing was stored.") from error
    columns = [name.strip() or f"column {place}" for place, name in enumerate(names, 1)]
    if len(columns) > _MOST_COLUMNS:
        raise InputError(f"The file has {len(columns):,} columns; {_MOST_COLUMNS} are the most. Nothing was stored.")
    for name in columns:
        if not name.isprintable() or len(name) > _LONGEST_NAME:
            raise InputError(f"{shown(name)!r} is no name of a column; is this a CSV file? Nothing was stored.")
        if columns.count(name) > 1:
            raise InputError(f"Two columns are called {name!r}; nothing was stored. Give each a name of its own.")
    return columns


def _check_columns(form: CsvForm, mapped: Mapped) -> None:
    for name in (*mapped.columns, *mapped.fixed):
        if name not in FIELDS:
            raise InputError(f"{name[:60]!r} is none of the fields {', '.join(FIELDS)}; nothing was stored.")
    for column in mapped.columns.values():
        if column not in form.columns:
            raise InputError(
                f"There is no column {column[:60]!r}; the file has {', '.join(form.columns)[:500]}. Nothing was stored."
            )


# ---- What a row says ----


def _events(
    batch: Sequence[tuple[int, Sequence[str]]], form: CsvForm, mapped: Mapped, limits: _Limits
) -> tuple[list[NewEvent], list[Rejected]]:
    events, problems = [], []
    for line, values in batch:
        try:
            events.append(_event(values, form, mapped, limits))
        except UnfitError as error:
            problems.append(_rejected(line, values, form, mapped, error))
    return events, problems


def _event(values: Sequence[str], form: CsvForm, mapped: Mapped, limits: _Limits) -> NewEvent:
    if len(values) != len(form.columns):
        if not values:
            raise UnfitError("", "a field is far too long; is a quotation mark missing?")
        raise UnfitError("", f"has {len(values)} columns; the first line has {len(form.columns)}")
    by_column = {column: value for column, value in zip(form.columns, values, strict=True) if value.strip()}
    known: dict[str, Any] = dict(mapped.fixed)
    for name, column in mapped.columns.items():
        value = by_column.pop(column, None)
        known[name] = None if value is None else value.strip()
    known["source"] = known.get("source") or DEFAULT_SOURCE
    known["id"] = known.get("id") or _id_of(values)
    if known.get("at") is None:
        raise UnfitError(mapped.columns.get("at", "at"), "is needed")
    known["at"] = _in_zone(known["at"], mapped.zone)
    for name in _NUMBERS:
        if known.get(name) is not None:
            known[name] = _number(known[name])
    props: dict[str, Any] = by_column
    if "p_score" in props:
        props["p_score"] = _number(props["p_score"].strip())
    return checked(known, props, now=limits.now, oldest=limits.oldest, names=mapped.columns)


def _number(value: str) -> Any:
    """Return *value* as a number, or as it is, to be told of, when it is none."""
    return float(value) if _NUMBER.fullmatch(value) else value


def _in_zone(value: str, zone: ZoneInfo | None) -> Any:
    """Return the time *value* in *zone* if it has none of its own; as it is when it cannot be read."""
    if zone is None:
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return value
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment


def _id_of(values: Sequence[str]) -> str:
    content = "\x1f".join(values).encode("utf-8", "surrogatepass")
    return f"row-{hashlib.sha256(content).hexdigest()[:32]}"


def _rejected(line: int, values: Sequence[str], form: CsvForm, mapped: Mapped, error: UnfitError) -> Rejected:
    column = mapped.columns.get("id")
    place = form.columns.index(column) if column is not None else len(values)
    return Rejected(line, shown(values[place]) if place < len(values) else None, error.path, error.reason)


def _printable(value: str) -> str:
    return value.replace(_BROKEN, "\N{REPLACEMENT CHARACTER}").replace("\x00", "\N{REPLACEMENT CHARACTER}")
