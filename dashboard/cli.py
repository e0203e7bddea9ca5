"""`helmsight`: the command line. Each command imports what it needs when it runs; errors are one line.

Exit codes: 0 done, 1 failed, 2 a setting or argument is wrong, 3 Helmsight runs already on this home.
"""

import sys
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

import typer

from analytics.core.errors import ConfigError, HelmsightError

EXIT_FAILED = 1
EXIT_CONFIG = 2
EXIT_ALREADY_RUNNING = 3

app = typer.Typer(
    name="helmsight",
    help="See and steer your AI agents and document workflows.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
users = typer.Typer(help="Accounts of people.", no_args_is_help=True)
tokens = typer.Typer(help="API tokens of programs.", no_args_is_help=True)
app.add_typer(users, name="user")
app.add_typer(tokens, name="token")

Email = Annotated[str, typer.Argument(help="E-mail of the account.")]
RoleName = Annotated[str, typer.Option("--role", help="viewer, analyst, operator or admin.")]
FromInput = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input; otherwise one is made.")
]


class WorkerKind(StrEnum):
    """The kinds of worker process."""

    RUN = "run"
    MODEL = "model"
    SCHEDULER = "scheduler"


@app.command()
def up(
    stop_at_end_of_input: Annotated[bool, typer.Option("--stop-at-end-of-input", hidden=True)] = False,
) -> None:
    """Run everything: servers, dashboard, workers and scheduler, until Ctrl-C."""
    from dashboard.commands import stack  # noqa: PLC0415 - see the module docstring

    stack.up(stop_at_end_of_input=stop_at_end_of_input)


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Do it all without a browser, print one JSON object.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the demo history and nothing else.")] = False,
    accounts: Annotated[bool, typer.Option("--accounts", help="Also make one account for each role.")] = False,
    stop_at_end_of_input: Annotated[bool, typer.Option("--stop-at-end-of-input", hidden=True)] = False,
) -> None:
    """Run everything with 30 days of labelled demo history."""
    from dashboard.commands import stack  # noqa: PLC0415 - see the module docstring

    if once:
        from dashboard.commands.once import run_once  # noqa: PLC0415

        raise typer.Exit(0 if run_once() else EXIT_FAILED)
    if remove:
        stack.remove_demo()
    else:
        stack.demo(accounts=accounts, stop_at_end_of_input=stop_at_end_of_input)


@app.command()
def dashboard() -> None:
    """Run the dashboard alone; PostgreSQL and Redis are named by settings."""
    from analytics.core.settings import load_settings  # noqa: PLC0415 - see the module docstring
    from dashboard.app import serve  # noqa: PLC0415
    from dashboard.processes.addresses import connected  # noqa: PLC0415

    serve(connected(load_settings()))


@app.command()
def worker(kind: Annotated[WorkerKind, typer.Argument(help="Which kind of worker.")] = WorkerKind.RUN) -> None:
    """Run one worker process alone; PostgreSQL and Redis are named by settings."""
    from analytics.core.settings import load_settings  # noqa: PLC0415 - see the module docstring
    from dashboard.processes.addresses import connected  # noqa: PLC0415
    from worker.main import main as run_worker  # noqa: PLC0415

    run_worker(kind.value, connected(load_settings()))


