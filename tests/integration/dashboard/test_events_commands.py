import json
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from analytics.live import cache
from analytics.live.cache import Caches
from analytics.live.client import connect
from dashboard.cli import app

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def home(settings, monkeypatch):
    monkeypatch.setenv("HELMSIGHT_HOME", str(settings.home))
    monkeypatch.setenv("HELMSIGHT_STORE__DSN", settings.dsn)
    monkeypatch.setenv("HELMSIGHT_REDIS__URL", settings.redis_url)


def said(*arguments, code=0, **more) -> str:
    result = CliRunner().invoke(app, ["events", "import", *arguments], **more)
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout


def test_a_file_is_looked_at_imported_and_known_the_second_time(tmp_path):
    now = datetime.now(UTC) - timedelta(minutes=1)
    file = tmp_path / "events.csv"
    file.write_text(f"time,kind,user,city\n{now.isoformat()},lead.created,ann,Köln\nlater,a.b,b,c\n", encoding="cp1252")

    seen = said(str(file), "--dry-run")
    assert "Latin-1" in seen
    assert "at is 'time'" in seen
    assert "line 3: time: 'later' is no time" in seen
    done = json.loads(said(str(file), "--set", "source=shop", "--json"))
    assert (done["received"], done["stored"], done["rejected"], done["leads"]) == (2, 1, 1, 1)
    assert said("-", "--set", "source=shop", input=file.read_bytes()).startswith("2 rows: 0 stored, 1 known before")


def test_dashboards_are_told_that_what_they_keep_of_journeys_is_void(tmp_path, settings, monkeypatch):
    monkeypatch.setattr(cache, "TRUST", timedelta(0))
    file = tmp_path / "events.csv"
    at = datetime.now(UTC) - timedelta(hours=5)
    file.write_text(f"at,kind,subject\n{at.isoformat()},web.visit,ann\n")
    with connect(settings) as client:
        caches = Caches(client)
        before = caches.versions(("sessions",))
        for is_void in (True, False):  # the second time everything is known
            said(str(file), "--set", "source=web")
            assert (caches.versions(("sessions",)) != before) is is_void
            before = caches.versions(("sessions",))


def test_what_cannot_be_imported_ends_with_an_error(tmp_path):
    file = tmp_path / "events.csv"
    file.write_text("when,what\nx,y\n", encoding="utf-8")

    assert "1 rejected" in said(str(file), "--map", "at=when", "--map", "kind=what", code=1)
    for wrong in (("--map", "at"), ("--zone", "Moon/Base"), ("--encoding", "rot13"), ("--map", "at=nowhere")):
        said(str(file), *wrong, code=1)
