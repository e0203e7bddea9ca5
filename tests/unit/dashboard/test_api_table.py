"""The table of routes and the document made from it agree with each other and with the metrics."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from pydantic import BaseModel

from analytics.core.errors import InputError
from analytics.core.ids import new_id
from dashboard.api.openapi import openapi_document
from dashboard.api.operations import (
    PREFIX,
    CursorQuery,
    NumberedQuery,
    RangeQuery,
    decode_cursor,
    encode_cursor,
    listing,
    to_json,
)
from dashboard.api.table import OPERATIONS, routes
from dashboard.app import HelmsightApp  # noqa: F401 - the application imports without connecting
from dashboard.middleware.groups import AREAS, group_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_every_route_is_in_the_document_with_its_role():
    document = openapi_document(OPERATIONS)
    for route, operation in zip(routes(), OPERATIONS, strict=True):
        path = re.sub(r"{(\w+)(:\w+)?}", r"{\1}", route.path)
        entry = document["paths"][path][operation.method.lower()]
        assert entry["x-role"] == operation.role.label
        assert entry["summary"].endswith(".")
        names = {parameter["name"] for parameter in entry["parameters"] if parameter["in"] == "path"}
        assert names == set(route.param_convertors)
    assert sum(len(methods) for methods in document["paths"].values()) == len(OPERATIONS)


def test_no_two_routes_are_the_same_and_each_reference_leads_somewhere():
    keys = [(operation.method, operation.path) for operation in OPERATIONS]
    assert len(set(keys)) == len(keys)
    document = openapi_document(OPERATIONS)
    ids = [entry["operationId"] for methods in document["paths"].values() for entry in methods.values()]
    assert len(set(ids)) == len(ids)
    references = re.findall(r"#/components/schemas/([\w\[\], ]+)'", str(document))
    assert references
    assert set(references) <= set(document["components"]["schemas"])


def test_every_list_is_paged_and_every_body_refuses_unknown_names():
    for operation in OPERATIONS:
        for model in (operation.query, operation.body):
            assert model is None or model.model_config["extra"] == "forbid"
        if "items" in str(operation.returns):
            assert operation.query is not None
            assert issubclass(operation.query, (NumberedQuery, CursorQuery))


def test_metrics_know_every_area():
    assert {operation.area for operation in OPERATIONS} == set(AREAS)
    assert group_of(f"{PREFIX}/runs/1", is_page=False) == ("api", "runs")
    assert group_of(f"{PREFIX}/whatever", is_page=False) == ("api", "other")
    assert group_of("/wp-admin.php", is_page=False) == ("other", "")
    assert group_of("/slos", is_page=True) == ("page", "")


def test_a_cursor_comes_back_as_it_was_given():
    row_id = new_id()
    assert decode_cursor(encode_cursor(NOW, row_id)) == (NOW, row_id)
    assert decode_cursor(None) is None
    for rubbish in ("x", "%%%", "YWJj", "ÿ"):
        with pytest.raises(InputError):
            decode_cursor(rubbish)


def test_the_last_page_has_no_cursor():
    rows = [(NOW, UUID(int=n)) for n in range(3)]
    assert listing(rows, 3, lambda row: row).next is not None
    assert listing(rows, 4, lambda row: row).next is None
    assert listing([], 4, lambda row: row).next is None


def test_a_range_is_half_open_aware_and_bounded():
    assert RangeQuery(range="6h").interval(now=NOW).since == NOW - timedelta(hours=6)
    asked = RangeQuery.model_validate({"since": "2026-02-01T00:00:00+01:00"})
    assert asked.interval(now=NOW).until == NOW
    for bad in ({"since": "2026-02-01T00:00:00"}, {"since": "2020-01-01T00:00:00Z"}, {"range": "9999d"}):
        with pytest.raises(InputError):
            RangeQuery.model_validate(bad).interval(now=NOW)


def test_durations_become_seconds_and_absence_stays_null():
    class Inner(BaseModel):
        wait: timedelta | None

    assert to_json({"a": timedelta(minutes=1), "b": Inner(wait=None), "c": float("nan")}) == (
        b'{"a":60.0,"b":{"wait":null},"c":null}'
    )