@app.command()
def migrate() -> None:
    """Bring the database to the schema this version needs."""
    from analytics.core.settings import load_settings  # noqa: PLC0415 - see the module docstring
    from analytics.store.engine import make_engine  # noqa: PLC0415
    from analytics.store.migrate import migrate as bring_up  # noqa: PLC0415
    from dashboard.processes.addresses import connected  # noqa: PLC0415

    engine = make_engine(connected(load_settings()), role="migrate")
    try:
        typer.echo(f"schema {bring_up(engine)}")
    finally:
        engine.dispose()


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check every part and say what to do for each that is not well."""
    from dashboard.commands.doctor import examine  # noqa: PLC0415 - see the module docstring

    raise typer.Exit(0 if examine(as_json=as_json) else EXIT_FAILED)


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as version_of  # noqa: PLC0415 - see the module docstring

    typer.echo(version_of("helmsight"))


@app.command("prepare-store", hidden=True)
def prepare_store() -> None:
    """Bring the store to what a start needs; used by `up`."""
    from dashboard.commands import stack  # noqa: PLC0415 - see the module docstring

    stack.prepare_store()


@app.command("seed-demo", hidden=True)
def seed_demo(accounts: Annotated[bool, typer.Option("--accounts")] = False) -> None:
    """Add the demo history; used by `demo`."""
    from dashboard.commands import stack  # noqa: PLC0415 - see the module docstring

    stack.as_child(stack.seed(accounts=accounts))


@app.command("unseed-demo", hidden=True)
def unseed_demo() -> None:
    """Remove the demo history; used by `demo --remove`."""
    from dashboard.commands import stack  # noqa: PLC0415 - see the module docstring

    stack.as_child(stack.remove_seeded())


@users.command("add")
def user_add(
    email: Email,
    role: RoleName = "viewer",
    name: Annotated[str | None, typer.Option(help="How pages call them.")] = None,
    password_stdin: FromInput = False,
) -> None:
    """Add an account."""
    from dashboard.commands import accounts  # noqa: PLC0415 - see the module docstring

    _show(accounts.add_user(email, role=role, name=name, password_from_input=password_stdin))


@users.command("list")
def user_list() -> None:
    """Show the accounts."""
    from dashboard.commands import accounts  # noqa: PLC0415 - see the module docstring

    _show(accounts.list_users())


@users.command("role")
def user_role(email: Email, role: Annotated[str, typer.Argument(help="The new role.")]) -> None:
    """Give an account another role."""
    from dashboard.commands import accounts  # noqa: PLC0415 - see the module docstring

    _show(accounts.set_role(email, role))


@users.command("password")
def user_password(email: Email, password_stdin: FromInput = False) -> None:
    """Give an account a new password and end its sessions."""
    from dashboard.commands import accounts  # noqa: PLC0415 - see the module docstring

    _show(accounts.set_password(email, password_from_input=password_stdin))


@users.command("disable")
def user_disable(
    email: Email, enable: Annotated[bool, typer.Option("--undo", help="Let them in again.")] = False
) -> None:
    """Keep an account out and end its sessions."""
    from dashboard.commands import accounts  # noqa: PLC0415 - see the module docstring

    _show(accounts.disable_user(email, enable=enable))


@tokens.command("new")
def token_new(
    email: Email,
    name: Annotated[str, typer.Option(help="What it is for.")] = "cli",
    role: Annotated[str | None, typer.Option(help="At most the account's; default: the account's.")] = None,
    days: Annotated[int, typer.Option(min=1, max=366, help="How long it works.")] = 90,
) -> None:
    """Make a token; it is shown once, on the last line."""
    from dashboard.commands import accounts  # noqa: PLC0415 - see the module docstring

    _show(accounts.add_token(email, name=name, role=role, days=days))


@tokens.command("list")
def token_list(email: Annotated[str | None, typer.Option(help="Only those of this account.")] = None) -> None:
    """Show the tokens, without their secrets."""
    from dashboard.commands import accounts  # noqa: PLC0415 - see the module docstring

    _show(accounts.list_tokens(email))


@tokens.command("revoke")
def token_revoke(token: Annotated[str, typer.Argument(help="Id of the token.")]) -> None:
    """End a token."""
    from dashboard.commands import accounts  # noqa: PLC0415 - see the module docstring

    _show(accounts.revoke_token(token))


def _show(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(line)


def main() -> None:
    """Run the command line; whatever goes wrong is one line on standard error."""
    try:
        app()
    except HelmsightError as error:
        _fail(error.message, _exit_code(error))
    except OSError as error:
        _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", EXIT_FAILED)
    except ImportError as error:
        _fail(
            f"a part of this installation is missing ({error}). Install Helmsight again, or run `helmsight doctor`.",
            EXIT_FAILED,
        )


def _exit_code(error: HelmsightError) -> int:
    if error.code == "already_running":
        return EXIT_ALREADY_RUNNING
    return EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_FAILED


def _fail(message: str, code: int) -> None:
    typer.echo(f"helmsight: {message}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
