"""`helmsight`: the command line. Each command imports what it needs when it runs; errors are one line.

Exit codes: 0 done, 1 failed, 2 a setting or argument is wrong, 3 Helmsight runs already on this home, 4 what was
waited for has not ended, 130 interrupted.
"""

import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

import typer

from analytics.core.errors import ConfigError, HelmsightError
from dashboard.commands.answers import tell as _answer
from dashboard.commands.answers import to_json

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
workflows = typer.Typer(help="Workflows: definitions in files and in the store.", no_args_is_help=True)
runs = typer.Typer(help="Runs of workflows.", no_args_is_help=True)
cache = typer.Typer(help="Results of nodes that are kept to be used again.", no_args_is_help=True)
rollups = typer.Typer(help="Sums of facts by hour and day, which figures stand on.", no_args_is_help=True)
indexes = typer.Typer(help="Indexes of the database that are advised, and those made from it.", no_args_is_help=True)
slos = typer.Typer(help="Service level objectives: files, rules, budgets, reports.", no_args_is_help=True)
events = typer.Typer(help="Events of web, social, messages, leads and contexts.", no_args_is_help=True)
app.add_typer(users, name="user")
app.add_typer(tokens, name="token")
app.add_typer(workflows, name="workflow")
app.add_typer(runs, name="run")
app.add_typer(cache, name="cache")
app.add_typer(rollups, name="rollup")
app.add_typer(indexes, name="index")
app.add_typer(slos, name="slo")
app.add_typer(events, name="events")

Email = Annotated[str, typer.Argument(help="E-mail of the account.")]
RoleName = Annotated[str, typer.Option("--role", help="viewer, analyst, operator or admin.")]
FromInput = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input; otherwise one is made.")
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Files = Annotated[list[str], typer.Argument(metavar="FILE...", help="YAML or JSON; - is standard input.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.")]
RunIds = Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids of runs.")]
Wait = Annotated[bool, typer.Option("--wait", help="Show how it goes on, and end as the run does.")]
Most = Annotated[str | None, typer.Option("--timeout", help="Wait no longer than this, 30s or 5m.")]
Specs = Annotated[
    list[str], typer.Argument(metavar="FILE...", help="YAML or JSON, or folders of them; - is standard input.")
]
SloIds = Annotated[list[str] | None, typer.Argument(metavar="[SLO...]", help="Ids; none: all of them.")]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse what a format forbids, also where it is understood.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write it to this file.")]


class FileFormat(StrEnum):
    """How a file of workflows is written."""

    YAML = "yaml"
    JSON = "json"


class SloFormat(StrEnum):
    """How objectives are written out."""

    NATIVE = "native"
    OPENSLO = "openslo"
    RULES = "rules"


class DocumentFormat(StrEnum):
    """How a report is written."""

    MARKDOWN = "md"
    HTML = "html"
    CSV = "csv"
    JSON = "json"


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
    from analytics.store.reading import let_read  # noqa: PLC0415
    from dashboard.processes.addresses import connected  # noqa: PLC0415

    settings = connected(load_settings())
    engine = make_engine(settings, role="migrate")
    try:
        typer.echo(f"schema {bring_up(engine)}")
        let_read(engine, settings)
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


@workflows.command("validate")
def workflow_validate(files: Files, as_json: AsJson = False) -> None:
    """Check definitions and tell every problem with its line; nothing has to run."""
    from dashboard.commands import workflow  # noqa: PLC0415 - see the module docstring

    _answer(workflow.validate(files), as_json=as_json)


