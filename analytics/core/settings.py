"""Every setting of Helmsight, read once at start from the environment and from files.

A setting ``GROUP.NAME`` is the variable ``HELMSIGHT_GROUP__NAME``; ``HELMSIGHT_HOME`` stands alone.
Nothing else in Helmsight reads the environment. Instances are built in the entry points only.
"""

import difflib
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from analytics.core.errors import ConfigError

PREFIX = "HELMSIGHT_"


def default_home() -> Path:
    """Return where state lives when ``HELMSIGHT_HOME`` is not set.

    For root that is ``/var/lib/helmsight``: PostgreSQL refuses to run as root, and the account it runs as
    instead cannot enter root's home.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/helmsight")
    return Path(platformdirs.user_data_dir("helmsight", appauthor=False))


_UNITS_S = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)")


def _duration(value: object) -> object:
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    return value if match is None else timedelta(seconds=float(match[1]) * _UNITS_S[match[2]])


def _comma_list(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
"""Seconds as a number, or a number with ``ms``, ``s``, ``m``, ``h`` or ``d``."""


Origin = Annotated[str, Field(pattern=r"^https?://[^/\s]+$")]
"""Scheme, host and port of a web page, as browsers send it."""


PythonName = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")]
"""A Python function as ``package.module:function``."""


_LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - names, nothing listens


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StoreSettings(_Group):
    """PostgreSQL, where the truth is kept."""

    dsn: SecretStr | None = Field(
        default=None,
        description="Where PostgreSQL is (`postgresql://user:password@host/db`); unset: Helmsight runs its own.",
    )
    reader_dsn: SecretStr | None = Field(
        default=None,
        description="The same database for a role that may only read, which `sql.query` asks as; unset with a server of"
        " your own: it asks as Helmsight's own role.",
    )
    pool_profile: Literal["local", "cloud"] = Field(
        default="local",
        description="`local`: 20 connections and 10 more; `cloud`: 3 and 7, recycled every 300 s.",
    )
    statement_timeout: Duration = Field(
        default=timedelta(seconds=30), description="The longest a statement of a page or job may take."
    )
    work_mem: str = Field(default="16MB", pattern=r"^\d+(kB|MB|GB)$", description="Memory of one sort or hash.")
    keep_runs: Duration = Field(
        default=timedelta(days=90),
        ge=timedelta(days=1),
        description="How long runs with their nodes, logs and artifacts are kept; whole months are dropped.",
    )
    keep_samples: Duration = Field(
        default=timedelta(days=35),
        ge=timedelta(days=2),
        description="How long single measurements, as of the processor, are kept; whole months are dropped, their sums"
        " stay.",
    )
    keep_hours: Duration = Field(
        default=timedelta(days=100),
        ge=timedelta(days=100),
        description="How long sums by hour are kept; whole months are dropped.",
    )
    keep_days: Duration = Field(
        default=timedelta(days=800),
        ge=timedelta(days=100),
        description="How long sums by day are kept; whole months are dropped.",
    )
    keep_facts: Duration = Field(
        default=timedelta(days=400),
        ge=timedelta(days=1),
        description="How long runs and calls of agents, handoffs and events are kept; whole months are dropped, their"
        " sums stay.",
    )
    auto_index: bool = Field(
        default=False,
        description="Whether the scheduler makes advised indexes by itself, one a day, where the gain is beyond doubt.",
    )


class RedisSettings(_Group):
    """Redis or Valkey: the wake-up and the live view."""

    url: SecretStr | None = Field(
        default=None,
        description="Where Redis or Valkey is (`redis://host:6379/0`); unset: Helmsight runs its own.",
    )
    timeout: Duration = Field(default=timedelta(seconds=5), description="The longest a command may take.")


class PrometheusSettings(_Group):
    """Prometheus, a source of measurements."""

    url: str | None = Field(
        default=None, description="Where Prometheus is; unset: Helmsight runs one if it finds the program."
    )
    binary: Path | None = Field(default=None, description="The `prometheus` program; unset: searched in PATH.")
    timeout: Duration = Field(default=timedelta(seconds=10), description="The longest a query may take.")
    scrape_interval: Duration = Field(
        default=timedelta(seconds=15),
        description="How often the Prometheus that Helmsight runs reads metrics.",
    )


class HttpSettings(_Group):
    """The web server."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8501, ge=0, le=65535, description="Port to listen on.")
    public_url: str | None = Field(default=None, description="How browsers reach it, if a proxy stands before it.")
    allowed_origins: Annotated[tuple[Origin, ...], NoDecode, BeforeValidator(_comma_list)] = Field(
        default=(), description="Other origins whose pages may call the API and the sockets, separated by commas."
    )
    max_upload_bytes: int = Field(default=20 * 2**20, ge=1, description="The largest file a page or route takes.")

    @property
    def inner_url(self) -> str:
        """Return where programs of this machine reach the dashboard; the wildcard addresses become loopback."""
        host = _LOOPBACK_OF.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


