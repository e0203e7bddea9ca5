"""People come and go: sign-in, sessions, one-time passwords and the limit on guesses, through a real server."""

from collections.abc import Callable

import psycopg
import pytest
from served import PASSWORD, Dashboard

from dashboard.auth.roles import Role

pytestmark = pytest.mark.integration
WRONG = "not the password"


def test_a_page_leads_a_stranger_to_the_sign_in_page_and_back(web: Dashboard) -> None:
    with web.client() as client:
        answer = client.get("/workflows?range=24h")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/login?next=%2Fworkflows%3Frange%3D24h"
        form = client.get(answer.headers["location"])
        assert 'value="/workflows?range=24h"' in form.text
        done = client.post(
            "/login", data={"email": "VIEWER@example.org", "password": PASSWORD, "next": "/workflows?range=24h"}
        )
        assert (done.status_code, done.headers["location"]) == (303, "/workflows?range=24h")
        assert client.get("/workflows").status_code == 200


def test_who_is_signed_in_skips_the_sign_in_page(web: Dashboard) -> None:
    with web.sign_in("viewer@example.org") as client:
        assert client.get("/login?next=/slos").headers["location"] == "/slos"


def test_signing_in_never_leads_to_another_site(web: Dashboard) -> None:
    for path in ("https://evil.example/", "//evil.example", "/\\evil.example", "/logout"):
        with web.client() as client:
            answer = client.post("/login", data={"email": "viewer@example.org", "password": PASSWORD, "next": path})
            assert answer.headers["location"] == "/"


def test_the_session_cookie_is_kept_from_scripts_and_other_sites(web: Dashboard) -> None:
    with web.client() as client:
        answer = client.post("/login", data={"email": "viewer@example.org", "password": PASSWORD})
        cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie
    assert "secure" not in cookie


def test_only_a_hash_of_the_session_is_stored(web: Dashboard) -> None:
    with web.sign_in("viewer@example.org") as client, psycopg.connect(web.dsn) as connection:
        token = client.cookies["helmsight_session"]
        row = connection.execute("SELECT count(*) FROM user_session WHERE token_hash = sha256(%s)", [token.encode()])
        assert row.fetchone() == (1,)
        dump = connection.execute("SELECT string_agg(user_session::text, ' ') FROM user_session").fetchone()
        assert dump is not None
        assert token not in dump[0]


def test_signing_out_ends_the_session_for_pages_and_routes_even_if_the_cookie_is_kept(web: Dashboard) -> None:
    with web.sign_in("viewer@example.org") as client:
        kept = client.cookies["helmsight_session"]
        assert client.get("/api/v1/me").json()["email"] == "viewer@example.org"
        answer = client.post("/logout", headers={"Origin": web.url})
        assert answer.headers["location"] == "/login?reason=signed-out"
        assert "helmsight_session" not in client.cookies
        assert "You are signed out." in client.get(answer.headers["location"]).text
        client.cookies.set("helmsight_session", kept)
        assert client.get("/").headers["location"] == "/login?reason=ended"
        refused = client.get("/api/v1/me")
        assert (refused.status_code, refused.json()["code"]) == (401, "session_ended")
        assert client.put("/_stcore/upload_file/a/b").status_code == 401


def test_a_link_from_elsewhere_does_not_sign_anybody_out(web: Dashboard) -> None:
    with web.sign_in("viewer@example.org") as client:
        assert "Sign out?" in client.get("/logout", headers={"Sec-Fetch-Site": "cross-site"}).text
        assert client.get("/api/v1/me").status_code == 200
        ours = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}
        assert client.get("/logout", headers=ours).status_code == 303
        assert client.get("/api/v1/me").status_code == 401


