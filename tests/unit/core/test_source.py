import pytest

from analytics.core.source import MAX_VALUES, read_documents


def reasons(text):
    return [(problem.path, problem.reason) for source in read_documents(text) for problem in source.problems]


def test_each_document_is_read_for_itself_and_empty_ones_are_left_out():
    first, second = read_documents("---\na: 1\n---\n---\n- b\n")
    assert (first.value, second.value) == ({"a": 1}, ["b"])
    assert second.first_line == 5


def test_an_alias_stands_for_what_its_anchor_marks_and_merging_keeps_what_is_said():
    (source,) = read_documents("base: &it {a: 1, b: [2]}\nsame: *it\nmore:\n  <<: *it\n  a: 3\n")
    assert source.value == {"base": {"a": 1, "b": [2]}, "same": {"a": 1, "b": [2]}, "more": {"a": 3, "b": [2]}}
    assert not source.problems


def test_the_first_of_several_merged_mappings_wins():
    (source,) = read_documents("a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b]}\n")
    assert source.value["c"] == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a: *nobody", (("a",), "*nobody stands for nothing before it"), id="unknown-alias"),
        pytest.param("a: &a [*a]", (("a", 0), "*a stands for nothing before it"), id="alias-of-itself"),
        pytest.param("a: {<<: 1}", (("a", "<<"), "only mappings can be merged in"), id="merged-number"),
        pytest.param("a: 1\na: 2", (("a",), "given twice"), id="key-twice"),
        pytest.param("a: !!python/none x", (("a",), "the tag tag:yaml.org,2002:python/none is not read"), id="tag"),
    ],
)
def test_what_is_wrong_with_a_document_is_said_with_its_place(text, expected):
    assert reasons(text) == [expected]


def test_aliases_that_multiply_are_refused_before_they_do_harm():
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
    bomb += "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    assert reasons(bomb) == [((), f"aliases add up to more than {MAX_VALUES} values")]


def test_a_document_that_cannot_be_parsed_does_not_take_those_before_it_along():
    first, second = read_documents("a: 1\n---\nb: [\n")
    assert (first.value, first.problems) == ({"a": 1}, [])
    assert second.problems[0].line == 4
