"""What failed sign-ins count under."""

import pytest

from analytics.core.settings import AuthSettings
from dashboard.auth.login import in_words
from dashboard.auth.throttle import account_key, address_key, limits_of


def test_an_account_counts_whatever_the_case_of_its_address():
    assert account_key(" Ada@Example.org ") == account_key("ada@example.org")


def test_a_machine_cannot_escape_by_changing_the_end_of_its_ipv6_address():
    assert address_key("2001:db8:1:2::1") == address_key("2001:db8:1:2:ffff::9")
    assert address_key("2001:db8:1:2::1") != address_key("2001:db8:1:3::1")


def test_an_ipv4_address_is_the_same_inside_ipv6():
    assert address_key("::ffff:192.0.2.7") == address_key("192.0.2.7") == "address:192.0.2.7"


@pytest.mark.parametrize("address", [None, "", "unix", "testclient", "1.2.3.4, 5.6.7.8"])
def test_what_is_no_address_does_not_count(address):
    assert address_key(address) is None


def test_an_address_may_fail_more_often_than_an_account():
    limits = limits_of("a@b", "192.0.2.7", AuthSettings(login_attempts=5))
    assert limits == {"account:a@b": 5, "address:192.0.2.7": 20}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1 second"), (59, "59 seconds"), (60, "1 minute"), (61, "1 minute 1 second"), (270, "4 minutes 30 seconds")],
)
def test_a_wait_is_told_in_words(seconds, words):
    assert in_words(seconds) == words
