"""What an event may hold: bad fields are named, each with its reason, and nothing else is refused."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from analytics.journeys.events import NewEvent, UnfitError, event_id, from_cloudevent

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
OLDEST = NOW - timedelta(days=400)
GOOD: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "web.page_view"}


def take(row: object) -> NewEvent:
    return from_cloudevent(row, now=NOW, oldest=OLDEST)


def test_a_whole_cloudevent_is_understood():
    event = take(
        GOOD
        | {
            "time": "2026-11-20T12:00:00+02:00",
            "subject": "Zoë 🦊",
            "datacontenttype": "application/json",
            "traceparent": "00-abc",
            "data": {
                "path": "/a",
                "service": "cdn",
                "duration_ms": 12,
                "cost_usd": 0.25,
                "project_id": "0193a3a5-7c00-7000-8000-000000000001",
            },
        }
    )

    assert event.at == datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert (event.kind, event.source, event.subject, event.is_timed) == ("web.page_view", "/shop", "Zoë 🦊", True)
    assert event.props == {"traceparent": "00-abc", "path": "/a"}
    assert (event.service, event.duration_ms, event.cost_usd) == ("cdn", 12.0, 0.25)
    assert str(event.project_id) == "0193a3a5-7c00-7000-8000-000000000001"


def test_the_same_event_has_the_same_id_and_others_have_others():
    assert take(GOOD).id == take(GOOD | {"time": "2026-11-20T11:00:00Z"}).id == event_id("/shop", "1")
    assert event_id("a", "bc") != event_id("ab", "c")
    assert take(GOOD | {"source": "/other"}).id != take(GOOD).id


def test_without_a_time_it_happened_when_it_was_told():
    assert (take(GOOD).at, take(GOOD).is_timed) == (NOW, False)


def test_a_plain_event_needs_a_kind_only():
    first, second = take({"kind": "order.paid"}), take({"kind": "order.paid", "at": None, "data": {"n": 1}})

    assert (first.source, first.kind, second.props) == ("api", "order.paid", {"n": 1})
    assert first.id != second.id


def test_data_that_are_no_object_are_kept_as_a_value():
    assert take(GOOD | {"data": [1, 2]}).props == {"value": [1, 2]}


def changed(**changes: object) -> dict[str, Any]:
    return {name: value for name, value in (GOOD | changes).items() if value is not ...}


BAD = {
    "no object": ([1], "", "a JSON object, not a list"),
    "nothing": (None, "", "not nothing"),
    "another version": (changed(specversion="0.3"), "specversion", "1.0"),
    "binary data": (changed(data_base64="aGk="), "data_base64", "binary"),
    "no id": (changed(id=...), "id", "is needed"),
    "an empty id": (changed(id=""), "id", "is needed"),
    "a number as id": (changed(id=7), "id", "the number 7 where text belongs"),
    "a long id": (changed(id="x" * 201), "id", "201 characters"),
    "no source": (changed(source=...), "source", "is needed"),
    "no type": (changed(type=...), "type", "is needed"),
    "an emoji as type": (changed(type="web.🦊"), "type", "no name of a kind"),
    "a type of 10,000 characters": (changed(type="a" * 10_000), "type", "10,000 characters"),
    "a type with a space": (changed(type="page view"), "type", "no name of a kind"),
    "a type with empty parts": (changed(type="web..x"), "type", "no name of a kind"),
    "a subject of 10,000 characters": (changed(subject="🦊" * 10_000), "subject", "10,000 characters"),
    "a NUL in the subject": (changed(subject="a\0b"), "subject", "NUL"),
    "a line break in the subject": (changed(subject="a\nb"), "subject", "control characters"),
    "broken text": (changed(subject="a\udc80"), "subject", "bytes that are no text"),
    "broken text in the data": (changed(data={"a": "\udc80"}), "data", "what JSON cannot"),
    "a NUL in the data": (changed(data={"a": ["x\0"]}), "data", "NUL"),
    "too much data": (changed(data={"a": "x" * 40_000}), "data", "32,768 are the most"),
    "a naive time": (changed(time="2026-11-20T12:00:00"), "time", "no time zone"),
    "a date": (changed(time="2026-11-20"), "time", "no time zone"),
    "no time at all": (changed(time="yesterday"), "time", "no time such as"),
    "the 13th month": (changed(time="2026-13-01T00:00:00Z"), "time", "no time such as"),
    "a number as time": (changed(time=1_763_640_000), "time", "where a time such as"),
    "the year 1 east of Greenwich": (changed(time="0001-01-01T00:00:00+14:00"), "time", "years 1 to 9999"),
    "the future": (changed(time="2026-11-20T12:05:01Z"), "time", "future"),
    "the year 9999": (changed(time="9999-12-31T23:59:59Z"), "time", "future"),
    "before what is kept": (changed(time="2025-10-01T00:00:00Z"), "time", "older than what is kept"),
    "text as a duration": (changed(data={"duration_ms": "12"}), "data.duration_ms", "the text '12' where a number"),
    "true as a duration": (changed(data={"duration_ms": True}), "data.duration_ms", "is true where a number"),
    "a negative duration": (changed(data={"duration_ms": -0.1}), "data.duration_ms", "is negative"),
    "a duration without end": (changed(data={"duration_ms": float("inf")}), "data.duration_ms", "finite"),
    "no number as a duration": (changed(data={"duration_ms": float("nan")}), "data.duration_ms", "finite"),
    "a thousand years": (changed(data={"duration_ms": 1e14}), "data.duration_ms", "is more than"),
    "a negative cost": (changed(data={"cost_usd": -1}), "data.cost_usd", "is negative"),
    "an absurd cost": (changed(data={"cost_usd": 10**400}), "data.cost_usd", "finite"),
    "a name as project": (changed(data={"project_id": "mine"}), "data.project_id", "where the id of a project belongs"),
    "a list as service": (changed(data={"service": ["a"]}), "data.service", "is a list where text belongs"),
    "a lead without a name": (changed(type="lead.created"), "subject", "names the lead"),
    "a context without a name": (changed(type="context.read"), "subject", "names the context"),
    "text as a score": (changed(type="lead.scored", subject="a", data={"p_score": "high"}), "data.p_score", "number"),
    "a score above 1": (
        changed(type="lead.scored", subject="a", data={"p_score": 1.01}),
        "data.p_score",
        "more than 1",
    ),
    "an unknown status": (
        changed(type="lead.changed", subject="a", data={"status": "sold"}),
        "data.status",
        "not one of",
    ),
    "a list as a status": (
        changed(type="lead.changed", subject="a", data={"status": ["won"]}),
        "data.status",
        "a list",
    ),
    "no e-mail": (changed(type="lead.created", subject="a", data={"email": "a b"}), "data.email", "no e-mail"),
    "a misspelt field": ({"kind": "a.b", "subjct": "x"}, "subjct", "no field of an event"),
}


@pytest.mark.parametrize(("row", "path", "reason"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_named(row: object, path: str, reason: str):
    with pytest.raises(UnfitError, match=re.escape(reason)) as refused:
        take(row)
    assert refused.value.path == path


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(changed(time="2026-11-20T12:05:00Z"), id="a clock five minutes ahead"),
        pytest.param(changed(time=OLDEST.isoformat()), id="the first moment that is kept"),
        pytest.param(changed(type="com.Example-Corp.order_paid"), id="a reversed domain name"),
        pytest.param(changed(data={"duration_ms": 0, "cost_usd": 0}), id="zeros"),
        pytest.param(changed(data={"text": r"\u0000 spelt out"}), id="the letters of an escape"),
        pytest.param(changed(subject=""), id="an empty subject"),
        pytest.param(changed(type="lead.scored", subject="a", data={"p_score": 1}), id="a certain lead"),
    ],
)
def test_what_is_just_right_is_taken(row: object):
    assert take(row).source == "/shop"
