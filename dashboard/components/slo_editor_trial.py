"""What real history says about a draft of an objective: how it would stand, whom it would have woken, what if."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

import orjson
import streamlit as st

from analytics.core.clock import Interval, floor_time, utc_now
from analytics.slo.backtest import Alarm, BacktestResult, Detection, Incident, backtest, suggest_min_bad
from analytics.slo.burndown import burndown
from analytics.slo.catalogue import Change
from analytics.slo.checks import Level, Problem
from analytics.slo.document_words import minutes_text
from analytics.slo.history import History
from analytics.slo.model import BUCKET, AlertPolicy, BurnPair, Objective, Severity
from analytics.slo.specs.native import dump_document
from analytics.slo.what_if import WhatIf, what_if, what_if_targets
from analytics.slo.windows import pairs_of, windows_of
from dashboard import formats
from dashboard.components import charts, slos, states, tables
from dashboard.components.charts import Chart, Mark, Series, Threshold
from dashboard.components.status import Look
from dashboard.components.tables import Column
from dashboard.zone import viewer_zone

JUDGED = timedelta(days=30)
"""How much of the history is judged."""
LONGEST = timedelta(days=90)
"""How far five-minute buckets go back."""
_FEW_EVENTS = 10
_LADDER = tuple(
    Decimal(text) for text in ("0.9", "0.95", "0.98", "0.99", "0.995", "0.998", "0.999", "0.9995", "0.9999")
)
_FALSE = Look("Without cause", ":material/do_not_disturb_on:", "violet")
_LOSS = Look("Real loss", ":material/trending_down:", "gray")
_KNOWN = Look("Incident", ":material/warning:", "blue")


@dataclass(frozen=True, slots=True)
class Trial:
    """What a history says of a draft."""

    objective: Objective
    history: History
    incidents: Sequence[Incident]
    standing: WhatIf
    result: BacktestResult
    before: BacktestResult | None
    """What the stored objective would have done; None for a new one, or when it counts something else."""
    is_different: bool
    """Whether the draft's alerts are other ones than those of what is stored."""
    suggested: int | None
    """The guard with fewer false pages that loses no incident; None when the present one is as good."""


def measured(objective: Objective, *, keep_target: bool = False) -> str:
    """Return as a JSON document what of *objective* decides its history, so that other changes do not read it anew."""
    bare = replace(objective, title=objective.id, description="", owner=None, labels={}, alerting=AlertPolicy())
    return orjson.dumps(dump_document(bare if keep_target else replace(bare, target=Decimal(1)))).decode()


def span_of(objective: Objective) -> Interval:
    """Return the time that is read to judge *objective*: its window, and all its burn windows full from the start."""
    until = floor_time(utc_now(), BUCKET)
    lead = max(windows_of(objective), default=BUCKET)
    return Interval(until - min(LONGEST, max(JUDGED + lead, objective.period)), until)


def judged_of(history: History) -> Interval:
    """Return what of *history* alerts are judged over."""
    return Interval(max(history.interval.since, history.interval.until - JUDGED), history.interval.until)


def judge(objective: Objective, stored: Objective | None, history: History, incidents: Sequence[Incident]) -> Trial:
    """Return what *history* says of *objective*, beside what it says of the one *stored*."""
    history = replace(history, objective=objective)
    since = judged_of(history).since
    result = backtest(history, incidents=incidents, since=since)
    before = None
    if stored is not None and counts_the_same(objective, stored):
        before = backtest(replace(history, objective=stored), incidents=incidents, since=since)
    suggested = suggest_min_bad(history, incidents=incidents) if result.false_pages else None
    return Trial(
        objective=objective,
        history=history,
        incidents=incidents,
        standing=what_if(history, incidents=incidents),
        result=result,
        before=before,
        is_different=before is not None and (result.pages, result.tickets) != (before.pages, before.tickets),
        suggested=None if suggested == objective.alerting.min_bad else suggested,
    )


def counts_the_same(objective: Objective, other: Objective) -> bool:
    """Return whether both have the same good and total, bucket by bucket."""
    return (objective.id, objective.service, objective.indicator, objective.budgeting, objective.slices) == (
        other.id,
        other.service,
        other.indicator,
        other.budgeting,
        other.slices,
    )


# ---- Beside Save ----