class AuthSettings(_Group):
    """Who may sign in, and for how long."""

    session_ttl: Duration = Field(default=timedelta(hours=12), description="A session ends this long after sign-in.")
    session_idle: Duration = Field(
        default=timedelta(hours=2), description="A session ends this long after its last use."
    )
    login_attempts: int = Field(default=5, ge=1, description="Failed sign-ins per account and address before a wait.")
    login_window: Duration = Field(
        default=timedelta(minutes=5), description="How long failed sign-ins count, and how long the wait is."
    )
    cookie_secret: SecretStr | None = Field(
        default=None,
        description="Signs cookies; the same on all processes. Unset: made once and kept in the home.",
    )


class WorkerSettings(_Group):
    """The worker processes."""

    run_slots: int = Field(default=50, ge=1, le=1000, description="Runs one worker process carries at once.")
    model_processes: int = Field(default=1, ge=0, le=64, description="Processes for OCR and other heavy nodes.")
    lease: Duration = Field(
        default=timedelta(seconds=15), description="A run whose worker is silent this long moves on."
    )
    priority_step: Duration = Field(
        default=timedelta(minutes=5),
        gt=timedelta(0),
        le=timedelta(days=7),
        description="A run overtakes those of one priority less that were queued up to this much earlier.",
    )
    idempotency_ttl: Duration = Field(
        default=timedelta(days=7),
        ge=timedelta(minutes=1),
        description="How long an idempotency key stands for its run, also after the run ended.",
    )
    metrics_host: str = Field(default="127.0.0.1", description="Address on which workers show their metrics.")
    metrics_port: int = Field(default=0, ge=0, le=65535, description="Port for that; 0 takes a free one.")
    http_allow_private: bool = Field(
        default=False, description="Whether `http.request` nodes may call private and loopback addresses."
    )
    python_allowed: Annotated[tuple[PythonName, ...], NoDecode, BeforeValidator(_comma_list)] = Field(
        default=(),
        description="Functions that `python` nodes may call besides entry points of `helmsight.python`, as"
        " `package.module:function`, separated by commas.",
    )


class OcrSettings(_Group):
    """Reading text from images and PDF files."""

    languages: str = Field(
        default="deu+eng", pattern=r"^[a-z_]{3,}(\+[a-z_]{3,})*$", description="Tesseract languages."
    )
    max_pixels: int = Field(default=120_000_000, ge=1, description="The largest image, in pixels.")
    max_pages: int = Field(default=200, ge=1, description="The most pages of one document.")
    page_timeout: Duration = Field(default=timedelta(seconds=60), description="The longest one page may take.")


class McpSettings(_Group):
    """MCP servers that agents and pages may call."""

    servers_file: Path | None = Field(
        default=None,
        description="A JSON file with `mcpServers`; unset: only the server that Helmsight ships.",
    )
    call_timeout: Duration = Field(default=timedelta(seconds=30), description="The longest a tool call may take.")


