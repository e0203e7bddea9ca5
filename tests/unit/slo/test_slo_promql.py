import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.core.errors import InputError
from analytics.slo.specs.promql import check_promql, selector


@pytest.mark.parametrize(
    "query",
    [
        'sum(rate(requests_total{job="shop",code=~"(5..|429)"}[5m]))',
        "sum by (le) (rate(seconds_bucket[5m])) / on() group_left() sum(rate(seconds_count[5m]))",
        "sum(rate(a[5m])) by (job) or on(job) group(up) unless b",
        "histogram_quantile(0.9, sum(rate(a_bucket[5m])) by (le)) > bool 0.5",
        "avg_over_time((a > 2)[1h:5m]) - -b ^ 2",
        "max_over_time(a[1h:]) OR vector(0)",
        'label_replace(a, "x", "$1", "y", "(.*)")',
        "increase(a[1h30m] offset -5m) @ end()",
        "rate(a[5m] @ 1609746000)",
        '{__name__=~"shop:.*", job="a",}',
        "job:orders:rate5m % 2 == bool 1",
        "sum(\n  rate(a[5m]) # not ) this\n)",
        "1e3 * .5 + 0x1F - Inf",
        'count_values("version", build_info)',
        "topk(3, a) and b",
        "time() - a",
        "by + group",
    ],
)
def test_what_prometheus_reads_is_read(query):
    check_promql(query)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("", "a metric, a function or a number is missing at character 1, the query ends"),
        ("sum(rate(a[5m])", "',' is missing at character 16, the query ends"),
        ("rate(a)", "rate needs a range, such as rate(requests_total[5m])"),
        ("rat(a[5m])", "there is no function rat; did you mean 'rate'?"),
        ("sum(a[5m])", "a range vector cannot be aggregated; take rate or increase of it first"),
        ("abs(a[5m])", "abs cannot take a range vector"),
        ("a[5m]", "the query gives a range vector; a vector or a number is needed"),
        ("a[5m] + 1", "'+' cannot take a range vector"),
        ("'text'", "the query gives text; a vector or a number is needed"),
        ("a b", "an operator is missing at character 3, there is 'b'"),
        ("a[5]", "a length of time such as 5m is missing at character 3, there is '5'"),
        ("1[5m]", "a number has no ranges at character 3, there is '5m'"),
        ("a{b=c}", "a quoted text is missing at character 5, there is 'c'"),
        ("a{b}", "one of =, !=, =~ and !~ is missing at character 4, there is '}'"),
        ('a{1="b"}', "the name of a label is missing at character 3, there is '1'"),
        ("{}", "a selector needs a metric or a matcher"),
        ("a +\n  $b", "'$' cannot be read in line 2 at character 3"),
        ("sum(a) by", "'(' is missing at character 10, the query ends"),
        ("(" * 100, "the query is nested deeper than 60 levels"),
    ],
)
def test_what_prometheus_refuses_is_refused_with_the_place(query, reason):
    with pytest.raises(InputError) as error:
        check_promql(query)
    assert error.value.message == reason


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet="ab{}[]()=~!\"'`,:+-*/^%@#5m. \n\\", max_size=30))
def test_no_text_makes_the_check_fail(text):
    with contextlib.suppress(InputError):
        check_promql(text)


def test_a_selector_is_taken_apart():
    found = selector(' orders_total{job="shop", le="0.5",code!~"4.."} offset 1m ')
    assert (found.metric, found.offset, found.matcher_of("le")) == ("orders_total", "offset 1m", "0.5")
    assert found.without("le") == 'job="shop",code!~"4.."'
    assert found.matcher_of("code") is None


@pytest.mark.parametrize("text", ["sum(a)", "a + b", "a{", "1", "a[5m]"])
def test_what_is_more_or_less_than_a_selector_is_refused(text):
    with pytest.raises(InputError):
        selector(text)
