import pytest
from mcp.server.mcpserver.exceptions import ToolError

from worker.mcp.shipped_server import convert_time, extract_dates, parse_table, text_statistics
from worker.ocr.sample import SAMPLE_TEXT


def test_words_sentences_and_lines_are_counted():
    counted = text_statistics("Der Hund bellt. Der Hund schläft!\nWer weiß es?", top=2)
    assert (counted.words, counted.unique_words, counted.sentences, counted.lines) == (9, 7, 3, 2)
    assert counted.most_common_words == {"der": 2, "hund": 2}
    assert counted.characters_without_spaces == 38


def test_a_text_without_words_has_no_average():
    counted = text_statistics("  \n ")
    assert (counted.words, counted.sentences, counted.average_word_length) == (0, 0, None)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(
            ("2026-07-01T12:00", "Europe/Berlin", "UTC"), ("2026-07-01T10:00:00+00:00", -2, False), id="summer"
        ),
        pytest.param(
            ("2026-01-01T12:00", "UTC", "Asia/Kolkata"), ("2026-01-01T17:30:00+05:30", 5.5, False), id="half-hour"
        ),
        pytest.param(
            ("2026-07-01T12:00+09:00", "UTC", "America/New_York"),
            ("2026-06-30T23:00:00-04:00", -13, True),
            id="own-offset",
        ),
    ],
)
def test_times_are_converted_with_the_rules_of_the_zones(given, expected):
    converted = convert_time(*given)
    assert (converted.target, converted.difference_hours, converted.is_dst) == expected


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../../etc/passwd", "/etc/passwd", "Europe"])
def test_what_is_no_zone_is_told(zone):
    with pytest.raises(ToolError, match="no IANA time zone"):
        convert_time("2026-07-01T12:00", "UTC", zone)


def test_what_is_no_time_is_told():
    with pytest.raises(ToolError, match="no ISO 8601 time"):
        convert_time("tomorrow", "UTC", "UTC")


def test_a_german_table_is_read_with_its_numbers():
    table = parse_table('Artikel;Menge;Preis\n"Fräser; lang";4;1.039,90\nÖl;;7,50\n', decimal="comma")
    assert table.columns == ["Artikel", "Menge", "Preis"]
    assert table.rows[0] == {"Artikel": "Fräser; lang", "Menge": 4, "Preis": 1039.9}
    assert table.types == {"Artikel": "text", "Menge": "integer", "Preis": "number"}
    assert table.rows[1]["Menge"] is None


def test_odd_tables_are_read_as_they_are():
    table = parse_table("a\ta\t\n007\t1\t\n")
    assert table.columns == ["a", "a 2", "column 3"]
    assert table.rows == [{"a": "007", "a 2": 1, "column 3": None}]
    assert table.types["column 3"] == "empty"
    assert parse_table("a,b\n1").rows == [{"a": 1, "b": None}]
    with pytest.raises(ToolError, match="empty"):
        parse_table(" \n ")


def test_a_long_table_says_that_it_was_cut():
    table = parse_table("n\n" + "\n".join(map(str, range(1500))))
    assert (len(table.rows), table.row_count, table.truncated) == (1000, 1500, True)


def test_dates_are_found_in_many_forms_and_impossible_ones_are_not():
    text = "2026-10-12, 12.10.2026, 1. März 2025, March 2, 2025, 3/4/2026; not 31.02.2026 nor 2026-13-01 nor 1.2.20267"
    found = [(hit.iso, hit.text) for hit in extract_dates(text).dates]
    assert found == [
        ("2026-10-12", "2026-10-12"),
        ("2026-10-12", "12.10.2026"),
        ("2025-03-01", "1. März 2025"),
        ("2025-03-02", "March 2, 2025"),
        ("2026-04-03", "3/4/2026"),
    ]
    assert extract_dates("3/4/2026", order="month_first").dates[0].iso == "2026-03-04"


def test_the_dates_of_the_shipped_invoice_are_found():
    assert [hit.iso for hit in extract_dates(SAMPLE_TEXT).dates] == ["2026-10-12", "2026-10-09"]