class MetricsSettings(_Group):
    """What `/metrics` asks of a scraper."""

    token: SecretStr | None = Field(
        default=None, description="Bearer token for `/metrics`; unset: made once and kept in the home."
    )


class LogSettings(_Group):
    """How log lines look."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="Lowest level written.")
    format: Literal["json", "text"] = Field(default="json", description="`json`, or `text` for a person.")


class Settings(BaseSettings):
    """All settings; frozen, and refused when a key is misspelt."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid", env_ignore_empty=True
    )

    home: Path = Field(default_factory=default_home, description="The one directory where state lives.")
    store: StoreSettings = StoreSettings()
    redis: RedisSettings = RedisSettings()
    prometheus: PrometheusSettings = PrometheusSettings()
    http: HttpSettings = HttpSettings()
    auth: AuthSettings = AuthSettings()
    worker: WorkerSettings = WorkerSettings()
    ocr: OcrSettings = OcrSettings()
    mcp: McpSettings = McpSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()

    @property
    def dsn(self) -> str:
        """Return where PostgreSQL is.

        Raises:
            ConfigError: If no server is named; only ``helmsight up`` can start one.
        """
        if self.store.dsn is None:
            raise ConfigError(
                "No PostgreSQL is named, so nothing was started. Set HELMSIGHT_STORE__DSN, or run `helmsight up`,"
                " which brings its own."
            )
        return self.store.dsn.get_secret_value()

    @property
    def redis_url(self) -> str:
        """Return where Redis or Valkey is.

        Raises:
            ConfigError: If no server is named; only ``helmsight up`` can start one.
        """
        if self.redis.url is None:
            raise ConfigError(
                "No Redis is named, so nothing was started. Set HELMSIGHT_REDIS__URL, or run `helmsight up`,"
                " which brings its own."
            )
        return self.redis.url.get_secret_value()


def load_settings(**overrides: Any) -> Settings:
    """Read the settings from the environment; *overrides* stand above it.

    Raises:
        ConfigError: If a variable is misspelt or its value cannot be used; the message names every one of them.
    """
    unknown = [name for name in os.environ if name.startswith(PREFIX) and not _is_known(name)]
    if unknown:
        raise ConfigError(
            "Unknown settings: "
            + ", ".join(f"{name}{_nearest(name)}" for name in sorted(unknown))
            + ". Nothing was started."
        )
    try:
        return Settings(**overrides)
    except SettingsError as error:
        raise ConfigError(f"Settings cannot be used: {error}. Nothing was started.") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{variable_name(*(str(part) for part in item['loc']))}: {item['msg']}" for item in error.errors()
        )
        raise ConfigError(f"Settings cannot be used: {problems}. Nothing was started.") from error


def inherited_environment(**changes: str) -> dict[str, str]:
    """Return a copy of this process's environment with *changes*, to hand on to a child process."""
    return {**os.environ, **changes}


def variable_name(*path: str) -> str:
    """Return the environment variable of the setting at *path*, for example ``("store", "dsn")``."""
    return PREFIX + "__".join(path).upper()


def environment_variable(name: str) -> str | None:
    """Return the variable *name* that a file of the operator refers to, or None when it is not set."""
    return os.environ.get(name)


def describe_settings() -> list[tuple[str, str, str]]:
    """Return every setting as (variable, default as text, description), in the order of the groups."""
    rows = [(variable_name("home"), "depends on the account", Settings.model_fields["home"].description or "")]
    for group, field in Settings.model_fields.items():
        model = field.annotation
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            continue
        for name, inner in model.model_fields.items():
            default = inner.default
            shown = f"{default.total_seconds():g} s" if isinstance(default, timedelta) else str(default)
            shown = "none" if default == () else shown
            rows.append((variable_name(group, name), "unset" if default is None else shown, inner.description or ""))
    return rows


def _known_names() -> set[str]:
    return {row[0] for row in describe_settings()}


def _is_known(name: str) -> bool:
    return name.upper() in _known_names()


def _nearest(name: str) -> str:
    close = difflib.get_close_matches(name.upper(), _known_names(), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
