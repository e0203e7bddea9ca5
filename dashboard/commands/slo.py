"""`helmsight slo`: check files and make rules of them, take objectives in and write them out, tell how they stand."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.core.errors import InputError, NotFoundError
from analytics.slo import SloStatus, catalogue, slo_report
from analytics.slo.document_words import share_text, target_text
from analytics.slo.documents import ReportFormat, render
from analytics.slo.model import CompositeEvents, Objective, RollingWindow
from analytics.slo.period_report import period_report
from analytics.slo.rules import CATALOGUE, RuleOptions, load_windows, rules_for, rules_for_objectives
from analytics.slo.specs.durations import duration, duration_text
from analytics.slo.specs.formats import Parsed, export_native, export_openslo, read_texts
from analytics.slo.specs.problems import Level, Problem, SpecError
from analytics.store.engine import session_scope
from dashboard.api.areas import slo_answers as answers
from dashboard.api.areas import slo_trials
from dashboard.api.operations import to_json
from dashboard.commands.answers import EXIT_DONE, EXIT_FAILED, Answer, Table
from dashboard.commands.files import texts_of
from dashboard.commands.reach import ACTOR, reached
from dashboard.formats import DASH, age, number, percent, plural

_HOUR = timedelta(hours=1)


class ExportFormat(StrEnum):
    """How objectives are written out."""

    NATIVE = "native"
    OPENSLO = "openslo"
    RULES = "rules"


# ---- Files ----


def validate(files: Sequence[str], *, strict: bool) -> Answer:
    """Check every document of *files*; nothing is stored, and nothing has to run."""
    found = read_texts(texts_of(files), strict=strict)
    lines = [line for item in found for line in _validation_lines(item)]
    return Answer(
        lines or ["there is no objective in what was given"],
        [_parsed_data(item) for item in found],
        EXIT_DONE if found and all(item.is_valid for item in found) else EXIT_FAILED,
    )


def rules(
    files: Sequence[str],
    *,
    strict: bool,
    period: str,
    windows_dir: Path | None,
    extra_labels: Sequence[str],
    alerts: bool,
    recordings: bool,
) -> str:
    """Return the Prometheus rules of *files* as YAML.

    Args:
        files: Names of files or folders.
        strict: Whether what a format forbids but can be understood is refused.
        period: Of the objectives of other formats, ``30d``, ``28d`` or ``7d``; native ones have their own.
        windows_dir: A folder of files with pairs of windows, instead of the usual ones.
        extra_labels: Each as ``name=value``.
        alerts: Whether to write alert rules.
        recordings: Whether to write recording rules.

    Raises:
        SpecError: If a document cannot be used; its problems say why.
        InputError: If the period has no pairs of windows, or there is nothing to write.
    """
    specs = read_texts(texts_of(files), strict=strict)
    problems = [_placed(item, problem) for item in specs for problem in item.problems if problem.level is Level.ERROR]
    if problems:
        raise SpecError.of(problems)
    options = RuleOptions(
        period=duration(period),
        windows=CATALOGUE if windows_dir is None else load_windows(windows_dir),
        extra_labels=dict(_label(text) for text in extra_labels),
        alerts=alerts,
        recordings=recordings,
    )
    return rules_for([item.rules for item in specs], options)


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise InputError(f"{text!r} is not NAME=VALUE; nothing was made.")
    return name, value


def _validation_lines(item: Parsed) -> Iterator[str]:
    errors = sum(problem.level is Level.ERROR for problem in item.problems)
    kind = f" ({item.format})" if item.format is not None else ""
    if errors:
        yield f"{item.source}{kind} cannot be used: {plural(errors, 'problem')}"
    else:
        names = ", ".join(objective.id for objective in item.objectives)
        yield f"{item.source}{kind} can be used: {plural(len(item.objectives), 'objective')}{names and f', {names}'}"
    yield from (f"  {problem.level}: {problem}" for problem in item.problems)


def _parsed_data(item: Parsed) -> dict[str, Any]:
    return {
        "source": item.source,
        "format": item.format,
        "valid": item.is_valid,
        "objectives": [objective.id for objective in item.objectives],
        "problems": [problem.as_dict() for problem in item.problems],
    }


def _placed(item: Parsed, problem: Problem) -> Problem:
    """Return *problem* with the name of its text in its path."""
    path = f"{item.source}: {problem.path}" if problem.path else item.source
    return Problem(path, problem.message, problem.hint, problem.level)


# ---- Store ----


def take_in(files: Sequence[str], *, strict: bool, dry_run: bool, note: str) -> Answer:
    """Store the objectives of *files*, each for itself; what cannot be used is refused, the rest is taken in."""
    found = read_texts(texts_of(files), strict=strict)
    items = [_refused(item.source, None, _reasons(item.problems)) for item in found if not item.is_valid]
    wanted = [(item.source, objective) for item in found for objective in item.objectives]
    # Members have to be there before what is composed of them.
    wanted.sort(key=lambda pair: isinstance(pair[1].indicator, CompositeEvents))
    with reached() as here, session_scope(here.engine) as session:
        items += [_stored(session, source, objective, note) for source, objective in wanted]
        if dry_run:
            session.rollback()
    table = Table(("OBJECTIVE", "RESULT", "REVISION", "FROM"))
    for item in items:
        revision = DASH if item["revision"] is None else str(item["revision"])
        table.rows.append((item["id"] or DASH, item["outcome"], revision, item["source"]))
    why = [f"{item['id'] or item['source']}: {reason}" for item in items for reason in item["problems"]]
    why += [
        f"{item.source}: {problem.level}: {problem}" for item in found if item.is_valid for problem in item.problems
    ]
    ending = ["nothing was stored, because this was a dry run"] if dry_run else []
    failed = not items or any(item["outcome"] == "refused" for item in items)
    lines = [*table.lines(), *ending, *why] if items else ["there is no objective in what was given"]
    return Answer(lines, items, EXIT_FAILED if failed else EXIT_DONE)


def _stored(session: Session, source: str, objective: Objective, note: str) -> dict[str, Any]:
    before = next(iter(catalogue.load(session, ids=[objective.id], with_inactive=True)), None)
    try:
        with session.begin_nested():
            kept = catalogue.save(session, objective, actor=ACTOR, note=note)
    except InputError as error:
        return _refused(source, objective.id, [error.message])
    outcome = "created" if before is None else "unchanged" if before.revision == kept.revision else "updated"
    return {"source": source, "id": kept.id, "outcome": outcome, "revision": kept.revision, "problems": []}


def _refused(source: str, slo_id: str | None, problems: Sequence[str]) -> dict[str, Any]:
    return {"source": source, "id": slo_id, "outcome": "refused", "revision": None, "problems": list(problems)}


def _reasons(problems: Sequence[Problem]) -> list[str]:
    return [str(problem) for problem in problems if problem.level is Level.ERROR]


def write_out(ids: Sequence[str], *, form: ExportFormat, output: Path | None) -> str:
    """Return objectives as text, all of them or *ids*; with *output*, write it there instead."""
    with reached() as here, session_scope(here.engine) as session:
        objectives = _chosen(session, ids)
    return _delivered(_WRITERS[form](objectives), output)


_WRITERS: Mapping[ExportFormat, Callable[[Sequence[Objective]], str]] = {
    ExportFormat.NATIVE: export_native,
    ExportFormat.OPENSLO: export_openslo,
    ExportFormat.RULES: rules_for_objectives,
}


def show_status(ids: Sequence[str]) -> Answer:
    """Tell how the objectives stand, each over its own window, worst budget first."""
    now = utc_now()
    with reached() as here, session_scope(here.engine) as session:
        chosen = _chosen(session, ids)
        statuses = slo_report(session, now=now, ids=[item.id for item in chosen]).statuses
        entries = catalogue.entries(session, with_inactive=False)
    ordered = sorted(statuses, key=lambda status: 2.0 if status.budget is None else status.budget.remaining_ratio)
    table = Table(
        ("OBJECTIVE", "STATE", "ACTUAL", "TARGET", "BUDGET LEFT", "BURN 1H", "COVERAGE", "WINDOW", "MEASURED")
    )
    for status in ordered:
        table.rows.append(
            (
                status.objective.id,
                status.state.value,
                share_text(status.sli, target=status.objective.target),
                target_text(status.objective.target),
                DASH if status.budget is None else share_text(status.budget.remaining_ratio),
                _burn(status.burn_rates.get(_HOUR)),
                percent(status.coverage_ratio),
                _window_text(status.objective),
                age(status.measured_at, now=now),
            )
        )
    notes = [f"{status.objective.id}: {note}" for status in ordered for note in _notes(status)]
    notes += [f"{item.slo_id}: cannot be read: {item.problem}" for item in entries if item.problem and not ids]
    if any(status.includes_demo for status in ordered):
        notes.append("some of the events are demo history")
    return Answer([*table.lines(), *notes], _plain([answers.slo(status) for status in ordered]))


def report(ids: Sequence[str], *, period: str, zone: str, form: ReportFormat, output: Path | None) -> str:
    """Return the report of a period as a document; with *output*, write it there instead."""
    with reached() as here, session_scope(here.engine) as session:
        chosen = [item.id for item in _chosen(session, ids)] if ids else None
        found = period_report(session, now=utc_now(), period=period, zone=zone, ids=chosen)
    return _delivered(render(found, form), output)


def _chosen(session: Session, ids: Sequence[str]) -> Sequence[Objective]:
    """Return the objectives *ids*, or all; refuse unknown ones."""
    found = catalogue.load(session, ids=ids or None)
    missing = set(ids) - {item.id for item in found}
    if missing:
        names = ", ".join(sorted(missing))
        raise NotFoundError(f"There is no objective {names}; nothing was done. `helmsight slo status` names them.")
    return found


def _delivered(text: str, output: Path | None) -> str:
    if output is None:
        return text
    output.write_text(text, encoding="utf-8")
    return f"written to {output}\n"


def _window_text(objective: Objective) -> str:
    window = objective.window
    return duration_text(window.length) if isinstance(window, RollingWindow) else f"{window.unit} {window.zone}"


def _burn(rate: float | None) -> str:
    return DASH if rate is None else f"{number(rate)}x"


def _notes(status: SloStatus) -> Iterator[str]:
    if status.read_error:
        yield f"could not be read: {status.read_error}"
    elif status.measured_at is None:
        yield "nothing was measured yet"
    elif status.is_stale:
        yield "its newest numbers are old; burn rates are of the past"
    yield from status.warnings
    if status.volume_warning:
        yield status.volume_warning


# ---- Back-test ----


def try_policies(ids: Sequence[str], *, days: int, min_bad: int | None, pairs: Sequence[str]) -> Answer:
    """Tell what alerts would have come of the last *days*: with the policy as it is, and with *min_bad* and *pairs*."""
    changes: dict[str, Any] = {} if min_bad is None else {"min_bad": min_bad}
    if pairs:
        changes["pairs"] = [_pair(text) for text in pairs]
    table = Table(("OBJECTIVE", "POLICY", "PAGES", "FALSE", "PAGE TIME", "TICKETS", "DETECTED", "DELAY", "BEST GUARD"))
    found, now = [], utc_now()
    with reached() as here, session_scope(here.engine) as session:
        for objective in _chosen(session, ids):
            alerting = slo_trials.own_alerting(session, objective.id) | changes if changes else None
            found.append(slo_trials.backtests(session, objective.id, now=now, days=days, alerting=alerting))
    for item in found:
        guard = str(item.suggested_min_bad)
        table.rows.append((item.slo_id, "as it is", *_outcome(item.current), guard))
        if item.tried is not None:
            table.rows.append((item.slo_id, "tried", *_outcome(item.tried), guard))
    return Answer([*table.lines(), f"over the last {plural(days, 'day')}; nothing was changed"], _plain(found))


def _pair(text: str) -> dict[str, str]:
    """Return the pair that *text* writes as ``page:1h/5m:14.4`` or ``page:1h/5m:2%``, in the native form.

    Raises:
        InputError: If it writes none.
    """
    found = re.fullmatch(r"(?P<severity>\w+):(?P<long>\w+)/(?P<short>\w+):(?P<speed>[\d.]+%?)", text, re.ASCII)
    if found is None:
        raise InputError(f"{text!r} is no pair of windows; write it like page:1h/5m:14.4 or ticket:3d/6h:10%.")
    pair = found.groupdict()
    speed = pair.pop("speed")
    return pair | {"budget" if speed.endswith("%") else "factor": speed}


def _outcome(outcome: answers.BacktestOut) -> tuple[str, ...]:
    known, delay_s = len(outcome.detections), outcome.median_delay_s
    return (
        str(len(outcome.pages)),
        str(outcome.false_pages),
        duration_text(timedelta(minutes=round(outcome.page_minutes))),
        str(len(outcome.tickets)),
        f"{outcome.detected} of {known}" if known else DASH,
        DASH if delay_s is None else duration_text(timedelta(minutes=round(delay_s / 60))),
    )


def _plain(answer: object) -> Any:
    """Return *answer* as the API writes it."""
    return orjson.loads(to_json(answer))
