"""Settings are shown in force, secrets never."""

from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr

from analytics.core.settings import HttpSettings, PrometheusSettings, Settings, StoreSettings, describe_settings
from dashboard.settings_view import HIDDEN, UNSET, effective_settings, shown


def test_every_setting_is_listed():
    rows = effective_settings(Settings(home=Path("home")))
    assert [row.variable for row in rows] == [row[0] for row in describe_settings()]


def test_secrets_are_never_shown_not_even_inside_an_address():
    settings = Settings(
        store=StoreSettings(dsn=SecretStr("postgresql://a:hunter2@db/x")),
        prometheus=PrometheusSettings(url="http://me:hunter2@prom:9090"),
    )
    rows = {row.variable: row.value for row in effective_settings(settings)}
    assert rows["HELMSIGHT_STORE__DSN"] == HIDDEN
    assert rows["HELMSIGHT_PROMETHEUS__URL"] == "http://me:***@prom:9090"
    assert "hunter2" not in str(rows)


def test_what_was_changed_is_marked():
    rows = {row.variable: row for row in effective_settings(Settings(http=HttpSettings(port=9000)))}
    assert rows["HELMSIGHT_HTTP__PORT"].is_changed
    assert not rows["HELMSIGHT_HTTP__HOST"].is_changed


def test_values_read_as_people_write_them():
    assert shown(timedelta(minutes=5)) == "5 min"
    assert shown(()) == UNSET
    assert shown(("a", "b")) == "a, b"
    assert shown(None) == UNSET