def draw_summary(trial: Trial) -> None:
    """Draw what the alerts of the draft would have done, against those of what is stored."""
    result, before = trial.result, trial.before
    days = formats.duration(result.interval.length)
    st.markdown(f"**Its alerts on the last {days}**")
    if not _has_events(trial):
        st.caption("No event was seen in that time: what its alerts would have done is not known.")
        return
    with st.grid(4, min_column_width=110, gap="small", key="slo_editor.summary"):
        _figure("Pages", len(result.pages), None if before is None else len(before.pages))
        _figure(
            "Without cause",
            result.false_pages,
            None if before is None else before.false_pages,
            hint="Pages that neither a known incident nor a real loss of budget explains.",
        )
        _figure("Tickets", len(result.tickets), None if before is None else len(before.tickets))
        known = len(result.detections)
        st.metric(
            "Told after",
            formats.DASH if not known else "Never" if not result.detected else formats.duration(result.median_delay),
            f"{result.detected} of {formats.plural(known, 'incident')}" if known else "no incident noted",
            delta_color="off",
            delta_arrow="off",
            help="Median time from the start of a known incident to the first page or ticket about it.",
        )
    words = [_paging(result)]
    if before is not None and trial.is_different:
        words.append(f"As saved now: {_paging(before).lower()} Arrows compare with that.")
    st.caption(" ".join(words))


def _has_events(trial: Trial) -> bool:
    return trial.history.totals()[1] > 0


def _paging(result: BacktestResult) -> str:
    return f"{formats.duration(result.page_minutes * 60)} of paging." if result.pages else "Nobody paged."


def _figure(label: str, value: int, before: int | None, *, hint: str | None = None) -> None:
    change = None if before is None or value == before else value - before
    st.metric(label, f"{value:,}", change, delta_color="inverse", help=hint)


# ---- How it would stand ----


def draw_standing(trial: Trial) -> None:
    """Draw how the objective would stand now, and the course of its budget."""
    now = trial.standing
    objective = trial.objective
    with st.grid(4, min_column_width=100, gap="small", key="slo_editor.standing"):
        st.metric(
            "Indicator",
            formats.percent_against(now.sli, objective.target),
            None if now.margin is None else f"{now.margin * 100:+.3f} points",
        )
        st.metric(
            "Budget left",
            _left(now),
            None
            if now.budget is None
            else f"{formats.number(now.budget.remaining_events)} of {formats.number(now.budget.total_events)}",
            delta_color="off",
            delta_arrow="off",
            help="The events that may still be bad, of those that might be at the traffic of the window.",
        )
        st.metric(
            "As time",
            _time(now),
            help="How long a full outage would use up the budget of a whole window.",
        )
        st.metric("Measured", formats.percent(now.coverage), help="Share of the window; below 90 % nothing is claimed.")
    _draw_warnings(trial)
    course = burndown(trial.history.within(now.interval))
    alarms = [alarm for alarm in (*trial.result.tickets, *trial.result.pages) if _is_within(alarm, course.interval)]
    st.markdown("**Budget left**")
    charts.draw(
        Chart(
            alt=f"Error budget of the draft over its window; {_left(now)} is left",
            unit="ratio",
            series=[Series("Budget left", course.remaining, kind="area")],
            interval=course.interval,
            thresholds=[Threshold(0.0, "Used up", "critical")],
            marks=[_mark(alarm, course.interval) for alarm in alarms],
            height=260,
        ),
        key="slo_editor.chart.left",
    )
    if alarms:
        st.caption("Shaded red: it would have paged. Shaded amber: it would have opened a ticket.")
    st.markdown("**Bad events**")
    charts.draw(
        Chart(
            alt="Bad events of the draft over its window",
            unit="count",
            series=[Series("Bad", course.bad, kind="bar", tone="critical")],
            interval=course.interval,
            height=180,
            from_zero=True,
        ),
        key="slo_editor.chart.bad",
    )


