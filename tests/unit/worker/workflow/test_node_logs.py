import itertools
import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.pools.child_output import LineReader
from worker.workflow.address import NodeAddress
from worker.workflow.logs import MAX_BYTES, MAX_LINE_BYTES, MAX_LINES, LogLine, NodeLog

HERE = NodeAddress(uuid.UUID(int=1), datetime(2026, 1, 1, tzinfo=UTC), "n")


def opened(*, room: int | None = None, epoch: int = 1) -> tuple[NodeLog, list[LogLine]]:
    kept: list[LogLine] = []

    def put(line: LogLine) -> bool:
        if room is not None and len(kept) >= room:
            return False
        kept.append(line)
        return True

    return NodeLog(put, HERE, 1, epoch=epoch), kept


def texts(lines: list[LogLine]) -> list[str]:
    return [line.message for line in lines]


def test_lines_have_numbers_from_zero_and_their_levels():
    log, kept = opened()
    log.debug("a")
    log.info("b")
    log.warning("c")
    log.error("d")
    log.close()
    assert [(line.seq, line.level, line.message) for line in kept] == [
        (0, "debug", "a"), (1, "info", "b"), (2, "warning", "c"), (3, "error", "d")
    ]  # fmt: skip
    assert log.lines == 4


def test_two_claims_that_count_the_same_attempt_keep_their_lines_apart():
    (first, before), (second, after) = opened(epoch=1), opened(epoch=2)
    for _ in range(MAX_LINES + 5):
        first.info("x")
        second.info("x")
    first.close()
    second.close()
    assert {line.seq for line in before}.isdisjoint({line.seq for line in after})
    assert max(line.seq for line in before) < min(line.seq for line in after)


def test_lines_over_the_limit_are_counted_and_told_in_one_line():
    log, kept = opened()
    for number in range(MAX_LINES + 250):
        log.write("info", f"line {number}")
    log.skip(1000, 10_000)
    log.close()
    markers = {line.seq: line for line in kept if line.replaces}
    assert len(kept) - sum(line.replaces for line in kept) == MAX_LINES == log.lines
    assert set(markers) == {MAX_LINES}
    assert markers[MAX_LINES].message.startswith("1,250 lines with ")
    assert markers[MAX_LINES].level == "warning"


def test_bytes_over_the_limit_are_counted_too():
    log, kept = opened()
    for _ in range(MAX_BYTES // 4096 + 10):
        log.info("x" * 4096)
    log.close()
    assert log.lines == MAX_BYTES // 4096
    assert kept[-1].message.startswith("10 lines with 40.0 KiB were not kept")


@pytest.mark.parametrize("text", ["x" * 20_000, "ü" * 10_000, "a" + "€" * 9_000])
def test_a_long_line_is_cut_between_characters_and_says_so(text):
    log, kept = opened()
    log.info(text)
    message, _, rest = kept[0].message.partition(" … ")
    assert text.startswith(message)
    assert MAX_LINE_BYTES - 3 < len(message.encode()) <= MAX_LINE_BYTES
    assert rest == f"({len(text.encode()) - MAX_LINE_BYTES:,} more bytes)"


def test_what_postgresql_cannot_hold_is_replaced():
    log, kept = opened()
    log.info("a\0b")
    log.info("c\ud800d")
    assert texts(kept) == ["a\ufffdb", "c?d"]


def test_lines_for_which_there_is_no_room_count_as_cut():
    log, kept = opened(room=3)
    for _ in range(5):
        log.info("x")
    assert log.lines == len(kept) == 3
    kept.pop()
    log.close()
    assert kept[-1].message.startswith("2 lines with ")


@settings(deadline=None)
@given(
    lines=st.lists(st.text(st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs"]), max_size=40)),
    cuts=st.lists(st.integers(min_value=0, max_value=400), max_size=12),
    is_ended=st.booleans(),
)
def test_lines_are_the_same_however_the_bytes_arrive(lines, cuts, is_ended):
    data = "\n".join(lines).encode() + (b"\n" if is_ended and lines else b"")
    log, kept = opened()
    reader = LineReader(log, "info")
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for begin, end in itertools.pairwise(places):
        reader.feed(data[begin:end])
    reader.end()
    expected = data.decode().split("\n")
    if expected[-1] == "":
        expected.pop()
    assert texts(kept) == expected


@settings(deadline=None)
@given(
    chunks=st.lists(st.binary(max_size=60) | st.just(b"\n" * 50) | st.just(b"y" * 9000), max_size=30),
    full_after=st.integers(min_value=0, max_value=20),
)
def test_every_line_is_either_kept_or_counted(chunks, full_after):
    log, kept = opened()
    log.lines = MAX_LINES - full_after
    reader = LineReader(log, "info")
    for chunk in chunks:
        reader.feed(chunk)
    reader.end()
    data = b"".join(chunks)
    total = data.count(b"\n") + bool(data and not data.endswith(b"\n"))
    assert sum(not line.replaces for line in kept) + log._cut_lines == total


def test_a_line_of_a_hundred_megabytes_is_never_held():
    log, kept = opened()
    reader = LineReader(log, "info")
    block = b"z" * 2**20
    for _ in range(100):
        reader.feed(block)
        assert len(reader._held) < 2 * MAX_LINE_BYTES
    reader.feed(b"\nnext\n")
    assert kept[0].message.endswith(f"({100 * 2**20 - MAX_LINE_BYTES:,} more bytes)")
    assert kept[1].message == "next"


def test_of_a_progress_bar_the_last_state_is_kept():
    log, kept = opened()
    reader = LineReader(log, "warning")
    reader.feed(b"\r 10 %\r 50 %\r100 %\ndone\r\n")
    assert texts(kept) == ["100 %", "done"]
