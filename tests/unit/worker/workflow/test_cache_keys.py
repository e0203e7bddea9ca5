from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.core.errors import InputError
from worker.workflow.cache import cache_key
from worker.workflow.kinds import find_kind

KIND = find_kind("transform")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
CONFIGS = st.dictionaries(st.text(max_size=4), JSON, max_size=4)


def backwards(value):
    """The same value with the keys of every object the other way round."""
    if isinstance(value, dict):
        return {key: backwards(inner) for key, inner in reversed(value.items())}
    return [backwards(inner) for inner in value] if isinstance(value, list) else value


@settings(deadline=None)
@given(CONFIGS)
def test_the_order_of_keys_does_not_matter(config):
    assert cache_key(KIND, config) == cache_key(KIND, backwards(config))


@settings(deadline=None)
@given(CONFIGS, CONFIGS)
def test_two_configurations_have_one_key_only_when_they_are_equal_as_json(left, right):
    def typed(value):
        """Python says 1 == 1.0 == True; JSON does not."""
        if isinstance(value, dict):
            return ("object", frozenset((key, typed(inner)) for key, inner in value.items()))
        if isinstance(value, list):
            return ("list", tuple(typed(inner) for inner in value))
        return (type(value).__name__, repr(value))

    assert (cache_key(KIND, left) == cache_key(KIND, right)) == (typed(left) == typed(right))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(cache_key(replace(KIND, version=KIND.version + 1), {"a": 1}), id="another-version-of-the-code"),
        pytest.param(cache_key(replace(KIND, name="transform2"), {"a": 1}), id="another-kind"),
        pytest.param(cache_key(KIND, {"a": 2}), id="another-configuration"),
        pytest.param(cache_key(KIND, {"a": 1}, ["sha"]), id="another-content"),
        pytest.param(cache_key(KIND, {"a": 1, "b": None}), id="a-key-more-without-a-value"),
    ],
)
def test_whatever_can_change_the_result_changes_the_key(other):
    assert other != cache_key(KIND, {"a": 1})


def test_contents_in_another_order_are_another_input():
    assert cache_key(KIND, {}, ["a", "b"]) != cache_key(KIND, {}, ["b", "a"])
    assert cache_key(KIND, {}, ["ab"]) != cache_key(KIND, {}, ["a", "b"])


def test_a_configuration_that_is_not_json_has_no_key():
    with pytest.raises(InputError, match="cannot be kept"):
        cache_key(KIND, {"a": object()})
