"""Distributions and crowds that are packed, appended and asked for numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.rollup.sketch import AT_MOST_ZERO, RELATIVE_ERROR, People, Sketch, checked

durations = st.floats(min_value=1e-6, max_value=1e7)
numbers = st.floats(min_value=-1e290, max_value=1e290)
some = st.lists(durations, min_size=1, max_size=60)
ranks = st.floats(min_value=0, max_value=1)


@given(values=some, q=ranks)
def test_a_quantile_is_as_near_as_promised_to_the_value_of_its_rank(values, q):
    exact = np.quantile(values, q, method="inverted_cdf")
    assert Sketch.of(values).quantile(q) == pytest.approx(exact, rel=RELATIVE_ERROR + 1e-9)


@given(values=st.lists(numbers, min_size=1, max_size=60))
def test_any_number_finds_a_bucket_and_is_counted_once(values):
    sketch = Sketch.of(values)
    assert sketch.n == len(values)
    assert (sketch.quantile(0) == 0) == (min(values) <= 0)
    assert all(0 <= found < float("inf") for found in sketch.quantiles((0, 0.5, 1)))


@given(one=some, other=some)
def test_distributions_are_merged_by_appending_in_any_order(one, other):
    whole = Sketch.of([*one, *other]).to_bytes()
    assert Sketch.of(one).merge(Sketch.of(other)).to_bytes() == whole
    assert Sketch.from_bytes(Sketch.of(other).packed + Sketch.of(one).packed).to_bytes() == whole


@given(values=some, qs=st.lists(ranks, min_size=2, max_size=5))
def test_quantiles_rise_with_their_rank(values, qs):
    found = Sketch.of(values).quantiles(sorted(qs))
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("value", "bucket"),
    [
        pytest.param(1.0, -1, id="a-bound-belongs-below"),
        pytest.param(1.0001, 0, id="just-above"),
        pytest.param(2.0, 7, id="eight-buckets-a-doubling"),
        pytest.param(0.0, AT_MOST_ZERO, id="zero"),
        pytest.param(-5.0, AT_MOST_ZERO, id="negative"),
    ],
)
def test_buckets_are_those_of_opentelemetry_at_scale_3(value, bucket):
    assert Sketch.of([value]).counts()[0].tolist() == [bucket]


def test_packed_bytes_are_those_that_postgresql_writes():
    assert Sketch.of([0.0, 1.5, 1.5]).to_bytes() == bytes.fromhex("8000 00000001 0004 00000002")


def test_without_values_nothing_is_known():
    assert (Sketch().n, Sketch().quantile(0.5), People().estimate()) == (0, None, 0)
    assert Sketch.from_bytes(None) == Sketch()


def people(hashes) -> People:
    """Pack hashes of 64 bits as the select of cells does."""
    packed = b""
    for found in hashes:
        rest = int(found) & (1 << 52) - 1
        packed += (int(found) >> 52).to_bytes(2, "big") + bytes([53 - rest.bit_length()])
    return People(packed)


@settings(max_examples=15)
@given(st.sampled_from([1, 5, 100, 3_000, 8_000]), st.integers(0, 2**32 - 1))
def test_different_people_are_counted_to_a_few_percent(count, seed):
    hashes = np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)
    assert people(hashes).estimate() == pytest.approx(count, rel=0.09, abs=1.5)


@given(hashes=st.lists(st.integers(0, 2**64 - 1), max_size=50, unique=True), again=st.integers(1, 3))
def test_a_person_counts_once_however_often_seen(hashes, again):
    assert people(hashes * again).estimate() == people(hashes).estimate()
    assert people(hashes).merge(people(hashes)).estimate() == people(hashes).estimate()


def test_all_registers_full_still_give_a_number():
    full = b"".join(register.to_bytes(2, "big") + bytes([53]) for register in range(4096))
    assert People(full).estimate() == 2**64


def test_numbers_that_are_none_are_errors_in_checked_arithmetic_and_only_there():
    with pytest.raises(FloatingPointError), checked():
        np.float64(1e300) * np.array([1e300])
    with np.errstate(all="ignore"):
        assert np.isinf(np.float64(1e300) * np.array([1e300]))[0]
