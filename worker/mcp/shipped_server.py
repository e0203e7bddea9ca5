"""The MCP server that Helmsight ships: small, exact tools that need no network and no files.

Run over stdio with ``python -m worker.mcp.shipped_server``. The pool of a worker starts it like any other server.
"""

import calendar
import csv
import io
import re
import zoneinfo
from collections import Counter
from datetime import date, datetime, timedelta
from typing import Annotated, Literal

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field

LONGEST_TEXT = 200_000
MOST_ROWS = 1000
_READS = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False, destructive_hint=False)

Text = Annotated[str, Field(max_length=LONGEST_TEXT)]

server = MCPServer(
    "helmsight",
    title="Helmsight",
    instructions="Counts text, converts times, reads tables and finds dates. Nothing leaves the process.",
    log_level="WARNING",
)


class TextStatistics(BaseModel):
    """What a text consists of."""

    characters: int
    characters_without_spaces: int
    words: int
    unique_words: int
    sentences: int
    lines: int
    average_word_length: float | None = Field(description="Characters; null when there is no word.")
    most_common_words: dict[str, int]


class ConvertedTime(BaseModel):
    """One moment in two zones."""

    source: str = Field(description="ISO 8601 with offset, in the zone it was given in.")
    target: str = Field(description="The same moment in the target zone.")
    target_zone: str
    difference_hours: float = Field(description="Offset of the target minus that of the source.")
    is_dst: bool = Field(description="Whether daylight saving time holds in the target zone then.")


class Table(BaseModel):
    """A table with typed columns."""

    columns: list[str]
    types: dict[str, Literal["integer", "number", "text", "empty"]]
    rows: list[dict[str, int | float | str | None]]
    row_count: int
    truncated: bool


class FoundDate(BaseModel):
    """A date in a text."""

    iso: str
    text: str
    position: int = Field(description="Where it begins, in characters from 0.")


class FoundDates(BaseModel):
    """The dates of a text, in its order."""

    dates: list[FoundDate]


@server.tool(title="Text statistics", annotations=_READS)
def text_statistics(
    text: Text, top: Annotated[int, Field(ge=0, le=50, description="How many common words to list.")] = 10
) -> TextStatistics:
    """Count the characters, words, sentences and lines of a text and list its most common words."""
    words = re.findall(r"\w+(?:['\u2019-]\w+)*", text)
    counted = Counter(word.casefold() for word in words)
    common = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:top]
    return TextStatistics(
        characters=len(text),
        characters_without_spaces=len(re.sub(r"\s", "", text)),
        words=len(words),
        unique_words=len(counted),
        sentences=len(re.findall(r"[^.!?…\s][^.!?…]*(?:[.!?…]+(?=\s|$)|$)", text)),
        lines=len(text.splitlines()),
        average_word_length=round(sum(map(len, words)) / len(words), 2) if words else None,
        most_common_words=dict(common),
    )


@server.tool(title="Convert time", annotations=_READS)
def convert_time(
    time: Annotated[str, Field(max_length=64, description="ISO 8601, for example 2026-10-12T09:30.")],
    source_zone: Annotated[str, Field(max_length=64, description="IANA zone, for example Europe/Berlin.")],
    target_zone: Annotated[str, Field(max_length=64, description="IANA zone, for example Asia/Tokyo.")],
) -> ConvertedTime:
    """Convert a time from one IANA zone to another. A time with its own offset keeps it."""
    try:
        moment = datetime.fromisoformat(time)
    except ValueError as error:
        raise ToolError(f"{time!r} is no ISO 8601 time.") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=_zone(source_zone))
    target = moment.astimezone(_zone(target_zone))
    difference = (target.utcoffset() or _ZERO) - (moment.utcoffset() or _ZERO)
    return ConvertedTime(
        source=moment.isoformat(),
        target=target.isoformat(),
        target_zone=target_zone,
        difference_hours=difference.total_seconds() / 3600,
        is_dst=bool(target.dst()),
    )