@workflows.command("import")
def workflow_import(
    files: Files,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and compare, store nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Store the definitions of files or bundles; a known name gets its next version."""
    from dashboard.commands import workflow  # noqa: PLC0415 - see the module docstring

    _answer(workflow.take_in(files, dry_run=dry_run), as_json=as_json)


@workflows.command("export")
def workflow_export(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help="Which; none: all of them.")] = None,
    *,
    version: Annotated[int | None, typer.Option(min=1, help="A version of one workflow.")] = None,
    bundle: Annotated[bool, typer.Option("--bundle", help="Write a bundle for one workflow, too.")] = False,
    all_versions: Annotated[bool, typer.Option("--all-versions", help="Write every version.")] = False,
    form: Annotated[FileFormat, typer.Option("--format", help="yaml or json.")] = FileFormat.YAML,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write it to this file.")] = None,
) -> None:
    """Write one workflow as its definition, several as a bundle that can be imported."""
    from dashboard.commands import workflow  # noqa: PLC0415 - see the module docstring
    from worker.workflow.exchange import Format  # noqa: PLC0415

    text = workflow.write_out(
        names or [],
        version=version,
        bundle=bundle,
        all_versions=all_versions,
        form=Format(form.value),
        output=output,
    )
    typer.echo(text, nl=False)


@workflows.command("list")
def workflow_list(
    search: Annotated[str | None, typer.Option(help="Only those with this in name, description or tags.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the workflows with what became of their runs in 30 days."""
    from dashboard.commands import workflow  # noqa: PLC0415 - see the module docstring

    _answer(workflow.show_list(search), as_json=as_json)


@workflows.command("run")
def workflow_run(
    name: Annotated[str, typer.Argument(help="The workflow.")],
    *,
    param: Annotated[list[str] | None, typer.Option("--param", "-p", help="NAME=VALUE, as often as needed.")] = None,
    params: Annotated[str | None, typer.Option(help="A JSON object, a file of one, or -.")] = None,
    priority: Annotated[int, typer.Option(help="A higher one overtakes.")] = 0,
    tag: Annotated[list[str] | None, typer.Option(help="A tag of the run.")] = None,
    key: Annotated[str | None, typer.Option(help="Idempotency key: one run for one key.")] = None,
    version: Annotated[int | None, typer.Option(min=1, help="Another version than the current one.")] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Execute every node.")] = False,
    wait: Wait = False,
    timeout: Most = None,
    as_json: AsJson = False,
) -> None:
    """Start a workflow."""
    from dashboard.commands import workflow  # noqa: PLC0415 - see the module docstring

    with _Progress() as say:
        answer = workflow.start(
            name,
            params=workflow.read_params(params),
            given=param or [],
            priority=priority,
            tags=tag or [],
            key=key,
            version=version,
            use_cache=not no_cache,
            wait=wait,
            most_s=_seconds(timeout),
            say=say,
        )
    _answer(answer, as_json=as_json)


@runs.command("show")
def run_show(run: RunId, as_json: AsJson = False) -> None:
    """Show how a run and its nodes stand."""
    from dashboard.commands import run as commands  # noqa: PLC0415 - see the module docstring

    _answer(commands.show(run), as_json=as_json)


@runs.command("cancel")
def run_cancel(run: RunIds, as_json: AsJson = False) -> None:
    """Cancel runs; what is under way is stopped."""
    from dashboard.commands import run as commands  # noqa: PLC0415 - see the module docstring

    _answer(commands.cancel(run), as_json=as_json)


@runs.command("retry")
def run_retry(
    run: RunIds,
    *,
    from_node: Annotated[
        list[str] | None, typer.Option("--from", help="Do again from this node on; otherwise what failed.")
    ] = None,
    current: Annotated[bool, typer.Option("--current", help="Use the workflow's current version.")] = False,
    wait: Wait = False,
    timeout: Most = None,
    as_json: AsJson = False,
) -> None:
    """Queue new runs that keep what was completed and do the rest."""
    from dashboard.commands import run as commands  # noqa: PLC0415 - see the module docstring

    with _Progress() as say:
        answer = commands.retry(
            run, from_nodes=from_node or [], current=current, wait=wait, most_s=_seconds(timeout), say=say
        )
    _answer(answer, as_json=as_json)


@runs.command("logs")
def run_logs(
    run: RunId,
    *,
    node: Annotated[str | None, typer.Option(help="Only this node; each/fetch is fetch inside each.")] = None,
    index: Annotated[int | None, typer.Option(min=0, help="Only this item of a loop, from 0.")] = None,
    attempt: Annotated[int | None, typer.Option(min=1, help="Only this attempt.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=2000, help="The last so many lines.")] = 500,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Print what the nodes of a run wrote."""
    from dashboard.commands import run as commands  # noqa: PLC0415 - see the module docstring

    for line in commands.logs(run, node=node, index=index, attempt=attempt, limit=limit, follow=follow):
        typer.echo(to_json(commands.log_data(line)) if as_json else commands.log_line(line))


@cache.command("show")
def cache_show(as_json: AsJson = False) -> None:
    """Show how many results are kept, by kind of node."""
    from dashboard.commands import cache as commands  # noqa: PLC0415 - see the module docstring

    _answer(commands.show(), as_json=as_json)


@cache.command("forget")
def cache_forget(
    kind: Annotated[str | None, typer.Option("--kind", help="Results of this kind of node only.")] = None,
    older: Annotated[str | None, typer.Option("--older-than", help="Only what is older than this, 30m or 2d.")] = None,
    as_json: AsJson = False,
) -> None:
    """Drop kept results, so that nodes work them out anew."""
    from dashboard.commands import cache as commands  # noqa: PLC0415 - see the module docstring

    _answer(commands.drop(kind=kind, older_s=_seconds(older)), as_json=as_json)


@events.command("import")
def events_import(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A CSV file; - is standard input.")],
    columns: Annotated[
        list[str] | None, typer.Option("--map", help="FIELD=COLUMN, such as at=Time; without it names decide.")
    ] = None,
    fixed: Annotated[list[str] | None, typer.Option("--set", help="FIELD=VALUE of a field without a column.")] = None,
    zone: Annotated[str | None, typer.Option("--zone", help="Of times without one, such as Europe/Berlin.")] = None,
    encoding: Annotated[str | None, typer.Option("--encoding", help="Such as cp1252; without it found out.")] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only look at the first rows.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take in the rows of a CSV file as events; rows that are not fit are told of, the rest goes in."""
    from dashboard.commands import events as commands  # noqa: PLC0415 - see the module docstring

    answer = commands.import_file(
        file, columns=columns or [], fixed=fixed or [], zone=zone, encoding=encoding, dry_run=dry_run
    )
    _answer(answer, as_json=as_json)


@rollups.command("status")
def rollup_status(as_json: AsJson = False) -> None:
    """Show how far facts are summed, what waits, and how much room the sums take."""
    from dashboard.commands import rollup as commands  # noqa: PLC0415 - see the module docstring

    _answer(commands.status(), as_json=as_json)


@rollups.command("rebuild")
def rollup_rebuild(
    last: Annotated[str, typer.Option("--last", help="How far back, 36h or 30d.")] = "30d",
    source: Annotated[list[str] | None, typer.Option("--source", help="Facts of this source only.")] = None,
    as_json: AsJson = False,
) -> None:
    """Sum facts again from their rows; nothing has to stop for it."""
    from dashboard.commands import rollup as commands  # noqa: PLC0415 - see the module docstring

    _answer(commands.build_again(last_s=_seconds(last) or 0, sources=source), as_json=as_json)


@indexes.command("list")
def index_list(as_json: AsJson = False) -> None:
    """Show which indexes are advised, and which were made from it with how often they were used."""
    from dashboard.commands import index as commands  # noqa: PLC0415 - see the module docstring

    _answer(commands.show(), as_json=as_json)


@indexes.command("make")
def index_make(
    advice: Annotated[str, typer.Argument(help="What is advised, as `list` shows it.")], as_json: AsJson = False
) -> None:
    """Ask the scheduler to make an advised index, beside everybody who reads and writes."""
    from dashboard.commands import index as commands  # noqa: PLC0415 - see the module docstring

    _answer(commands.make(advice), as_json=as_json)


@indexes.command("drop")
def index_drop(
    name: Annotated[str, typer.Argument(help="Name of an index that was made so.")], as_json: AsJson = False
) -> None:
    """Ask the scheduler to drop an index that was made from its advice."""
    from dashboard.commands import index as commands  # noqa: PLC0415 - see the module docstring

    _answer(commands.drop(name), as_json=as_json)


@slos.command("validate")
def slo_validate(files: Specs, *, strict: Strict = False, as_json: AsJson = False) -> None:
    """Check files of any known format and tell every problem with its place; nothing has to run."""
    from dashboard.commands import slo  # noqa: PLC0415 - see the module docstring

    _answer(slo.validate(files, strict=strict), as_json=as_json)


@slos.command("rules")
def slo_rules(
    files: Specs,
    *,
    period: Annotated[str, typer.Option(help="Of objectives that do not say it: 30d, 28d or 7d.")] = "30d",
    windows_dir: Annotated[
        Path | None, typer.Option("--windows-dir", help="A folder of alert windows instead of the usual ones.")
    ] = None,
    extra_label: Annotated[
        list[str] | None, typer.Option("--extra-label", help="NAME=VALUE on every recording, as often as needed.")
    ] = None,
    no_alerts: Annotated[bool, typer.Option("--no-alerts", help="Leave alerts out.")] = False,
    no_recordings: Annotated[bool, typer.Option("--no-recordings", help="Leave recordings out.")] = False,
    strict: Strict = False,
) -> None:
    """Print the Prometheus recording and alert rules of files; nothing has to run."""
    from dashboard.commands import slo  # noqa: PLC0415 - see the module docstring

    text = slo.rules(
        files,
        strict=strict,
        period=period,
        windows_dir=windows_dir,
        extra_labels=extra_label or [],
        alerts=not no_alerts,
        recordings=not no_recordings,
    )
    typer.echo(text, nl=False)


@slos.command("import")
def slo_import(
    files: Specs,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and compare, store nothing.")] = False,
    note: Annotated[str, typer.Option(help="Why, for the history.")] = "",
    strict: Strict = False,
    as_json: AsJson = False,
) -> None:
    """Store the objectives of files of any known format; a known id gets its next revision."""
    from dashboard.commands import slo  # noqa: PLC0415 - see the module docstring

    _answer(slo.take_in(files, strict=strict, dry_run=dry_run, note=note), as_json=as_json)


@slos.command("export")
def slo_export(
    ids: SloIds = None,
    *,
    form: Annotated[SloFormat, typer.Option("--format", help="native, openslo or rules.")] = SloFormat.NATIVE,
    output: Output = None,
) -> None:
    """Write objectives as YAML that can be imported, or as Prometheus rules."""
    from dashboard.commands import slo  # noqa: PLC0415 - see the module docstring

    typer.echo(slo.write_out(ids or [], form=slo.ExportFormat(form.value), output=output), nl=False)


@slos.command("status")
def slo_status(ids: SloIds = None, *, as_json: AsJson = False) -> None:
    """Show how the objectives stand, least budget left first."""
    from dashboard.commands import slo  # noqa: PLC0415 - see the module docstring

    _answer(slo.show_status(ids or []), as_json=as_json)


@slos.command("report")
def slo_report(
    ids: SloIds = None,
    *,
    period: Annotated[str, typer.Option(help="month, last-month, 2026-10, 2026-Q3, week, 30d and the like.")] = "month",
    zone: Annotated[str, typer.Option(help="Time zone in which days begin, like Europe/Berlin.")] = "UTC",
    form: Annotated[DocumentFormat, typer.Option("--format", help="md, html, csv or json.")] = DocumentFormat.MARKDOWN,
    output: Output = None,
) -> None:
    """Write the report of a period."""
    from analytics.slo.documents import ReportFormat  # noqa: PLC0415 - see the module docstring
    from dashboard.commands import slo  # noqa: PLC0415

    text = slo.report(ids or [], period=period, zone=zone, form=ReportFormat(form.value), output=output)
    typer.echo(text, nl=False)


@slos.command("backtest")
def slo_backtest(
    ids: SloIds = None,
    *,
    days: Annotated[int, typer.Option(min=1, max=85, help="How far to look back.")] = 30,
    min_bad: Annotated[int | None, typer.Option(min=0, help="Try this many bad events before an alert.")] = None,
    pair: Annotated[
        list[str] | None,
        typer.Option(help="Try these windows, page:1h/5m:14.4 or ticket:3d/6h:10%, as often as needed."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell which alerts the past would have had, with the policy as it is and with another."""
    from dashboard.commands import slo  # noqa: PLC0415 - see the module docstring

    _answer(slo.try_policies(ids or [], days=days, min_bad=min_bad, pairs=pair or []), as_json=as_json)


def _seconds(text: str | None) -> float | None:
    from worker.workflow.durations import parse_duration  # noqa: PLC0415 - see the module docstring

    return None if text is None else parse_duration(text).total_seconds()


class _Progress:
    """Tells on standard error what happens meanwhile: on a terminal in one line that changes, else line by line."""

    def __init__(self) -> None:
        self._is_live = sys.stderr.isatty()
        self._is_open = False

    def __enter__(self) -> Self:
        return self

    def __call__(self, line: str) -> None:
        typer.echo(f"\r\x1b[2K{line}" if self._is_live else line, nl=not self._is_live, err=True)
        self._is_open = self._is_live

    def __exit__(self, *_: object) -> None:
        if self._is_open:
            typer.echo(err=True)


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
