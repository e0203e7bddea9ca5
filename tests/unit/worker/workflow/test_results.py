from datetime import UTC, datetime

import pytest

from analytics.core.errors import InputError
from worker.workflow.results import output_json, to_json
from worker.workflow.schemas import complete_params


def test_a_nul_which_postgresql_cannot_keep_is_replaced():
    assert to_json({"a\0": ["b\0c"]}) == '{"a�":["b�c"]}'


def test_times_are_json_and_objects_are_not():
    assert to_json({"at": datetime(2026, 1, 1, tzinfo=UTC)}) == '{"at":"2026-01-01T00:00:00Z"}'
    with pytest.raises(InputError, match="is not JSON"):
        to_json({"x": object()})


def test_an_output_over_sixteen_mebibytes_is_refused():
    with pytest.raises(InputError, match="more than 16 MiB"):
        output_json("x" * 16 * 2**20)


def test_parameters_get_their_defaults_and_every_violation_is_told():
    schema = {
        "type": "object",
        "required": ["a"],
        "additionalProperties": False,
        "properties": {"a": {"type": "integer"}, "b": {"type": "string", "default": "x"}},
    }
    assert complete_params(schema, {"a": 1}) == {"a": 1, "b": "x"}
    with pytest.raises(InputError, match="Nothing was queued") as caught:
        complete_params(schema, {"a": "one", "c": 1})
    assert {item["path"] for item in caught.value.context["problems"]} == {"params.a", "params.c"}
