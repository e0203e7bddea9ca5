"""A form from a schema: each kind of value has its field, and what does not fit is told by field."""

import pytest

from dashboard.components.forms import check, collect, fields_of

SCHEMA = {
    "type": "object",
    "required": ["name", "count"],
    "properties": {
        "note": {"type": "string", "maxLength": 500},
        "name": {"type": "string", "title": "Full name"},
        "count": {"type": "integer", "minimum": 1},
        "share": {"type": "number"},
        "loud": {"type": "boolean", "default": False},
        "mode": {"enum": ["fast", "slow"]},
        "modes": {"type": "array", "items": {"enum": ["a", "b"]}},
        "words": {"type": "array", "items": {"type": "string"}},
        "extra": {"type": "object"},
        "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None, "title": "Maybe"},
        "either": {"type": ["string", "null"]},
        "place": {"$ref": "#/$defs/Place"},
    },
    "$defs": {"Place": {"type": "object", "properties": {"x": {"type": "number"}}}},
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("note", "text"),
        ("name", "string"),
        ("count", "integer"),
        ("share", "number"),
        ("loud", "boolean"),
        ("mode", "choice"),
        ("modes", "choices"),
        ("words", "strings"),
        ("extra", "json"),
        ("maybe", "integer"),
        ("either", "string"),
        ("place", "json"),
    ],
)
def test_each_kind_of_value_has_its_field(name, kind):
    assert next(field for field in fields_of(SCHEMA) if field.name == name).kind == kind


def test_required_fields_come_first_and_titles_are_kept():
    fields = fields_of(SCHEMA)
    assert [field.name for field in fields[:2]] == ["name", "count"]
    assert fields[0].label == "Full name"
    assert fields[1].label == "Count"


def test_what_was_typed_becomes_arguments():
    typed = {
        "name": "Ada",
        "count": 3,
        "loud": True,
        "words": " one \n\n two",
        "extra": '{"a": [1]}',
        "modes": ["a"],
        "note": "",
        "share": None,
    }
    arguments, problems = collect(fields_of(SCHEMA), typed)
    assert problems == {}
    assert arguments == {
        "name": "Ada",
        "count": 3,
        "loud": True,
        "words": ["one", "two"],
        "extra": {"a": [1]},
        "modes": ["a"],
    }


def test_what_is_missing_or_unreadable_is_told_by_field():
    _, problems = collect(fields_of(SCHEMA), {"name": "", "extra": "{oops"})
    assert problems["name"] == "This field is required."
    assert problems["count"] == "This field is required."
    assert problems["extra"].startswith("This is not JSON")


def test_what_the_schema_does_not_allow_is_told_by_field():
    assert set(check(SCHEMA, {"name": "Ada", "count": 0})) == {"count"}
    assert check(SCHEMA, {"name": "Ada", "count": 1}) == {}


def test_what_belongs_to_no_field_is_told_too():
    assert "" in check(SCHEMA, {"count": 1})


@pytest.mark.parametrize("schema", [{}, {"type": "object"}, {"properties": None}])
def test_a_schema_without_properties_has_no_fields(schema):
    assert fields_of(schema) == []


def test_a_reference_that_leads_nowhere_is_written_as_json():
    assert fields_of({"properties": {"a": {"$ref": "#/$defs/Gone"}}})[0].kind == "json"
