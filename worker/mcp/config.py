"""Which MCP servers there are: the one Helmsight ships, and those of the operator's ``mcpServers`` file.

Commands come from that file only, never from a page or a route. The file has the form other clients use; what is
ours stands under ``x-helmsight``. ``${env:NAME}`` and ``${secret:NAME}`` in ``env`` are resolved when a server
starts and are kept nowhere.
"""

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from analytics.core.errors import ConfigError, DependencyError
from analytics.core.settings import PREFIX, Settings, environment_variable

SHIPPED = "helmsight"
FILE_VARIABLE = "HELMSIGHT_MCP__SERVERS_FILE"
_LARGEST_FILE_BYTES = 2**20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_REFERENCE = re.compile(r"\$\{(env|secret):([A-Za-z_][A-Za-z0-9_.-]*)\}")


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """One server: how it is started, and which of its tools may be called."""

    name: str
    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    """References are not yet resolved."""
    cwd: Path | None = None
    enabled: bool = True
    timeout: timedelta | None = None
    """The longest a call may take; None: the setting ``mcp.call_timeout``."""
    allowed_tools: frozenset[str] | None = None
    """None: all that are not denied."""
    denied_tools: frozenset[str] = frozenset()
    transport: str = "stdio"
    problem: str | None = None
    """Why it cannot be used, although it is in the file."""

    def allows(self, tool: str) -> bool:
        """Return whether *tool* may be called."""
        if tool in self.denied_tools:
            return False
        return self.allowed_tools is None or tool in self.allowed_tools


class _Tools(BaseModel):
    model_config = ConfigDict(extra="forbid")
    allow: frozenset[str] | None = None
    deny: frozenset[str] = frozenset()


class _Ours(BaseModel):
    model_config = ConfigDict(extra="forbid")
    timeout: float | None = Field(default=None, gt=0, le=3600, description="seconds")
    tools: _Tools = _Tools()


class _Server(BaseModel):
    """A block of ``mcpServers``; keys that are only for other clients are let pass."""

    command: str | None = Field(default=None, min_length=1)
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: Path | None = None
    url: str | None = None
    disabled: bool = False
    enabled: bool = True
    ours: _Ours = Field(default=_Ours(), alias="x-helmsight")


def load_servers(settings: Settings) -> dict[str, ServerConfig]:
    """Return every server by name: the shipped one first, then those of the file in its order.

    A block of the file named ``helmsight`` may switch the shipped server off or limit its tools, but not change
    its command.

    Raises:
        ConfigError: If the file cannot be read or used; the message names file, place and reason.
    """
    servers = {SHIPPED: _shipped()}
    for name, block in _read_blocks(settings.mcp.servers_file).items():
        servers[name] = _shipped(block) if name == SHIPPED else _server(name, block)
    return servers


def resolve_env(config: ServerConfig, settings: Settings) -> dict[str, str]:
    """Return the variables of *config* with every reference replaced by its value.

    Raises:
        DependencyError: If a variable or secret is not there; its name is told, never a value.
    """
    return {
        name: _REFERENCE.sub(lambda match: _lookup(config.name, match[1], match[2], settings), value)
        for name, value in config.env.items()
    }


def _lookup(server: str, kind: str, name: str, settings: Settings) -> str:
    if kind == "env":
        value = None if name.upper().startswith(PREFIX) else environment_variable(name)
        where = "in the environment of the worker"
    else:
        path = (settings.home / "secrets" / name).resolve()
        value = path.read_text(encoding="utf-8").rstrip("\n") if path.is_file() else None
        where = f"in {path.parent}"
    if value is None:
        raise DependencyError(
            f"MCP server {server!r} needs {name}, which is not {where}; it was not started. Put it there.",
            part=f"mcp:{server}",
        )
    return value


def _shipped(block: "_Server | None" = None) -> ServerConfig:
    base = ServerConfig(name=SHIPPED, command=sys.executable, args=("-P", "-m", "worker.mcp.shipped_server"))
    if block is None:
        return base
    if block.command is not None or block.url is not None:
        raise ConfigError(
            f"{FILE_VARIABLE}: the server {SHIPPED!r} is the one Helmsight ships; give yours another name."
            " Nothing was started."
        )
    return replace(base, **_limits(block))


def _server(name: str, block: _Server) -> ServerConfig:
    problem = None
    if block.command is None:
        problem = "It has no command: only servers over stdio can be used so far."
    return ServerConfig(
        name=name,
        command=block.command or "",
        args=block.args,
        env=block.env,
        cwd=block.cwd,
        transport="stdio" if block.command else "http",
        problem=problem,
        **_limits(block),
    )


def _limits(block: _Server) -> dict[str, Any]:
    return {
        "enabled": block.enabled and not block.disabled,
        "timeout": None if block.ours.timeout is None else timedelta(seconds=block.ours.timeout),
        "allowed_tools": block.ours.tools.allow,
        "denied_tools": block.ours.tools.deny,
    }


def _read_blocks(path: Path | None) -> dict[str, _Server]:
    if path is None:
        return {}
    document = _read_json(path)
    blocks = document.get("mcpServers") if isinstance(document, dict) else None
    if not isinstance(blocks, dict):
        raise ConfigError(f'{FILE_VARIABLE}: {path} has no object "mcpServers"; nothing was started.')
    found: dict[str, _Server] = {}
    for name, block in blocks.items():
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"{FILE_VARIABLE}: {path}: {name!r} is no server name (letters, digits, . _ -); nothing was started."
            )
        try:
            found[name] = _Server.model_validate(block)
        except ValidationError as error:
            reasons = "; ".join(f"{'.'.join(map(str, item['loc'])) or name}: {item['msg']}" for item in error.errors())
            raise ConfigError(f"{FILE_VARIABLE}: {path}: server {name!r}: {reasons}. Nothing was started.") from error
    return found


def _read_json(path: Path) -> Any:
    try:
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            raise ConfigError(f"{FILE_VARIABLE}: {path} is larger than 1 MiB; nothing was started.")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{FILE_VARIABLE}: {path} cannot be read ({error.strerror}); nothing was started.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{FILE_VARIABLE}: {path} is not UTF-8; nothing was started.") from error
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{FILE_VARIABLE}: {path}, line {error.lineno}, column {error.colno}: {error.msg}. Nothing was started."
        ) from error
