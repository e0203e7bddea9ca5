"""`helmsight up` and `helmsight demo`, and the commands they run once as children."""

import json
import sys
from collections.abc import Callable, Sequence

from analytics.core.clock import utc_now
from analytics.core.errors import ConfigError
from analytics.core.settings import Settings, inherited_environment, load_settings
from dashboard.processes.home import Home, PartState, StackState
from dashboard.processes.up import FirstAdmin, Stack, Wishes


def up(*, stop_at_end_of_input: bool = False) -> None:
    """Run everything until it is told to stop."""
    _run(load_settings(), stop_at_end_of_input=stop_at_end_of_input)


def demo(*, accounts: bool = False, stop_at_end_of_input: bool = False) -> None:
    """Run everything with the demo history; on a home where it runs already, only add the history."""
    settings = load_settings()
    running = Home(settings.home).running_state()
    commands = [["seed-demo", *(["--accounts"] if accounts else [])]]
    if running is None:
        _run(settings, after_migration=commands, stop_at_end_of_input=stop_at_end_of_input)
        return
    for line in seed(accounts=accounts):
        _print(line)
    _say(f"the demo history was added to what runs at {running.url or 'a start that is going on'}")


def remove_demo() -> None:
    """Remove the demo history and nothing else; starts only PostgreSQL and Valkey when nothing runs."""
    settings = load_settings()
    if settings.store.dsn is not None or Home(settings.home).running_state() is not None:
        for line in remove_seeded():
            _print(line)
        return
    if not (Home(settings.home).postgres / "data").exists():
        raise ConfigError(f"There is no Helmsight on {settings.home}, so there is no demo history to remove.")
    _run(settings, after_migration=[["unseed-demo"]], stores_only=True)


def prepare_store() -> None:
    """Bring the schema up to date, make the built-in workflows and the first administrator; print one JSON line."""
    from analytics.store.engine import make_engine, session_scope  # noqa: PLC0415 - the supervisor needs none of it
    from analytics.store.migrate import migrate  # noqa: PLC0415
    from analytics.store.reading import let_read  # noqa: PLC0415
    from dashboard.commands.accounts import make_first_admin  # noqa: PLC0415
    from worker.workflow.definition import ensure_builtin_workflows  # noqa: PLC0415

    settings = load_settings()
    engine = make_engine(settings, role="prepare")
    try:
        revision = migrate(engine)
        let_read(engine, settings)
        with session_scope(engine) as session:
            ensure_builtin_workflows(session)
        with session_scope(engine) as session:
            admin = make_first_admin(session)
    finally:
        engine.dispose()
    made = None if admin is None else {"email": admin[0], "password": admin[1]}
    _print(json.dumps({"revision": revision, "admin": made}))


def as_child(lines: Sequence[str]) -> None:
    """Print *lines* as the JSON line that `up` reads from the commands it runs."""
    _print(json.dumps({"lines": list(lines)}))


def seed(*, accounts: bool) -> list[str]:
    """Add the demo history to the store that the settings name or that runs on their home; return what to print."""
    from analytics.demo import seed as add_history  # noqa: PLC0415 - only a demo needs it
    from analytics.live.client import connect  # noqa: PLC0415
    from analytics.store.engine import make_engine, session_scope  # noqa: PLC0415
    from dashboard.commands.demo_accounts import make_demo_accounts  # noqa: PLC0415
    from dashboard.processes.addresses import connected  # noqa: PLC0415

    settings = connected(load_settings())
    engine = make_engine(settings, role="demo")
    client = connect(settings) if settings.redis.url is not None else None
    try:
        lines = [f"demo history: {add_history(engine, client, now=utc_now())}"]
        if accounts:
            with session_scope(engine) as session:
                made = make_demo_accounts(session)
            lines += [f"demo account {email}, one-time password: {password}" for email, password in made]
    finally:
        engine.dispose()
        if client is not None:
            client.close()
    return lines


def remove_seeded() -> list[str]:
    """Remove the demo history from the store the settings name or that runs on their home; return what to print."""
    from analytics.demo import remove  # noqa: PLC0415 - only a demo needs it
    from analytics.live.client import connect  # noqa: PLC0415
    from analytics.store.engine import make_engine  # noqa: PLC0415
    from dashboard.processes.addresses import connected  # noqa: PLC0415

    settings = connected(load_settings())
    engine = make_engine(settings, role="demo")
    client = connect(settings) if settings.redis.url is not None else None
    try:
        return [f"removed demo history: {remove(engine, client)}"]
    finally:
        engine.dispose()
        if client is not None:
            client.close()


def _run(
    settings: Settings,
    *,
    after_migration: Sequence[Sequence[str]] = (),
    stores_only: bool = False,
    stop_at_end_of_input: bool = False,
) -> None:
    wishes = Wishes(
        said=_say,
        told=_print,
        admin_made=_show_admin,
        ready=_ready(settings),
        after_migration=after_migration,
        stores_only=stores_only,
        stop_at_end_of_input=stop_at_end_of_input,
    )
    Stack(settings, environment=inherited_environment(), wishes=wishes).run()


def _show_admin(admin: FirstAdmin) -> None:
    _print(f"first administrator: {admin.email}")
    _print(f"one-time password:   {admin.password}   (shown only now; you choose your own after signing in)")


def _ready(settings: Settings) -> Callable[[StackState], None]:
    def show(state: StackState) -> None:
        for part in state.parts:
            if part.state not in {PartState.READY, PartState.EXTERNAL, PartState.ABSENT}:
                reason = part.detail.splitlines()[0] if part.detail else "look into its log"
                _say(f"{part.name} is not ready ({part.state}): {reason}")
        _print(f"Helmsight is ready: {state.url}")
        _say(f"home {Home(settings.home).root}; Ctrl-C stops everything")

    return show


def _say(text: str) -> None:
    sys.stderr.write(f"helmsight: {text}\n")
    sys.stderr.flush()


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
