"""CSV files: encodings and delimiters told apart, columns guessed, rows checked one by one."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from analytics.core.errors import InputError
from analytics.journeys.importing import Mapped, Preview, look_at

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HEAD = "time,type,user,city\n"
ROW = "2026-11-20T10:00:00Z,web.visit,ann,Köln\n"


def look(content: bytes, **more: Any) -> Preview:
    return look_at(io.BytesIO(content), now=NOW, oldest=NOW - timedelta(days=400), **more)


@pytest.mark.parametrize(
    ("encoding", "text", "found"),
    [
        pytest.param("utf-8", "Köln", "utf-8", id="UTF-8"),
        pytest.param("utf-8", "Koeln", "utf-8", id="ASCII"),
        pytest.param("utf-8-sig", "Köln", "utf-8-sig", id="UTF-8 with a mark"),
        pytest.param("utf-16", "Köln 🦊", "utf-16", id="UTF-16 with a mark"),
        pytest.param("utf-16-le", "Köln", "utf-16-le", id="UTF-16 little endian"),
        pytest.param("utf-16-be", "Köln", "utf-16-be", id="UTF-16 big endian"),
        pytest.param("latin-1", "Köln", "latin-1", id="Latin-1"),
        pytest.param("cp1252", "Köln „5 €“", "cp1252", id="Windows-1252"),
    ],
)
def test_encodings_are_told_apart(encoding: str, text: str, found: str):
    preview = look((HEAD + ROW.replace("Köln", text)).encode(encoding))

    assert (preview.form.encoding, preview.problems) == (found, [])
    assert preview.rows[0]["city"] == text
    assert preview.form.encoding_said


def test_a_few_broken_bytes_do_not_make_another_encoding():
    preview = look((HEAD + ROW * 3).encode() + b"2026-11-20T10:00:00Z,web.visit,b\xffn,x\n")

    assert preview.form.encoding == "utf-8"
    assert [(problem.index, problem.path) for problem in preview.problems] == [(5, "user")]
    assert preview.rows[3]["user"] == "b\N{REPLACEMENT CHARACTER}n"


def test_letters_far_down_the_file_decide_too():
    preview = look((HEAD + ROW.replace("ö", "oe") * 30_000 + ROW).encode("latin-1"))

    assert preview.form.encoding == "latin-1"


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_delimiters_are_told_apart(mark: str):
    preview = look((HEAD + ROW).replace(",", mark).encode())

    assert (preview.form.delimiter, preview.form.columns) == (mark, ["time", "type", "user", "city"])
    assert preview.problems == []


def test_columns_are_guessed_by_their_names_and_the_source_has_one_of_its_own():
    mapped = look((HEAD + ROW).encode()).mapped

    assert mapped.columns == {"at": "time", "kind": "type", "subject": "user"}
    assert mapped.fixed == {"source": "import"}


def test_each_row_is_told_of_with_its_line_and_reason():
    lines = [
        "2026-11-20T10:00:00,web.visit,a,1,x",  # 2
        "2026-11-20T10:00:00Z,web.visit,a,cheap,x",
        "2026-11-20T10:00:00Z,web.visit,a,-1,x",
        '2026-11-20T10:00:00Z,web.visit,a,1,"two',
        'lines"',
        "2026-11-20T10:00:00Z,web.visit,a,1",  # 7
        "",
        "2026-11-20T10:00:00Z,🦊,a,1,x",  # 9
        ",web.visit,a,1,x",
        "2027-11-20T10:00:00Z,web.visit,a,1,x",
        f"2026-11-20T10:00:00Z,web.visit,{'n' * 10_000},1,x",
        '2026-11-20T10:00:00Z,web.visit,a,1,"' + "x" * 200_000,
    ]
    preview = look(("time,kind,user,cost,note\n" + "\n".join(lines)).encode())

    told = [(problem.index, problem.path, problem.reason) for problem in preview.problems]
    assert [(index, path) for index, path, _ in told] == [
        (2, "time"),
        (3, "cost"),
        (4, "cost"),
        (7, ""),
        (9, "kind"),
        (10, "time"),
        (11, "time"),
        (12, "user"),
        (13, ""),
    ]
    assert "no time zone" in told[0][2]
    assert told[1][2] == "is the text 'cheap' where a number belongs"
    assert told[3][2] == "has 4 columns; the first line has 5"
    assert "quotation mark" in told[-1][2]


def test_times_without_a_zone_are_taken_in_the_zone_that_is_said():
    mapped = Mapped({"at": "time", "kind": "kind"}, zone=ZoneInfo("Europe/Berlin"))

    assert look(b"time,kind\n2026-11-20 12:30:00,a.b\n", mapped=mapped).problems == []
    assert (
        look(b"time,kind\n2026-11-20 13:30:00,a.b\n", mapped=mapped).problems[0].reason.startswith("lies in the future")
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "no first line", id="empty"),
        pytest.param(b"\n\n", "no first line", id="blank"),
        pytest.param(b"a,a\n", "Two columns", id="a name twice"),
        pytest.param(b"GIF89a\0\1\n", "is this a CSV file", id="a picture"),
        pytest.param(",".join(f"c{n}" for n in range(201)).encode(), "201 columns", id="too many columns"),
        pytest.param(b"x" * 2_000_000, "far too long", id="one endless line"),
    ],
)
def test_what_is_no_table_is_refused(content: bytes, reason: str):
    with pytest.raises(InputError, match=reason):
        look(content)


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"mapped": Mapped({"at": "when"})}, id="no such column"),
        pytest.param({"mapped": Mapped({"when": "time"})}, id="no such field"),
        pytest.param({"mapped": Mapped(fixed={"when": "now"})}, id="no such field with a value"),
        pytest.param({"encoding": "rot13"}, id="no such encoding"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused(more: dict[str, Any]):
    with pytest.raises(InputError):
        look((HEAD + ROW).encode(), **more)
