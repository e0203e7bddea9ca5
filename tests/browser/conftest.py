"""A real Chromium, and a guard against requests that leave this machine."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_core_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, Request, expect, sync_playwright

from benchmarks.product import PASSWORD, Product
from browser.looking import heading
from dashboard.auth.roles import Role
from dashboard.links import DEFAULT_PAGE, page_of

OUR_HOSTS = {"127.0.0.1", "localhost"}
OF_STREAMLIT = {"list", "listitem"}
"""What axe finds in Streamlit's own sidebar with sections; not ours to mend."""
OBSOLETE = {"duplicate-id", "duplicate-id-active"}
"""Rules of success criterion 4.1.1, which WCAG 2.2 removed; two of Streamlit's tables on a page break them."""
OF_CHARTS = [[".js-plotly-plot .main-svg > *"], [".vega-embed svg > *"]]
"""Thousands of marks without meaning of their own, which axe looks through for seconds; the drawing itself counts."""
LOCAL_SCHEMES = {"data", "blob", "about"}


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The Chromium of this machine."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return found
    pytest.skip("no Chromium in PATH (looked for chromium, chromium-browser, google-chrome)")


@pytest.fixture(scope="package")
def chromium(chromium_path: str) -> Iterator[BrowserContext]:
    """One browser for all tests of this folder; closed after them, since its event loop would disturb others.

    It has a profile on disk, because Chromium keeps the compiled programs of pages only there.
    """
    expect.set_options(timeout=20_000)
    with (
        tempfile.TemporaryDirectory(prefix="helmsight-chromium-", ignore_cleanup_errors=True) as profile,
        sync_playwright() as playwright,
    ):
        chromium = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=chromium_path,
            args=["--no-sandbox", "--disable-background-networking"],
            viewport={"width": 1280, "height": 900},
            reduced_motion="reduce",
        )
        chromium.set_default_timeout(20_000)
        yield chromium
        chromium.close()


@pytest.fixture
def context(chromium: BrowserContext) -> Iterator[BrowserContext]:
    """A browser that remembers the programs of pages and nothing else of other tests.

    The test fails if a page of it asks another host for anything.
    """
    with _used(chromium):
        yield chromium


@contextmanager
def _used(chromium: BrowserContext) -> Iterator[None]:
    outside_requests: list[str] = []
    note = partial(_note, outside_requests)
    chromium.on("request", note)
    yield
    for page in chromium.pages:
        if page.url.startswith("http"):
            forgotten = {"origin": page.url, "storageTypes": "local_storage,indexeddb,service_workers"}
            chromium.new_cdp_session(page).send("Storage.clearDataForOrigin", forgotten)
        page.close()
    chromium.clear_cookies()
    chromium.remove_listener("request", note)
    assert outside_requests == []


@pytest.fixture(scope="package")
def product() -> Iterator[Product]:
    """The running product with demo history and an account for each role."""
    with (
        tempfile.TemporaryDirectory(prefix="helmsight-browser-", ignore_cleanup_errors=True) as root,
        Product(Path(root)) as product,
    ):
        yield product


@pytest.fixture
def signed_in(context: BrowserContext, product: Product) -> Callable[..., Page]:
    """Open a page of the product as somebody of a role: ``signed_in(Role.VIEWER, "/slos")``."""

    def open_as(role: Role, path: str = "/") -> Page:
        _sign_in(context, product, role)
        return _open(context, f"{product.url}{path}")

    return open_as


@pytest.fixture(scope="module")
def reader(chromium: BrowserContext, product: Product) -> Iterator[Callable[[Role, str], Page]]:
    """Lead a reader of a role to a page: within the open one by its navigation, elsewhere by the address.

    For tests that only look.
    """
    with _used(chromium):
        roles: list[Role] = []

        def lead(role: Role, path: str) -> Page:
            if roles[-1:] != [role]:
                _sign_in(chromium, product, role)
                roles.append(role)
                return _open(chromium, f"{product.url}{path}")
            page = chromium.pages[-1]
            link = page.get_by_test_id("stSidebar").locator(f"a[href='{product.url}{path}']")
            if link.count() == 1:
                link.click()
                heading(page, page_of(path.strip("/") or DEFAULT_PAGE).title)
            else:
                page.goto(f"{product.url}{path}")
            return page

        yield lead


def _sign_in(context: BrowserContext, product: Product, role: Role) -> None:
    answer = context.request.post(
        f"{product.url}/login",
        form={"email": product.email(role), "password": PASSWORD, "next": "/"},
        headers={"Origin": product.url},
        max_redirects=0,
    )
    assert answer.status == 303, answer.text()


def _open(context: BrowserContext, address: str) -> Page:
    page = context.new_page()
    page.goto(address)
    expect(page.get_by_test_id("stMain").get_by_role("heading", level=1)).to_be_visible()
    return page


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A page of that browser."""
    return context.new_page()


def _note(outside_requests: list[str], request: Request) -> None:
    address = urlsplit(request.url)
    if address.scheme not in LOCAL_SCHEMES and address.hostname not in OUR_HOSTS:
        outside_requests.append(request.url)


@pytest.fixture(scope="session")
def findings_of() -> Callable[[Page], dict[str, list[str]]]:
    """Tell what WCAG 2.2 A and AA find on a page beyond Streamlit's own, as rule → elements."""
    axe = Axe()
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]

    def findings(page: Page) -> dict[str, list[str]]:
        # What a chart drew last is mended in the frame after it.
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        options = {"runOnly": {"type": "tag", "values": tags}, "resultTypes": ["violations"]}
        violations = axe.run(page, context={"exclude": OF_CHARTS}, options=options)["violations"]
        return {
            found["id"]: [str(element["target"]) for element in found["nodes"]]
            for found in violations
            if found["id"] not in OF_STREAMLIT | OBSOLETE
        }

    return findings
