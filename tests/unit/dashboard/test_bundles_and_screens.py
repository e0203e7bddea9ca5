"""What browsers load first: compressed files, the start page, and the pages drawn without Streamlit."""

import gzip

import pytest
from starlette.responses import Response

from analytics.core.errors import InputError
from analytics.core.settings import HttpSettings, Settings
from dashboard.auth.accounts import checked_password, verify_password
from dashboard.auth.login import set_session_cookie
from dashboard.auth.screens import notice_screen, say, sign_in_screen
from dashboard.middleware.bundles import Bundles, installed_bundles


@pytest.fixture
def bundles(tmp_path):
    (tmp_path / "static" / "js").mkdir(parents=True)
    (tmp_path / "static" / "js" / "index.1.js").write_text("let a = 1;\n" * 500)
    (tmp_path / "static" / "js" / "tiny.js").write_text("1")
    (tmp_path / "index.html").write_text(
        '<html><head><title>x</title><script src="./static/js/index.1.js"></script></head>'
        '<body><div id="root"></div></body></html>'
    )
    (tmp_path / "assets").mkdir()
    return Bundles(tmp_path, tmp_path / "assets")


def test_a_file_is_packed_once_and_unpacks_to_itself(bundles):
    bundle = bundles.get("/static/js/index.1.js")
    assert bundle.is_gzip
    assert gzip.decompress(bundle.body) == b"let a = 1;\n" * 500
    assert bundles.get("/static/js/index.1.js") is bundle
    assert not bundles.get("/static/js/tiny.js").is_gzip


def test_only_files_that_are_there_are_known(bundles):
    assert not bundles.has("/static/js/../../index.html")
    assert not bundles.has("/static/js/other.js")
    assert bundles.first == ("/static/js/index.1.js",)


def test_the_start_page_of_the_installed_streamlit_is_ours_and_has_no_inline_script():
    shell = installed_bundles().shell
    assert "<title>Helmsight</title>" in shell
    assert "/assets/favicon.svg" in shell
    assert "/assets/loaded.js" in shell
    assert "prerenderReady" not in shell
    assert "agent/openapi.json" not in shell
    assert len(installed_bundles().first) > 10
    assert 'id="root"><div class="hs-boot"' in shell


def test_what_people_type_is_never_markup():
    page = sign_in_screen(email='"><script>alert(1)</script>', next_path='/"><b>').body.decode()
    assert "<script>alert" not in page
    assert '"><b>' not in page
    assert "&lt;script&gt;" in page
    assert "<b>" not in say("bad", "<b>", "<i>")


def test_a_notice_that_waits_says_so():
    answer = notice_screen("One moment", "It is away.", status=503, again_after_s=5)
    assert answer.headers["retry-after"] == "5"
    assert b"every 5 seconds" in answer.body
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("settings", "is_https", "is_secure"),
    [
        (Settings(), False, False),
        (Settings(), True, True),
        (Settings(http=HttpSettings(public_url="https://helm.example.org")), False, True),
    ],
)
def test_the_cookie_is_secure_whenever_people_come_by_https(settings, is_https, is_secure):
    response = Response()
    set_session_cookie(response, "token", settings=settings, is_https=is_https)
    cookie = response.headers["set-cookie"].lower()
    assert ("secure" in cookie) is is_secure
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "max-age=43200" in cookie


@pytest.mark.parametrize("password", ["short", "a@example.org", "aaaaaaaaaaaaaaaa", "x" * 1025, "1212121212121"])
def test_passwords_that_are_easy_to_guess_are_refused(password):
    with pytest.raises(InputError, match="nothing was changed"):
        checked_password(password, email="a@example.org")


def test_an_unknown_account_never_matches_any_password():
    assert not verify_password(None, "anything at all")
