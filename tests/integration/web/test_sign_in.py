"""People come and go: sign-in, sessions, one-time passwords and the limit on guesses, through a real server."""

import pytest
from served import PASSWORD, Dashboard

pytestmark = pytest.mark.integration


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


def test_the_session_cookie_is_kept_from_scripts_and_other_sites(web: Dashboard) -> None:
    with web.client() as client:
        answer = client.post("/login", data={"email": "viewer@example.org", "password": PASSWORD})
        cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie
    assert "secure" not in cookie