def _draw_warnings(trial: Trial) -> None:
    now = trial.standing
    if now.budget is None:
        st.info(
            "No event was seen in its window: nothing is known of it, neither good nor bad.", icon=":material/help:"
        )
    elif now.compliant is None:
        st.warning(
            f"Only {formats.percent(now.coverage)} of its window was measured. Until it is 90 %, the objective counts"
            " as not known, however good the figures look.",
            icon=":material/hourglass_empty:",
        )
    if now.events_allowed is not None and now.events_allowed < _FEW_EVENTS and trial.objective.target < 1:
        st.warning(
            f"At this traffic a whole window may hold {formats.number(now.events_allowed)} bad events. A target this"
            " tight is decided by chance: lower it, or lengthen the window.",
            icon=":material/casino:",
        )


def _left(now: WhatIf) -> str:
    return slos.left_words(None if now.budget is None else now.budget.remaining_ratio)


def _time(now: WhatIf) -> str:
    return formats.NO_DATA if now.budget is None else minutes_text(now.budget.minutes)


def _is_within(alarm: Alarm, interval: Interval) -> bool:
    return alarm.started_at < interval.until and (alarm.ended_at or interval.until) > interval.since


def _mark(alarm: Alarm, interval: Interval) -> Mark:
    is_page = alarm.severity is Severity.PAGE
    return Mark(
        max(alarm.started_at, interval.since),
        "",
        alarm.ended_at or interval.until,
        "critical" if is_page else "warning",
    )


# ---- Whom it would have woken ----


def _why(alarm: Alarm) -> Look:
    if alarm.is_false:
        return _FALSE
    return _LOSS if alarm.incident is None else _KNOWN


def _delay(length: timedelta | None) -> str | None:
    return None if length is None else "at once" if not length else formats.duration(length)


_ALARMS: list[Column[Alarm]] = [
    Column("Kind", lambda alarm: slos.SEVERITY_LOOKS[alarm.severity], "state", width="small"),
    Column("Began", lambda alarm: alarm.started_at, "moment"),
    Column("Lasted", lambda alarm: formats.duration(alarm.minutes * 60), width="small"),
    Column("Why", _why, "state", width="small"),
    Column("Before", lambda alarm: alarm.spent_before, "ratio", "Share of the budget spent when it fired.", "small"),
    Column("During", lambda alarm: alarm.spent_during, "ratio", "Share spent while it fired.", "small"),
    Column("Peak burn", lambda alarm: slos.rate_words(alarm.peak_burn), width="small"),
]
_DETECTIONS: list[Column[Detection]] = [
    Column("Incident", lambda found: found.incident.title or "Without a name"),
    Column("Began", lambda found: found.incident.interval.since, "moment"),
    Column("Paged after", lambda found: _delay(found.paged_after), width="small"),
    Column("Ticket after", lambda found: _delay(found.ticketed_after), width="small"),
]
_PAIRS: list[Column[tuple[BurnPair, float]]] = [
    Column("Kind", lambda row: slos.SEVERITY_LOOKS[row[0].severity], "state", width="small"),
    Column("Long window", lambda row: formats.duration(row[0].long), width="small"),
    Column("Short window", lambda row: formats.duration(row[0].short), width="small"),
    Column("Faster than", lambda row: f"{row[0].factor:.3g}x", width="small"),
    Column("Spends", lambda row: row[1], "ratio", "Share of the budget in the long window.", "small"),
]


def draw_alarms(trial: Trial) -> None:
    """Draw every alert there would have been, when known incidents were told of, and what the policy is."""
    result = trial.result
    alarms = sorted([*result.pages, *result.tickets], key=lambda alarm: alarm.started_at, reverse=True)
    if alarms:
        tables.table(
            alarms,
            _ALARMS,
            alt="The pages and tickets there would have been, newest first",
            key="slo_editor.alarms",
            height="content" if len(alarms) <= _FEW_EVENTS else 380,
        )
    elif not _has_events(trial):
        states.empty("Not known", "No event was seen in that time.", icon=":material/help:")
    else:
        states.empty("Nobody would have been told anything", "No pair of windows fired.", icon=":material/bedtime:")
    if result.detections:
        st.markdown("**Known incidents**")
        tables.table(
            result.detections,
            _DETECTIONS,
            alt="Known incidents and how soon they were told of",
            key="slo_editor.detections",
            height="content",
        )
    else:
        st.caption("No incident is noted for this service in that time; note some to see how soon they are told of.")
    st.markdown("**Pairs of burn windows**")
    objective = trial.objective
    pairs = [(pair, pair.factor * (pair.long / objective.period)) for pair in pairs_of(objective)]
    tables.table(pairs, _PAIRS, alt="When the objective alerts", key="slo_editor.pairs", height="content")
    st.caption(
        f"Both windows must burn faster, and the long one must hold {objective.alerting.min_bad} bad events."
        if objective.alerting.min_bad
        else "Both windows must burn faster."
    )


