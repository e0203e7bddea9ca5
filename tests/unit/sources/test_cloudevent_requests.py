"""Requests with events: the forms they come in, and those that are refused as a whole."""

import pytest

from analytics.core.errors import InputError
from analytics.sources.cloudevents import MOST_EVENTS, read_events

ONE = {"content-type": "application/cloudevents+json; charset=UTF-8"}
BATCH = {"content-type": "application/cloudevents-batch+json"}
PLAIN = {"content-type": "application/json"}


def test_one_event_a_batch_and_plain_json_are_read():
    assert read_events(b'{"id": "1"}', ONE) == [{"id": "1"}]
    assert read_events(b'[{"id": "1"}, 2]', BATCH) == [{"id": "1"}, 2]
    assert read_events(b'[{"id": "1"}]', PLAIN) == [{"id": "1"}]
    assert read_events(b"[]", BATCH) == []


def test_in_binary_mode_attributes_are_headers():
    headers = PLAIN | {"ce-specversion": "1.0", "ce-id": "1", "ce-subject": "Zo%C3%AB%20%F0%9F%A6%8A", "ce-data": "no"}

    assert read_events(b'{"n": 1}', headers) == [
        {"specversion": "1.0", "id": "1", "subject": "Zoë 🦊", "data": {"n": 1}},
    ]
    assert read_events(b"hi", headers | {"content-type": "text/plain"})[0]["data"] == "hi"
    assert "data" not in read_events(b"", headers)[0]


def test_a_broken_row_does_not_spoil_the_others():
    rows = read_events(b'[{"id": "1"}, {"id": "a\xff"}, {"n": 1e999, "m": ' + b"9" * 5000 + b"}]", PLAIN)

    assert rows[0] == {"id": "1"}
    assert rows[1] == {"id": "a\udcff"}
    assert rows[2]["n"] == rows[2]["m"] == float("inf")
    assert read_events(b'\xef\xbb\xbf{"id": "1"}', PLAIN) == [{"id": "1"}]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(b"[{", PLAIN, id="cut off"),
        pytest.param(b"", PLAIN, id="empty"),
        pytest.param(b'{"n": NaN}', PLAIN, id="NaN"),
        pytest.param(b"[" * 100_000, PLAIN, id="too deep"),
        pytest.param(b"{}", BATCH, id="a batch that is none"),
        pytest.param(b"{}", {"content-type": "text/xml"}, id="XML"),
        pytest.param(b"{}", {}, id="no type"),
        pytest.param(b"{}", {"content-type": "application/json; charset=latin-1"}, id="another charset"),
        pytest.param(b"{}", PLAIN | {"content-encoding": "gzip"}, id="compressed"),
        pytest.param(b"[" + b"1," * MOST_EVENTS + b"1]", PLAIN, id="too many"),
    ],
)
def test_what_cannot_be_read_is_refused_as_a_whole(body: bytes, headers: dict[str, str]):
    with pytest.raises(InputError, match="othing was stored"):
        read_events(body, headers)
