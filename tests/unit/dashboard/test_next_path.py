"""Where signing in may lead."""

import pytest

from dashboard.auth.next_path import login_address, safe_next


@pytest.mark.parametrize("path", ["/", "/slos", "/run?run=1&range=24h", "/workflows?name=a%2Fb"])
def test_pages_of_this_site_are_kept(path):
    assert safe_next(path) == path


@pytest.mark.parametrize(
    "path",
    [
        None,
        "",
        "slos",
        "https://evil.example/",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "/%5Cevil\\x",
        "/a\nLocation: x",
        "/\t/evil.example",
        "javascript:alert(1)",
        "/login?next=/login",
        "/logout",
        "/api/v1/me",
        "/_stcore/health",
        "/" + "a" * 3000,
    ],
)
def test_everything_else_becomes_the_first_page(path):
    assert safe_next(path) == "/"


def test_the_sign_in_page_remembers_page_and_filters():
    assert login_address("/slos", "range=7d&x=1") == "/login?next=%2Fslos%3Frange%3D7d%26x%3D1"
    assert login_address("/", reason="ended") == "/login?reason=ended"
