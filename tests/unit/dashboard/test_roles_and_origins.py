"""Roles, and whether a request comes from our own pages."""

import pytest

from analytics.core.errors import InputError
from analytics.core.settings import HttpSettings
from dashboard.auth.roles import Role
from dashboard.middleware.bodies import FORM_BYTES, JSON_BYTES, limit_of
from dashboard.middleware.origins import is_same_site

HTTP = HttpSettings()


def test_each_role_can_do_what_the_one_before_it_can():
    assert Role.VIEWER < Role.ANALYST < Role.OPERATOR < Role.ADMIN
    assert [Role.parse(role.label) for role in Role] == list(Role)
    with pytest.raises(InputError, match="viewer, analyst, operator, admin"):
        Role.parse("root")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"host": "helm:8501", "origin": "http://helm:8501"}, True),
        ({"host": "helm:8501", "origin": "http://HELM:8501"}, True),
        ({"host": "helm:8501"}, True),
        ({"host": "helm:8501", "sec-fetch-site": "same-origin"}, True),
        ({"host": "helm:8501", "sec-fetch-site": "cross-site"}, False),
        ({"host": "helm:8501", "sec-fetch-site": "same-site"}, False),
        ({"host": "helm:8501", "origin": "http://helm:9000"}, False),
        ({"host": "helm:8501", "origin": "null"}, False),
        ({"host": "helm:8501", "origin": "https://helm:8501.evil.example"}, False),
        ({"origin": "http://helm:8501"}, False),
    ],
)
def test_only_our_own_pages_count_as_ours(headers, expected):
    assert is_same_site(headers, HTTP) is expected


def test_the_public_address_and_listed_origins_count_too():
    http = HttpSettings(public_url="https://helm.example.org/", allowed_origins=("https://portal.example.org",))
    assert is_same_site({"host": "inside:8501", "origin": "https://helm.example.org"}, http)
    assert is_same_site({"host": "inside:8501", "origin": "https://portal.example.org"}, http)
    assert not is_same_site({"host": "inside:8501", "origin": "http://helm.example.org"}, http)


def test_forms_are_small_documents_large_and_everything_else_between():
    assert limit_of("/login", 10**7) == FORM_BYTES
    assert limit_of("/api/v1/projects", 10**7) == JSON_BYTES
    assert limit_of("/api/v1/documents", 10**7) > 10**7
