"""Which samples of programs can be used, and what is said of the others."""

from datetime import UTC, datetime
from typing import Any

import pytest

from analytics.kpi.samples import Rejected, check_sample

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def sample(**changes: Any) -> dict[str, Any]:
    return {"name": "orders.open", "value": 3} | changes


@pytest.mark.parametrize(
    ("row", "path"),
    [
        pytest.param("text", "", id="not an object"),
        pytest.param({"value": 1}, "name", id="no name"),
        pytest.param({"name": "x"}, "value", id="no value"),
        pytest.param(sample(value="3"), "value", id="text for a number"),
        pytest.param(sample(value=True), "value", id="a truth value"),
        pytest.param(sample(value=float("nan")), "value", id="not a number"),
        pytest.param(sample(value=10**400), "", id="beyond all numbers"),
        pytest.param(sample(name="Orders Open"), "name", id="a name with a space"),
        pytest.param(sample(name="x" * 10_000), "name", id="a name of ten thousand letters"),
        pytest.param(sample(name="orders\n"), "name", id="a name with a line break"),
        pytest.param(sample(name="system_cpu_ratio"), "name", id="a name of ours"),
        pytest.param(sample(unit="a\0b"), "unit", id="a NUL"),
        pytest.param(sample(tags={"a": 1}), "tags.a", id="a tag that is no text"),
        pytest.param(sample(tags={str(n): "" for n in range(11)}), "tags", id="eleven tags"),
        pytest.param(sample(at="2026-11-01T10:00:00"), "at", id="a time without a zone"),
        pytest.param(sample(at=1_700_000_000), "at", id="a time that is a number"),
        pytest.param(sample(at="2999-01-01T00:00:00Z"), "at", id="the future"),
        pytest.param(sample(at="2020-01-01T00:00:00Z"), "at", id="long ago"),
        pytest.param(sample(at="0001-01-01T00:00:00+14:00"), "at", id="before all time"),
        pytest.param(sample(colour="red"), "colour", id="a field that does not exist"),
        pytest.param(sample(id="17"), "id", id="an id that is none"),
        pytest.param(sample(unit="\ud800"), "", id="half a character"),
    ],
)
def test_a_sample_that_cannot_be_used_is_told_with_the_field(row: Any, path: str) -> None:
    found = check_sample(7, row, NOON)
    assert isinstance(found, Rejected)
    assert (found.index, found.path) == (7, path)
    assert found.reason


def test_a_sample_without_a_time_is_of_now() -> None:
    found = check_sample(0, sample(), NOON)
    assert not isinstance(found, Rejected)
    assert (found["at"], found["value"], found["warning"]) == (NOON, 3.0, None)
