"""Where the parts listen: ports chosen at start, and how other commands find a stack that runs."""

import socket
from collections.abc import Iterable, Mapping

from pydantic import SecretStr

from analytics.core.errors import ConfigError
from analytics.core.settings import HttpSettings, Settings
from dashboard.processes.home import Home
from dashboard.processes.servers import EmbeddedPostgres, EmbeddedValkey, free_port

LOOPBACK = "127.0.0.1"


def is_free(host: str, port: int) -> bool:
    """Tell whether *port* can be listened on at *host* now.

    Raises:
        ConfigError: If *host* is not an address of this machine.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
            0
        ]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except PermissionError as error:
        raise ConfigError(
            f"This account may not listen on port {port}; nothing was started."
            " Set HELMSIGHT_HTTP__PORT to a port above 1023."
        ) from error
    except socket.gaierror as error:
        raise ConfigError(
            f"HELMSIGHT_HTTP__HOST names {host}, which is no address of this machine; nothing was started."
        ) from error
    except OSError:
        return False
    return True


def http_port(settings: HttpSettings) -> tuple[int, str | None]:
    """Return the port for browsers, and what to say when it is not the one they expect.

    Raises:
        ConfigError: If the port was set by name and somebody else listens there.
    """
    if settings.port == 0:
        return free_port(), None
    if is_free(settings.host, settings.port):
        return settings.port, None
    if "port" in settings.model_fields_set:
        raise ConfigError(
            f"HELMSIGHT_HTTP__PORT is {settings.port}, but another program already listens on {settings.host}:"
            f"{settings.port}; nothing was started. Stop that program, or set another port (0 takes a free one)."
        )
    port = free_port()
    return port, f"port {settings.port} is taken by another program, so this start uses {port}"


def inner_ports(names: Iterable[str], before: Mapping[str, int], taken: set[int]) -> dict[str, int]:
    """Return a free loopback port for each of *names*: the one it had *before* if that is free, none of *taken*."""
    chosen: dict[str, int] = {}
    for name in names:
        port = before.get(name, 0)
        while port == 0 or port in taken or not is_free(LOOPBACK, port):
            port = free_port()
        chosen[name] = port
        taken.add(port)
    return chosen


def url_of(settings: HttpSettings, port: int) -> str:
    """Return where browsers go."""
    if settings.public_url is not None:
        return settings.public_url
    return settings.model_copy(update={"port": port}).inner_url


def named(
    settings: Settings, *, postgres: EmbeddedPostgres | None, redis_url: str | None, prometheus_url: str | None
) -> Settings:
    """Return *settings* with these addresses where none was named."""
    changes: dict[str, object] = {}
    if settings.store.dsn is None and postgres is not None:
        ours = {"dsn": SecretStr(postgres.dsn), "reader_dsn": SecretStr(postgres.reader_dsn)}
        changes["store"] = settings.store.model_copy(update=ours)
    if settings.redis.url is None and redis_url is not None:
        changes["redis"] = settings.redis.model_copy(update={"url": SecretStr(redis_url)})
    if settings.prometheus.url is None and prometheus_url is not None:
        changes["prometheus"] = settings.prometheus.model_copy(update={"url": prometheus_url})
    return settings.model_copy(update=changes)


def connected(settings: Settings) -> Settings:
    """Return *settings* with the addresses of the stack that runs on their home, where none is named.

    When none runs, they come back as they are.
    """
    home = Home(settings.home)
    state = home.running_state()
    if state is None:
        return settings
    postgres, valkey, prometheus = (state.ports.get(name) for name in ("postgres", "valkey", "prometheus"))
    return named(
        settings,
        postgres=EmbeddedPostgres(root=home.postgres, port=postgres) if postgres else None,
        redis_url=EmbeddedValkey(root=home.valkey, port=valkey).url if valkey else None,
        prometheus_url=f"http://{LOOPBACK}:{prometheus}" if prometheus else None,
    )


def variables(settings: Settings) -> dict[str, str]:
    """Return the environment variables that name the addresses in *settings* to a child process."""
    found = {"HELMSIGHT_HOME": str(Home(settings.home).root)}
    if settings.store.dsn is not None:
        found["HELMSIGHT_STORE__DSN"] = settings.store.dsn.get_secret_value()
    if settings.store.reader_dsn is not None:
        found["HELMSIGHT_STORE__READER_DSN"] = settings.store.reader_dsn.get_secret_value()
    if settings.redis.url is not None:
        found["HELMSIGHT_REDIS__URL"] = settings.redis.url.get_secret_value()
    if settings.prometheus.url is not None:
        found["HELMSIGHT_PROMETHEUS__URL"] = settings.prometheus.url
    return found
