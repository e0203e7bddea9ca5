"""Write the reference pages from the code that they describe: ``python docs/generate.py [--check]``.

Each page below ``docs/reference`` is made from one registry, so that a setting, a metric, a key figure, an
objective, a kind of node or a command without a line in the documents cannot exist; a test runs this with ``--check``.
"""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import typer
from prometheus_client.metrics import MetricWrapperBase

from analytics.core import telemetry
from analytics.core.settings import describe_settings
from worker.workflow.node_kind import NodeKind

FOLDER = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/generate.py from the code; change the code, then run it again. -->\n"


def configuration() -> str:
    """Return the page of all settings."""
    rows = describe_settings()
    return (
        "# Settings\n\n"
        "Every setting is an environment variable. A misspelt name or a value that cannot be used stops the start\n"
        "with a message that names the variable. Durations are seconds, or numbers with `ms`, `s`, `m`, `h`, `d`.\n\n"
        + table(("Variable", "Default", "What it does"), ((f"`{name}`", default, text) for name, default, text in rows))
    )


def metrics() -> str:
    """Return the page of all Prometheus metrics."""
    found = [value for value in vars(telemetry).values() if isinstance(value, MetricWrapperBase)]
    suffixes = {"counter": "_total", "histogram": "_bucket, _sum, _count", "gauge": ""}
    rows = []
    for metric in sorted(found, key=lambda item: item._name):  # noqa: SLF001 - the library has no public name
        labels = ", ".join(metric._labelnames) or "none"  # noqa: SLF001
        suffix = suffixes[metric._type]  # noqa: SLF001
        name = f"`{metric._name}`" + (f" {suffix}" if suffix else "")  # noqa: SLF001
        rows.append((name, metric._type, labels, metric._documentation))  # noqa: SLF001
    return (
        "# Metrics\n\n"
        "`/metrics` of the dashboard and of every worker process shows these to Prometheus. Base units, bounded\n"
        "labels, no ids.\n\n" + table(("Name and suffixes", "Kind", "Labels", "Meaning"), rows)
    )


def kpis() -> str:
    """Return the page of all key figures."""
    from analytics.kpi import registry  # noqa: PLC0415 - heavy, and only here

    found = registry()
    head = ("Id", "Title", "Unit", "Better", "Target", "Good", "Warning", "Weight", "Split by", "From", "What it is")
    parts = [
        "# Key figures\n\nOne definition serves page, interface, alert and report. See [key figures](../kpis.md).\n"
    ]
    for group in dict.fromkeys(item.group for item in found):
        rows = (
            (
                f"`{k.id}`",
                k.title,
                k.unit,
                str(k.direction) or "neither",
                show(k.target),
                show(k.good),
                show(k.warning),
                show(k.weight) if k.bounds.are_set else "none",
                ", ".join(f"`{dim}`" for dim in k.dims) or "nothing",
                k.source,
                k.doc,
            )
            for k in found
            if k.group == group
        )
        parts.append(f"\n## {group}\n\n{table(head, rows)}")
    return "".join(parts)


def objectives() -> str:
    """Return the page of the standard objectives."""
    from analytics.slo import objectives as standard  # noqa: PLC0415

    rows = [(f"`{o.id}`", o.title, o.service, f"{o.target * 100:f} %", f"{o.period.days} d") for o in standard()]
    return "# Standard objectives\n\n" + table(("Id", "Title", "Service", "Target", "Period"), rows)


def node_kinds() -> str:
    """Return the page of all kinds of workflow nodes."""
    from worker.workflow.kinds import registry  # noqa: PLC0415

    parts = ["# Kinds of nodes\n\nWhat a node of a workflow can be; `config` takes the properties listed.\n"]
    for kind in sorted(registry().values(), key=lambda item: item.name):
        parts.append(f"\n## `{kind.name}`\n\n{kind.summary}\n\n{where_it_runs(kind)}\n\n")
        required = set(kind.config_schema.get("required", ()))
        rows = [
            (f"`{name}`", "yes" if name in required else "no", type_of(schema), schema.get("description", ""))
            for name, schema in kind.config_schema.get("properties", {}).items()
        ]
        parts.append(table(("Property", "Required", "Type", "Meaning"), rows))
        if kind.docs:
            parts.append(f"\n{kind.docs.strip()}\n")
    return "".join(parts)


def where_it_runs(kind: NodeKind) -> str:
    """Return in words how a kind is carried, whether it is repeated, and whether its result may be kept."""
    places = {
        "inline": "Runs on the worker's event loop",
        "thread": "Runs in a thread of the worker",
        "process": "Runs in a child process that can be killed",
        "control": "Steered by the engine, and uses no slot",
    }
    again = {
        "idempotent": "repeated after a crash",
        "retry_safe": "repeated after a crash with the same key",
        "unsafe": "never repeated by itself",
    }
    kept = "; `cache` may be set" if kind.cacheable else ""
    return f"{places[kind.transport.value]}; {again[kind.idempotence.value]}{kept}."


def commands() -> str:
    """Return the page of the command line."""
    from typer.main import get_command  # noqa: PLC0415

    from dashboard.cli import app  # noqa: PLC0415

    root = get_command(app)
    rows: list[tuple[str, ...]] = []

    def walk(command: typer.core.TyperCommand, path: str) -> None:
        children = getattr(command, "commands", {})
        if not children:
            options = " ".join(
                f"`{(parameter.opts or [parameter.name])[0]}`"
                for parameter in command.params
                if parameter.name != "help"
            )
            rows.append((f"`{path}`", options, (command.help or "").strip().split("\n\n")[0].replace("\n", " ")))
        shown = ((name, child) for name, child in sorted(children.items()) if not child.hidden)
        for name, child in shown:
            walk(child, f"{path} {name}")

    walk(root, "helmsight")  # type: ignore[arg-type]
    return "# Commands\n\n`helmsight COMMAND --help` says more.\n\n" + table(("Command", "Takes", "What it does"), rows)


def api() -> str:
    """Return the page of the REST interface."""
    from dashboard.api.operations import PREFIX  # noqa: PLC0415
    from dashboard.api.table import OPERATIONS  # noqa: PLC0415

    rows = [(f"`{o.method}`", f"`{PREFIX}{o.path}`", o.role.label, o.summary) for o in OPERATIONS]
    return (
        "# REST interface\n\n"
        "Every answer is JSON; every error is `application/problem+json`. Programs send\n"
        "`Authorization: Bearer TOKEN`. Lists have `limit` from 1 to 100. The full document\n"
        "is served at `/api/v1/openapi.json`.\n\n" + table(("Method", "Path", "Role", "What it does"), rows)
    )


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": configuration,
    "metrics.md": metrics,
    "kpis.md": kpis,
    "objectives.md": objectives,
    "node-kinds.md": node_kinds,
    "commands.md": commands,
    "api.md": api,
}


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def show(value: object) -> str:
    """Return a threshold as text."""
    return "none" if value is None else f"{value:g}" if isinstance(value, float | int) else str(value)


def type_of(schema: dict[str, object]) -> str:
    """Return the JSON Schema type, or the values there are, as text."""
    choices = schema.get("enum")
    if isinstance(choices, list):
        return ", ".join(f"`{choice}`" for choice in choices)
    kind = schema.get("type", "any")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def main() -> int:
    """Write every page, or with ``--check`` only say which are out of date."""
    check = "--check" in sys.argv[1:]
    stale = []
    for name, make in PAGES.items():
        path, text = FOLDER / name, NOTE + make()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
    if stale:
        print(("out of date: " if check else "written: ") + ", ".join(stale))  # noqa: T201 - a command
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
