"""Runs as lists: a short one for other pages, a table that opens runs, one in which runs are marked."""

from collections.abc import Sequence

from analytics.core.clock import utc_now
from analytics.store.queries.runs import RunRow
from dashboard import formats
from dashboard.components import states, tables
from dashboard.components.navigation import go
from dashboard.components.status import RUN_LOOKS, look_of
from dashboard.components.tables import Column
from dashboard.filters import Filters

COLUMNS: list[Column[RunRow]] = [
    Column("Workflow", lambda run: run.workflow_name),
    Column("State", lambda run: look_of(RUN_LOOKS, run.status), "state", width="small"),
    Column("Queued", lambda run: run.queued_at, "moment"),
    Column("Duration", lambda run: run.duration_s, "seconds"),
    Column("By", lambda run: run.requested_by),
    Column("Origin", lambda run: "demo" if run.origin == "demo" else run.trigger, width="small"),
    Column("Error", lambda run: run.error_message, width="large"),
]
LIST_COLUMNS: list[Column[RunRow]] = [
    COLUMNS[0],
    Column("State", lambda run: look_of(RUN_LOOKS, run.status), "state"),
    COLUMNS[2],
    Column("Waited", lambda run: run.wait_s, "seconds", width="small", help="From queued to started."),
    Column("Duration", lambda run: run.duration_s, "seconds", width="small"),
    Column("Tags", lambda run: ", ".join(run.tags) or None, width="small"),
    *COLUMNS[4:],
    Column("Number", lambda run: str(run.id), width="small", help="The run's id; its beginning can be searched for."),
]


def run_table(
    rows: Sequence[RunRow], filters: Filters, *, key: str, what: str, columns: Sequence[Column[RunRow]] = COLUMNS
) -> None:
    """Draw *rows*; a click opens the run."""
    chosen = tables.table(rows, columns, alt=what, key=key, can_open=True, height="content")
    if chosen is not None:
        open_run(str(rows[chosen].id), filters)


def marking_table(rows: Sequence[RunRow], filters: Filters, *, key: str, what: str) -> list[RunRow]:
    """Draw *rows*; a click on the name opens the run. Return those that are marked."""
    opened, marked = tables.marking_table(rows, LIST_COLUMNS, alt=what, key=key)
    if opened is not None:
        open_run(str(rows[opened].id), filters)
    return [rows[index] for index in marked]


def open_run(run_id: str, filters: Filters) -> None:
    """Go to the page of one run."""
    go("run", filters, run=run_id)


def short_list(rows: Sequence[RunRow], filters: Filters, *, can_open: bool = True) -> None:
    """Draw a few runs, newest first, as links."""
    if not rows:
        states.empty("No run yet", "Start a workflow, upload a document or call a tool: its run appears here.")
        return
    columns = [column for column in COLUMNS if column.title in {"State", "Workflow", "Queued", "Duration"}]
    if can_open:
        run_table(rows, filters, key="runs.latest", what="The latest runs, newest first", columns=columns)
    else:
        tables.table(rows, columns, alt="The latest runs, newest first", key="runs.latest", height="content")


def run_line(row: RunRow) -> str:
    """Return one run in one line of Markdown."""
    look = look_of(RUN_LOOKS, row.status)
    return f"{look.badge} **{formats.escaped(row.workflow_name)}** · {formats.age(row.queued_at, now=utc_now())}"
