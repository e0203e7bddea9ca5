"""Every page, as a reader with a screen reader or a keyboard meets it: nothing that axe finds, nothing broken."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from browser.looking import settled
from dashboard.auth.roles import Role
from dashboard.links import DEFAULT_PAGE, PAGES

pytestmark = pytest.mark.browser

Findings = Callable[[Page], dict[str, list[str]]]

PLACES = [
    pytest.param(Role.ADMIN, "/", id=DEFAULT_PAGE),
    *(
        pytest.param(Role.ADMIN, f"/{spec.key}", id=spec.key)
        for spec in PAGES
        if spec.is_listed and spec.key != DEFAULT_PAGE
    ),
    pytest.param(Role.ADMIN, "/workflows?workflow=document-intake", id="one workflow"),
    pytest.param(Role.ADMIN, "/?kpi=runs", id="one key figure"),
    pytest.param(Role.VIEWER, "/slo?id=api_availability", id="one objective"),
    pytest.param(Role.OPERATOR, "/slo_editor?id=api_availability", id="editor of objectives"),
    pytest.param(Role.VIEWER, "/slo_report", id="report of objectives"),
    pytest.param(Role.ANALYST, "/ocr", id="ocr for analysts"),
]


@pytest.mark.parametrize(("role", "path"), PLACES)
def test_every_page_is_accessible_and_whole(
    reader: Callable[[Role, str], Page], findings_of: Findings, role: Role, path: str
):
    page = reader(role, path)
    settled(page)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.get_by_text(re.compile("could not be drawn|part of the page failed"))).to_have_count(0)
    was_dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    for scheme in ("dark", "light") if was_dark else ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        expect(page.get_by_test_id("stApp")).to_have_css("color-scheme", scheme)
        settled(page)
        # A colour of the other scheme may still be on its way while the first look is taken.
        found = findings_of(page) and findings_of(page)
        assert found == {}, scheme
