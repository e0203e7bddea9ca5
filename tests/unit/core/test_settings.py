from datetime import timedelta
from pathlib import Path

import pytest

from analytics.core.errors import ConfigError
from analytics.core.settings import describe_settings, load_settings, variable_name


def test_a_setting_is_read_from_its_variable(monkeypatch):
    monkeypatch.setenv("HELMSIGHT_HTTP__PORT", "9000")
    monkeypatch.setenv("HELMSIGHT_WORKER__LEASE", "20")
    settings = load_settings()
    assert settings.http.port == 9000
    assert settings.worker.lease == timedelta(seconds=20)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("HELMSIGHT_STORE__DNS", "HELMSIGHT_STORE__DSN"),
        ("HELMSIGHT_HOEM", "HELMSIGHT_HOME"),
        ("HELMSIGHT_HTTP__PROT", "HELMSIGHT_HTTP__PORT"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_nearest_name(monkeypatch, name, hint):
    monkeypatch.setenv(name, "x")
    with pytest.raises(ConfigError, match=f"{name}.*{hint}"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HELMSIGHT_HTTP__PORT", "http"),
        ("HELMSIGHT_HTTP__PORT", "70000"),
        ("HELMSIGHT_STORE__POOL_PROFILE", "huge"),
        ("HELMSIGHT_STORE__STATEMENT_TIMEOUT", "soon"),
        ("HELMSIGHT_OCR__LANGUAGES", "../etc"),
        ("HELMSIGHT_HTTP__ALLOWED_ORIGINS", "not json"),
        ("HELMSIGHT_STORE__WORK_MEM", "16MB -c evil=1"),
    ],
)
def test_a_value_that_cannot_be_used_names_its_variable(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=name.rsplit("__", maxsplit=1)[0]):
        load_settings()


@pytest.mark.parametrize("reader", ["dsn", "redis_url"])
def test_a_part_that_is_not_named_says_which_variable_names_it(reader):
    with pytest.raises(ConfigError, match=r"HELMSIGHT_(STORE__DSN|REDIS__URL)"):
        getattr(load_settings(home=Path("/nowhere")), reader)


def test_secrets_do_not_show_when_settings_are_printed(monkeypatch):
    monkeypatch.setenv("HELMSIGHT_STORE__DSN", "postgresql://me:hunter2@db/helmsight")
    monkeypatch.setenv("HELMSIGHT_METRICS__TOKEN", "hunter2")
    assert "hunter2" not in repr(load_settings())


def test_every_setting_has_a_description():
    assert [name for name, _, description in describe_settings() if not description.strip()] == []


def test_a_setting_is_named_after_its_place():
    assert variable_name("store", "dsn") == "HELMSIGHT_STORE__DSN"