def test_an_expired_session_leads_back_to_the_sign_in_page_and_then_to_the_page(web: Dashboard) -> None:
    with web.sign_in("analyst@example.org") as client, psycopg.connect(web.dsn, autocommit=True) as connection:
        digest = client.cookies["helmsight_session"].encode()
        connection.execute(
            "UPDATE user_session SET last_seen_at = now() - interval '3 hours' WHERE token_hash = sha256(%s)", [digest]
        )
        answer = client.get("/runs/1")
        assert answer.headers["location"] == "/login?next=%2Fruns%2F1&reason=ended"
        assert "Your session ended." in client.get(answer.headers["location"]).text


def test_guessing_a_password_ends_in_429_for_the_account_and_the_right_password_waits_too(
    web: Dashboard, new_person: Callable[..., str]
) -> None:
    email = new_person()
    with web.client() as client:
        for _ in range(5):
            answer = client.post("/login", data={"email": email, "password": WRONG})
            assert answer.status_code == 401
            assert "E-mail or password is wrong." in answer.text
            assert f'value="{email}"' in answer.text
        for password in (WRONG, PASSWORD):
            answer = client.post("/login", data={"email": email.upper(), "password": password})
            assert answer.status_code == 429
            assert 0 < int(answer.headers["retry-after"]) <= 300
            assert "Too many failed attempts." in answer.text
            assert "minute" in answer.text
    with psycopg.connect(web.dsn) as connection:
        count = connection.execute("SELECT count(*) FROM audit_log WHERE actor = %s AND outcome = 'refused'", [email])
        assert count.fetchone() == (5 + 2,)


def test_a_right_password_forgives_earlier_mistakes(web: Dashboard, new_person: Callable[..., str]) -> None:
    email = new_person()
    for _ in range(2):
        with web.client() as client:
            for _ in range(4):
                assert client.post("/login", data={"email": email, "password": WRONG}).status_code == 401
        with web.sign_in(email) as client:
            assert client.get("/api/v1/me").status_code == 200


def test_an_unknown_account_is_refused_in_the_same_words(web: Dashboard) -> None:
    with web.client() as client:
        answer = client.post("/login", data={"email": "nobody@example.org", "password": WRONG})
    assert answer.status_code == 401
    assert "E-mail or password is wrong." in answer.text


def test_a_one_time_password_must_be_changed_before_anything_else(
    web: Dashboard, new_person: Callable[..., str]
) -> None:
    email = new_person(Role.ADMIN, must_change_password=True)
    with web.sign_in(email) as other, web.sign_in(email) as client:
        assert client.get("/").headers["location"] == "/password"
        refused = client.get("/api/v1/me")
        assert (refused.status_code, refused.json()["code"]) == (403, "password_change_required")
        assert "for one use" in client.get("/password").text
        fields = {"current": PASSWORD, "new": "a different passphrase", "again": "a different passphrase"}
        assert "differ" in client.post("/password", data=fields | {"again": "else"}).text
        assert "at least 10" in client.post("/password", data=fields | {"new": "short", "again": "short"}).text
        assert client.post("/password", data=fields | {"current": WRONG}).status_code == 401
        assert client.post("/password", data=fields).status_code == 303
        assert client.get("/api/v1/me").json()["role"] == "admin"
        assert other.get("/api/v1/me").status_code == 401
    with web.sign_in(email, "a different passphrase") as client:
        assert client.get("/api/v1/me").status_code == 200


def test_a_form_of_another_site_is_refused(web: Dashboard) -> None:
    with web.client() as client:
        fields = {"email": "viewer@example.org", "password": PASSWORD}
        answer = client.post("/login", data=fields, headers={"Origin": "https://evil.example"})
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
    with web.sign_in("admin@example.org") as client:
        answer = client.post("/api/v1/users", json={}, headers={"Origin": "https://evil.example"})
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign_origin")


def test_the_sign_in_page_needs_no_script_and_nothing_from_outside(web: Dashboard) -> None:
    with web.client() as client:
        answer = client.get("/login")
    assert "<script" not in answer.text
    assert "http://" not in answer.text.replace("http://www.w3.org", "")
    assert "https://" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert 'autocomplete="current-password"' in answer.text
    assert '<label for="email">' in answer.text
