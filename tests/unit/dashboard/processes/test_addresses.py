import socket

import pytest

from analytics.core.errors import ConfigError
from analytics.core.settings import HttpSettings, Settings
from dashboard.processes.addresses import connected, http_port, inner_ports, is_free, url_of, variables
from dashboard.processes.servers import free_port


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_taken_port_is_not_free(taken):
    assert not is_free("127.0.0.1", taken)


def test_a_port_set_by_name_that_is_taken_is_an_error_and_never_replaced(taken):
    with pytest.raises(ConfigError, match=f"HELMSIGHT_HTTP__PORT is {taken}"):
        http_port(HttpSettings(port=taken))


def test_a_default_port_that_is_taken_is_replaced_and_said(taken, monkeypatch):
    settings = HttpSettings.model_construct(**HttpSettings().model_dump() | {"port": taken}, _fields_set=set())
    port, remark = http_port(settings)
    assert port != taken
    assert str(taken) in remark
    assert str(port) in remark


def test_a_free_port_is_taken_as_it_is_set():
    port = free_port()
    assert http_port(HttpSettings(port=port)) == (port, None)


def test_port_zero_takes_any_free_port():
    port, remark = http_port(HttpSettings(port=0))
    assert port > 0
    assert remark is None


def test_a_host_that_is_not_ours_names_the_setting():
    with pytest.raises(ConfigError, match="HELMSIGHT_HTTP__HOST"):
        http_port(HttpSettings(host="no such host", port=8501))


def test_servers_keep_their_ports_over_starts_unless_somebody_took_them(taken):
    kept = free_port()
    ports = inner_ports(["postgres", "valkey"], {"postgres": kept, "valkey": taken}, set())
    assert ports["postgres"] == kept
    assert ports["valkey"] not in {taken, kept}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (HttpSettings(), "http://127.0.0.1:9"),
        (HttpSettings(host="0.0.0.0"), "http://127.0.0.1:9"),  # noqa: S104 - a name
        (HttpSettings(public_url="https://helm.example"), "https://helm.example"),
    ],
)
def test_the_url_is_one_a_browser_can_open(settings, expected):
    assert url_of(settings, 9) == expected


def test_without_a_running_stack_settings_stay_as_they_are(tmp_path):
    settings = Settings(home=tmp_path)
    assert connected(settings) is settings
    assert set(variables(settings)) == {"HELMSIGHT_HOME"}