@server.tool(title="Read a table", annotations=_READS)
def parse_table(
    text: Text,
    delimiter: Annotated[Literal["auto", "comma", "semicolon", "tab", "pipe"], Field()] = "auto",
    decimal: Annotated[Literal["point", "comma"], Field(description="What separates decimals.")] = "point",
) -> Table:
    """Read delimited text (CSV and the like) whose first row names the columns; numbers become numbers."""
    if not text.strip():
        raise ToolError("The text is empty.")
    sign = _DELIMITERS[delimiter] if delimiter != "auto" else _guess_delimiter(text)
    rows = [row for row in csv.reader(io.StringIO(text.strip("\n")), delimiter=sign) if any(map(str.strip, row))]
    columns = _unique_names(rows[0])
    shown = rows[1 : MOST_ROWS + 1]
    values = [
        {name: _value(row[index] if index < len(row) else "", decimal) for index, name in enumerate(columns)}
        for row in shown
    ]
    return Table(
        columns=columns,
        types={name: _column_type([row[name] for row in values]) for name in columns},
        rows=values,
        row_count=len(rows) - 1,
        truncated=len(rows) - 1 > MOST_ROWS,
    )


@server.tool(title="Find dates", annotations=_READS)
def extract_dates(
    text: Text,
    order: Annotated[Literal["day_first", "month_first"], Field(description="How 3/4/2026 is meant.")] = "day_first",
) -> FoundDates:
    """Find dates such as 2026-10-12, 12.10.2026, 12/10/2026, 12. Oktober 2026 and October 12, 2026."""
    found = [hit for match in _DATE.finditer(text) if (hit := _found_date(match, order)) is not None]
    return FoundDates(dates=found)


_ZERO = timedelta(0)
_DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
_MONTHS = {"januar": 1, "februar": 2, "märz": 3, "mai": 5, "juni": 6, "juli": 7, "oktober": 10, "dezember": 12}
_MONTHS |= {name.casefold(): number for number, name in enumerate(calendar.month_name) if name}
_MONTHS |= {name.casefold(): number for number, name in enumerate(calendar.month_abbr) if name}
_WORD = "|".join(sorted(_MONTHS, key=len, reverse=True))
_DATE = re.compile(
    r"(?<![\d.])(?:(?P<iso>\d{4}-\d{2}-\d{2})"
    r"|(?P<dotted>\d{1,2}\.\d{1,2}\.\d{4})"
    r"|(?P<slashed>\d{1,2}/\d{1,2}/\d{4})"
    rf"|(?P<day_word>\d{{1,2}}\.?\s+(?:{_WORD})\.?\s+\d{{4}})"
    rf"|(?P<word_day>(?:{_WORD})\.?\s+\d{{1,2}},?\s+\d{{4}}))(?!\d)",
    re.IGNORECASE,
)


def _zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ToolError(f"{name!r} is no IANA time zone.") from error


def _guess_delimiter(text: str) -> str:
    first = text.strip("\n").splitlines()[0]
    return max(_DELIMITERS.values(), key=first.count)


def _unique_names(row: list[str]) -> list[str]:
    seen: Counter[str] = Counter()
    names = []
    for index, cell in enumerate(row, start=1):
        name = cell.strip() or f"column {index}"
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return names


def _value(cell: str, decimal: str) -> int | float | str | None:
    text = cell.strip()
    if not text:
        return None
    plain = text.replace(".", "").replace(",", ".") if decimal == "comma" else text.replace(",", "")
    if re.fullmatch(r"[+-]?\d{1,15}", plain) and not re.fullmatch(r"[+-]?0\d+", plain):
        return int(plain)
    if re.fullmatch(r"[+-]?\d{1,15}\.\d+", plain):
        return float(plain)
    return text


def _column_type(values: list[int | float | str | None]) -> Literal["integer", "number", "text", "empty"]:
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return "empty"
    if kinds == {int}:
        return "integer"
    return "number" if kinds <= {int, float} else "text"


def _found_date(match: re.Match[str], order: str) -> FoundDate | None:
    text = match[0]
    numbers = [int(part) for part in re.findall(r"\d+", text)]
    word = next((part for part in re.findall(r"[^\W\d]+", text) if part.casefold() in _MONTHS), None)
    if match["iso"]:
        year, month, day = numbers
    elif word is not None:
        month, (day, year) = _MONTHS[word.casefold()], numbers
    elif match["slashed"] and order == "month_first":
        month, day, year = numbers
    else:
        day, month, year = numbers
    try:
        found = date(year, month, day)
    except ValueError:
        return None
    return FoundDate(iso=found.isoformat(), text=text, position=match.start())


if __name__ == "__main__":
    server.run("stdio")