# ---- What if ----


def _met(row: WhatIf) -> Look:
    if row.compliant is None:
        return Look("Not known", ":material/help:", "gray")
    return (
        Look("Met", ":material/check_circle:", "green") if row.compliant else Look("Missed", ":material/error:", "red")
    )


_TARGETS: list[Column[WhatIf]] = [
    Column("Target", lambda row: formats.percent(row.target), width="small"),
    Column("Met", _met, "state", width="small"),
    Column("Budget left", _left, width="small"),
    Column("As time", _time, width="small"),
    Column("Pages", lambda row: row.pages, "number", width="small"),
    Column("Without cause", lambda row: row.false_pages, "number", width="small"),
    Column("Tickets", lambda row: row.tickets, "number", width="small"),
]


def targets_around(target: Decimal) -> list[Decimal]:
    """Return the targets that can be tried, with *target* among them, from the easiest."""
    return sorted({*_LADDER, target})


def draw_targets(trial: Trial, rows: Sequence[WhatIf], *, use: Callable[[Decimal], None]) -> None:
    """Draw how the objective would stand under other targets; *use* takes one into the draft."""
    own = trial.objective.target
    by_target = {row.target: row for row in rows}
    chosen: Decimal = st.select_slider(
        "Target", list(by_target), value=own, format_func=formats.percent, key=f"slo_editor.target.{own}"
    )
    row, now = by_target[chosen], by_target[own]
    with st.grid(4, min_column_width=100, gap="small", key="slo_editor.targets"):
        left, left_now = row.budget, now.budget
        st.metric("Would be", _met(row).word)
        st.metric(
            "Budget left",
            _left(row),
            None
            if left is None or left_now is None or chosen == own
            else formats.change(left.remaining_ratio, left_now.remaining_ratio, "ratio"),
        )
        st.metric("As time", _time(row))
        _figure("Pages", row.pages, now.pages)
    st.button(
        f"Use {formats.percent(chosen)}",
        icon=":material/check:",
        key="slo_editor.target.use",
        disabled=chosen == own,
        help="Writes it into the draft; nothing is saved yet.",
        on_click=use,
        args=(chosen,),
    )
    tables.table(
        rows,
        _TARGETS,
        alt="How the objective would stand under each target",
        key="slo_editor.targets.table",
        height="content",
        selected=list(by_target).index(chosen),
    )
    until = formats.moment(trial.history.interval.until, viewer_zone(), seconds=False)
    st.caption(f"Over its window until {until}. Pairs of burn windows follow the target unless they are written down.")


def ladder_of(trial: Trial) -> list[WhatIf]:
    """Return how the objective would stand under each of :func:`targets_around`."""
    return what_if_targets(trial.history, targets_around(trial.objective.target), incidents=trial.incidents)


# ---- Checks and changes ----

_CHANGES: list[Column[Change]] = [
    Column("Field", lambda change: change.path),
    Column("Before", lambda change: change.before),
    Column("After", lambda change: change.after),
]


def draw_checks(found: Sequence[Problem]) -> None:
    """Draw what is doubtful about the objective when its source is asked."""
    if not found:
        states.empty("Nothing doubtful", "The source answers as the objective expects.", icon=":material/check_circle:")
        return
    with st.container(border=True, gap="small"):
        for problem in found:
            badge = (
                ":red-badge[:material/error: Error]"
                if problem.level is Level.ERROR
                else ":orange-badge[:material/warning: Doubt]"
            )
            st.markdown(f"{badge} `{problem.path}` {formats.escaped(problem.message)}")
            if problem.hint:
                st.caption(formats.escaped(problem.hint))


def draw_changes(found: Sequence[Change]) -> None:
    """Draw which fields differ from what is stored."""
    if found:
        tables.table(
            found,
            _CHANGES,
            alt="The fields of the draft that differ from what is saved",
            key="slo_editor.changes",
            height="content",
        )
