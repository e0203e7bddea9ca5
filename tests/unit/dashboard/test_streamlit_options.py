"""Streamlit's options hold whatever server runs the application."""

import tomllib

import pytest
from pydantic import SecretStr
from streamlit import config
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.forward_msg_cache import populate_hash_if_needed

from analytics.core.settings import AuthSettings, HttpSettings, Settings
from dashboard.app import SCRIPT
from dashboard.streamlit_options import apply_options, cookie_secret, metrics_token, options_of


@pytest.fixture
def settings(tmp_path):
    before = {name: config.get_option(name) for name in options_of(Settings(home=tmp_path))}
    yield Settings(
        home=tmp_path,
        auth=AuthSettings(cookie_secret=SecretStr("c" * 40)),
        http=HttpSettings(max_upload_bytes=3_500_000, allowed_origins=("https://portal.example.org",)),
    )
    for name, value in before.items():
        config.set_option(name, value)


def test_every_option_is_one_that_streamlit_knows_and_holds(settings):
    apply_options(settings)
    for name, value in options_of(settings).items():
        assert config.get_option(name) == value, name


def test_settings_decide_what_depends_on_them(settings):
    options = options_of(settings)
    assert options["server.maxUploadSize"] == 4
    assert options["server.cookieSecret"] == "c" * 40
    assert options["server.corsAllowedOrigins"] == ["https://portal.example.org"]


def test_nothing_is_told_to_anybody(settings):
    options = options_of(settings)
    assert options["browser.gatherUsageStats"] is False
    assert options["client.showErrorDetails"] == "none"
    assert options["client.allowedOrigins"] == []


def test_secrets_nobody_set_are_made_once_and_kept_for_their_owner(tmp_path):
    settings = Settings(home=tmp_path)
    for name, read in (("cookie-secret", cookie_secret), ("metrics-token", metrics_token)):
        secret = read(settings)
        assert len(secret) >= 40
        assert read(settings) == secret
        assert (tmp_path / "secrets" / name).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("appearance", ["light", "dark"])
@pytest.mark.parametrize("name", ["chartCategoricalColors", "chartSequentialColors"])
def test_charts_have_the_ten_colours_without_which_plotly_takes_its_own(appearance, name):
    theme = tomllib.loads((SCRIPT.parent / ".streamlit" / "config.toml").read_text(encoding="utf-8"))["theme"]
    assert len(set(theme[appearance][name])) == 10


def test_large_messages_are_sent_whole_and_never_as_a_reference_that_a_browser_may_have_forgotten(settings):
    apply_options(settings)
    message = ForwardMsg()
    message.delta.new_element.markdown.body = "x" * 1_000_000
    populate_hash_if_needed(message)
    assert message.hash
    assert not message.metadata.cacheable
