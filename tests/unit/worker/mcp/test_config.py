import json
import sys
from datetime import timedelta

import pytest

from analytics.core.errors import ConfigError, DependencyError
from analytics.core.settings import McpSettings, Settings
from worker.mcp.config import SHIPPED, load_servers, resolve_env


@pytest.fixture
def settings_with(tmp_path):
    def make(text: str) -> Settings:
        path = tmp_path / "servers.json"
        path.write_text(text)
        return Settings(home=tmp_path, mcp=McpSettings(servers_file=path))

    return make


def servers(settings_with, blocks: dict):
    return load_servers(settings_with(json.dumps({"mcpServers": blocks})))


def test_without_a_file_there_is_the_shipped_server_alone():
    found = load_servers(Settings())
    assert list(found) == [SHIPPED]
    assert found[SHIPPED].command == sys.executable
    assert found[SHIPPED].enabled


def test_a_file_of_other_clients_is_taken_as_it_is(settings_with):
    block = {
        "command": "npx",
        "args": ["-y", "server-memory"],
        "env": {"A": "1"},
        "type": "stdio",
        "autoApprove": ["read"],
        "disabled": False,
    }
    found = servers(settings_with, {"memory": block})
    assert list(found) == [SHIPPED, "memory"]
    assert found["memory"].args == ("-y", "server-memory")
    assert found["memory"].allows("anything")


def test_our_own_keys_limit_tools_and_time(settings_with):
    ours = {"timeout": 5, "tools": {"allow": ["read", "write"], "deny": ["write"]}}
    found = servers(settings_with, {"files": {"command": "x", "x-helmsight": ours}})["files"]
    assert found.timeout == timedelta(seconds=5)
    assert [tool for tool in ("read", "write", "list") if found.allows(tool)] == ["read"]


def test_the_shipped_server_can_be_switched_off_but_not_replaced(settings_with):
    assert not servers(settings_with, {SHIPPED: {"disabled": True}})[SHIPPED].enabled
    with pytest.raises(ConfigError, match="give yours another name"):
        servers(settings_with, {SHIPPED: {"command": "evil"}})


def test_a_server_over_http_is_listed_with_why_it_cannot_be_used(settings_with):
    found = servers(settings_with, {"web": {"url": "https://example.com/mcp"}})["web"]
    assert found.transport == "http"
    assert "stdio" in found.problem


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param('{"mcpServers": {\n "a": {,}}}', r"line 2, column 8", id="not-json"),
        pytest.param('{"servers": {}}', "no object", id="no-servers"),
        pytest.param("[]", "no object", id="list"),
        pytest.param('{"mcpServers": {"a b": {"command": "x"}}}', "no server name", id="name"),
        pytest.param('{"mcpServers": {"a": {"command": 5}}}', "command: Input should be a valid string", id="type"),
        pytest.param(
            '{"mcpServers": {"a": {"command": "x", "x-helmsight": {"tool": {}}}}}', "x-helmsight.tool", id="misspelt"
        ),
    ],
)
def test_a_file_that_cannot_be_used_names_the_place(settings_with, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load_servers(settings_with(text))
    assert "HELMSIGHT_MCP__SERVERS_FILE" in caught.value.message


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_servers(Settings(mcp=McpSettings(servers_file=tmp_path / "none.json")))


def test_references_are_resolved_late_and_never_to_our_own_settings(settings_with, monkeypatch, tmp_path):
    monkeypatch.setenv("REPORTS_HOST", "db.example.com")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "reports").write_text("s3cret\n")
    env = {"DSN": "pg://${secret:reports}@${env:REPORTS_HOST}/x", "OURS": "${env:HELMSIGHT_STORE__DSN}"}
    text = json.dumps({"mcpServers": {"db": {"command": "x", "env": env}}})
    settings = settings_with(text)
    config = load_servers(settings)["db"]
    assert config.env["DSN"] == env["DSN"]
    monkeypatch.setenv("HELMSIGHT_STORE__DSN", "postgresql://secret")
    with pytest.raises(DependencyError, match="needs HELMSIGHT_STORE__DSN"):
        resolve_env(config, settings)
    plain = load_servers(settings_with(text.replace("HELMSIGHT_STORE__DSN", "REPORTS_HOST")))["db"]
    assert resolve_env(plain, settings)["DSN"] == "pg://s3cret@db.example.com/x"


def test_a_secret_cannot_be_read_from_elsewhere(settings_with, tmp_path):
    (tmp_path / "outside").write_text("no")
    env = {"A": "${secret:../outside}"}
    settings = settings_with(json.dumps({"mcpServers": {"x": {"command": "x", "env": env}}}))
    assert resolve_env(load_servers(settings)["x"], settings) == env
