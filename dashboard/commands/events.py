"""`helmsight events`: taking in events from CSV files."""

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.core.errors import InputError
from analytics.journeys.events import Rejected, Taken
from analytics.journeys.importing import ENCODINGS, Mapped, Preview, import_csv, look_at, zone_of
from analytics.live.cache import invalidate
from analytics.live.client import connect
from analytics.store.engine import session_scope
from analytics.store.queries import audit
from dashboard.commands.answers import EXIT_DONE, EXIT_FAILED, Answer, Table
from dashboard.commands.files import STANDARD_INPUT
from dashboard.commands.reach import ACTOR, Reached, reached
from dashboard.formats import plural


def import_file(
    name: str,
    *,
    columns: Sequence[str],
    fixed: Sequence[str],
    zone: str | None,
    encoding: str | None,
    dry_run: bool,
) -> Answer:
    """Take in the rows of the CSV file *name* as events, in one transaction and bounded memory.

    Args:
        name: Of the file; ``-`` is standard input.
        columns: ``field=column``; none: guessed by the names of the columns.
        fixed: ``field=value``, for fields that no column has.
        zone: Of times without one; None: they are refused.
        encoding: Such as ``cp1252``; None: found out.
        dry_run: Only look at the first rows.

    Raises:
        InputError: If it is no table of text, or the columns meant are not there; nothing was stored.
    """
    with reached() as here, _opened(name) as file:
        now = utc_now()
        oldest = now - here.settings.store.keep_facts
        looked = look_at(file, now=now, oldest=oldest, encoding=encoding, most=0)
        mapped = Mapped(
            _pairs(columns) if columns else looked.mapped.columns,
            _pairs(fixed) if fixed else looked.mapped.fixed,
            zone_of(zone),
        )
        if dry_run:
            return _seen(look_at(file, now=now, oldest=oldest, mapped=mapped, encoding=encoding))
        with session_scope(here.engine) as session:
            taken = import_csv(session, file, mapped=mapped, now=now, oldest=oldest, encoding=encoding)
            _note(session, name, taken)
        _renew(here, taken)
    return _done(taken)


def _note(session: Session, name: str, taken: Taken) -> None:
    detail = {"file": Path(name).name, "stored": taken.stored, "known": taken.known, "rejected": taken.rejected}
    audit.record(
        session,
        actor=ACTOR,
        action="event.imported",
        object_type="event",
        object_id=str(taken.stored),
        detail=detail,
    )


def _renew(here: Reached, taken: Taken) -> None:
    if (taken.stored or taken.leads or taken.contexts) and here.settings.redis.url is not None:
        with connect(here.settings) as client:
            invalidate(client, "leads", "contexts", "sessions")


def _done(taken: Taken) -> Answer:
    counts = f"{taken.stored:,} stored, {taken.known:,} known before, {taken.rejected:,} rejected"
    lines = [f"{plural(taken.received, 'row')}: {counts}"]
    if taken.leads or taken.contexts:
        lines.append(f"{plural(taken.leads, 'lead')} and {plural(taken.contexts, 'context')} added or changed")
    lines += _problems(taken.problems, taken.rejected)
    is_nothing = taken.rejected == taken.received and taken.rejected > 0
    return Answer(lines, asdict(taken), EXIT_FAILED if is_nothing else EXIT_DONE)


def _seen(preview: Preview) -> Answer:
    form = preview.form
    table = Table(tuple(form.columns), [tuple(row.get(name, "") for name in form.columns) for row in preview.rows])
    told = ", ".join(f"{name} is {column!r}" for name, column in preview.mapped.columns.items()) or "no column is known"
    always = "".join(f"; {name} is always {value!r}" for name, value in preview.mapped.fixed.items())
    lines = [
        f"{ENCODINGS[form.encoding]} ({form.encoding_said}), columns parted by {form.delimiter!r}",
        f"{told}{always}",
        "",
        *table.lines(),
        "",
        *_problems(preview.problems, len(preview.problems)),
        "nothing was stored",
    ]
    data = asdict(preview)
    data["mapped"]["zone"] = None if preview.mapped.zone is None else preview.mapped.zone.key
    return Answer(lines, data)


def _problems(problems: Sequence[Rejected], count: int) -> Iterator[str]:
    for problem in problems:
        yield f"line {problem.index}: {f'{problem.path}: ' if problem.path else ''}{problem.reason}"
    if count > len(problems):
        yield f"… and {count - len(problems):,} more"


def _pairs(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for item in given:
        name, mark, value = item.partition("=")
        if not mark or not name or not value:
            raise InputError(f"{item!r} is not of the form field=column; nothing was stored.")
        found[name] = value
    return found


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    """Yield the file; standard input is put into a file first, since it is read more than once."""
    if name != STANDARD_INPUT:
        with Path(name).open("rb") as file:
            yield file
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
        yield copy
