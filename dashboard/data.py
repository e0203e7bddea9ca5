"""Everything pages read, each a question with a name; the only place that caches in Streamlit.

Rows are frozen, so that all sessions of the process share one copy. How long an answer may be shown again depends on
how fast the thing changes, and on the length of the time range; an expired answer of a slow thing is shown once more
while a new one is read in the background.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar

import streamlit as st

from analytics.agents import AgentGraph
from analytics.core.clock import Interval, utc_now
from analytics.core.errors import DependencyError, NotFoundError
from analytics.demo import is_seeded
from analytics.kpi import KpiReading, read_kpis
from analytics.live import agents as live_agents
from analytics.slo import SloReport, SloStatus, catalogue, corrections, ledger, slo_report
from analytics.slo.burndown import BurnDown, burn_down, burndown
from analytics.slo.explain import BurnExplanation, explain_burn
from analytics.slo.forecast import Forecast, look_ahead
from analytics.slo.windows import period_at
from analytics.store.engine import session_scope
from analytics.store.paging import MAX_LIMIT, Page
from analytics.store.queries import audit, documents, identity, mcp, nodes, queue, runs, schedules, views, workflows
from analytics.store.queries import compare as comparisons
from analytics.store.queries import estimate as estimates
from analytics.store.queries import slo_alerts as slo_alert_rows
from analytics.store.queries import timeline as timelines
from analytics.store.queries.run_filter import RunFilter
from dashboard.api.health import Health, collect_health
from dashboard.auth.roles import Role
from dashboard.context import AppContext, get_context
from dashboard.filters import Span
from dashboard.kept import AGENTS, graph_of, views_of
from dashboard.reading import LIVE, MEMORY, Question, note_limit
from worker.pictures import PagePicture
from worker.pictures import page_picture as picture_of
from worker.queues import QueueDepth, queue_depths
from worker.workflow import inputs

P = ParamSpec("P")
T = TypeVar("T")

_SOON = timedelta(seconds=5)
_MINUTE = timedelta(seconds=60)
_MOST_ENTRIES = 128
_FEWER_ENTRIES = {
    "page_picture": 16,
    "artifact": 2,
    "node": 32,
    "version": 32,
    "slo_history": 32,
    "slo_preview": 16,
    "slo_preview_of_rows": 8,
}
"""Of answers that may be large."""
_FEW = 8
_TREND = 40
"""As long as traffic of the same hour of the week is looked at."""

_SLOS = ("slos", "slo-corrections", "annotations")
"""Areas whose changes move objectives."""

_questions: list[Question[..., Any]] = []


def _cache(read: Callable[..., Any], fresh_for: timedelta) -> Any:
    mode: Any = "foreground" if fresh_for <= _SOON else "background"
    most = _FEWER_ENTRIES.get(read.__name__, _MOST_ENTRIES)
    note_limit(read.__name__, most)
    return st.cache_resource(ttl=fresh_for, max_entries=most, show_spinner=False, refresh_mode=mode)(read)


def question(
    *,
    fresh_for: timedelta | None = None,
    part: str = "postgres",
    role: Role = Role.VIEWER,
    is_kept: bool = True,
    tags: tuple[str, ...] = (),
) -> Callable[[Callable[Concatenate[AppContext, P], T]], Question[P, T]]:
    """Make a function a question; without *fresh_for* the range it is asked for decides how long answers stand.

    An answer that is not kept is not shown again while its source is away. *tags* are what it rests on: areas of the
    API whose changes void it in every process, and other tags of :mod:`analytics.live.cache`.
    """

    def make(read: Callable[Concatenate[AppContext, P], T]) -> Question[P, T]:
        made = Question(read, cache=_cache, part=part, fresh_for=fresh_for, role=role, is_kept=is_kept, tags=tags)
        _questions.append(made)
        return made

    return make


def forget_all() -> None:
    """Read everything anew the next time it is asked."""
    for question in _questions:
        question.read_again()


def probe(context: AppContext, part: str) -> bool:
    """Return whether *part* answers again, and note it; not cached, for pages that wait for it."""
    home = context.started_at.isoformat()
    try:
        if part == "redis":
            if context.redis is None:
                return False
            live_agents.agent_states(context.redis)
        elif part == "prometheus":
            if context.prom is None or not context.prom.is_ready():
                return False
        else:
            with session_scope(context.engine) as session:
                identity.has_users(session)
    except DependencyError as error:
        MEMORY.failed(home, part, error.message)
        return False
    MEMORY.answered(home, part)
    return True


# ---- Observe ----


@question(tags=("kpis",))
def kpis(context: AppContext, span: Span) -> list[KpiReading]:
    """Return all key figures over *span*."""
    with session_scope(context.engine) as session:
        return list(read_kpis(session, context.prom, span.interval()))


@question(fresh_for=_MINUTE, tags=_SLOS)
def slos(context: AppContext) -> SloReport:
    """Return how the objectives stand over their period."""
    with session_scope(context.engine) as session:
        return slo_report(session, now=utc_now())


@question(fresh_for=_MINUTE, tags=_SLOS)
def slo(context: AppContext, slo_id: str) -> SloStatus:
    """Return how one objective stands, with its groups and members."""
    with session_scope(context.engine) as session:
        catalogue.find(session, slo_id)
        return slo_report(session, now=utc_now(), ids=[slo_id], group_keys=True).statuses[0]


@question(fresh_for=_MINUTE, tags=_SLOS)
def slo_trends(context: AppContext) -> Mapping[str, Sequence[float | None]]:
    """Return the share of the budget left over the window of each objective, in a few steps, by id."""
    now = utc_now()
    with session_scope(context.engine) as session:
        found = catalogue.load(session)
        starts = {item.id: period_at(item.window, now).since for item in found}
        longest = Interval(min(starts.values(), default=now), now)
        kept = ledger.histories(session, found, longest, step=ledger.HOUR)
    courses = {
        slo_id: burndown(history, interval=Interval(starts[slo_id], now), points=_TREND)
        for slo_id, history in kept.items()
    }
    return {slo_id: [left for _, left in course.remaining] for slo_id, course in courses.items()}


@question(fresh_for=_MINUTE, tags=_SLOS)
def slo_burn_down(context: AppContext, slo_id: str) -> BurnDown:
    """Return how the budget of one objective was spent."""
    with session_scope(context.engine) as session:
        return burn_down(session, slo_id, now=utc_now())


@question(fresh_for=_MINUTE, tags=_SLOS)
def slo_forecast(context: AppContext, slo_id: str) -> Forecast:
    """Return how the budget of one objective goes on."""
    with session_scope(context.engine) as session:
        return look_ahead(session, slo_id, now=utc_now())


@question(fresh_for=_MINUTE, tags=_SLOS)
def slo_explained(context: AppContext, slo_id: str) -> BurnExplanation:
    """Return where the budget of one objective went."""
    with session_scope(context.engine) as session:
        return explain_burn(session, slo_id, now=utc_now())


@question(fresh_for=_SOON)
def slo_alerts(context: AppContext, slo_id: str | None = None) -> list[slo_alert_rows.SloAlertRow]:
    """Return the newest alerts of one objective, or those of all that are open."""
    with session_scope(context.engine) as session:
        if slo_id is None:
            return slo_alert_rows.open_alerts(session)
        return slo_alert_rows.list_alerts(session, slo_id=slo_id, limit=MAX_LIMIT)


@question(fresh_for=_SOON)
def slo_corrections(context: AppContext, slo_id: str) -> Sequence[corrections.Correction]:
    """Return the corrections that concern one objective, those withdrawn too."""
    with session_scope(context.engine) as session:
        objective = catalogue.find(session, slo_id)
        return corrections.list_corrections(session, objective=objective, with_withdrawn=True)


@question(fresh_for=_SOON)
def slo_revisions(context: AppContext, slo_id: str) -> Sequence[catalogue.Revision]:
    """Return every revision of one objective, newest first."""
    with session_scope(context.engine) as session:
        return catalogue.revisions(session, slo_id)


OF_SLOS: tuple[Question[..., Any], ...] = (
    slos,
    slo,
    slo_trends,
    slo_burn_down,
    slo_forecast,
    slo_explained,
    slo_alerts,
    slo_corrections,
    slo_revisions,
)
"""What reads objectives; read anew after a definition, a correction or an annotation changed."""


@question(tags=(AGENTS,))
def graph_of_agents(context: AppContext, span: Span) -> AgentGraph:
    """Return who handed work to whom over *span*."""
    return graph_of(context, span.interval())


@question(fresh_for=LIVE, part="redis")
def agent_states(context: AppContext) -> list[live_agents.AgentState]:
    """Return what every agent is doing."""
    return [] if context.redis is None else live_agents.agent_states(context.redis)


@question(fresh_for=LIVE, part="redis")
def agent_history(context: AppContext, agent_id: str) -> list[live_agents.AgentState]:
    """Return the last states of one agent, newest first."""
    return [] if context.redis is None else live_agents.agent_history(context.redis, agent_id)


@question(fresh_for=_SOON, part="health")
def health(context: AppContext) -> Health:
    """Return how the parts are."""
    return collect_health(context)


@question(fresh_for=_MINUTE)
def has_demo(context: AppContext) -> bool:
    """Return whether demo history is present."""
    with session_scope(context.engine) as session:
        return is_seeded(session)


@question(fresh_for=_SOON)
def latest_runs(context: AppContext) -> list[runs.RunRow]:
    """Return the newest runs, for those who may know only that they ran."""
    with session_scope(context.engine) as session:
        return runs.list_runs(session, limit=_FEW)


# ---- Operate ----


@question(fresh_for=LIVE, role=Role.ANALYST)
def list_runs(
    context: AppContext,
    span: Span | None,
    wanted: RunFilter | None = None,
    *,
    statuses: tuple[str, ...] = (),
    workflow_id: uuid.UUID | None = None,
    search: str | None = None,
    before: tuple[datetime, uuid.UUID] | None = None,
    limit: int = 20,
) -> list[runs.RunRow]:
    """Return runs created in *span*, or ever, newest first; with *wanted* the other filters are not read."""
    chosen = wanted or RunFilter(statuses=statuses, workflow_id=workflow_id, search=search)
    with session_scope(context.engine) as session:
        return runs.list_runs(session, filter=_within(chosen, span), before=before, limit=limit)


@question(fresh_for=LIVE, role=Role.ANALYST)
def page_of_runs(
    context: AppContext, span: Span | None, wanted: RunFilter, page: int, limit: int = 20
) -> Page[runs.RunRow]:
    """Return one numbered page of runs created in *span*, or ever, newest first."""
    with session_scope(context.engine) as session:
        return runs.page_runs(session, filter=_within(wanted, span), page=page, limit=limit)


@question(fresh_for=_MINUTE, role=Role.ANALYST)
def run_choices(context: AppContext) -> runs.RunChoices:
    """Return what the lists of runs can be narrowed to."""
    with session_scope(context.engine) as session:
        return runs.run_choices(session)


@question(fresh_for=LIVE, role=Role.ANALYST)
def run_counts(context: AppContext, span: Span) -> dict[str, int]:
    """Return how many runs of *span* have each status."""
    with session_scope(context.engine) as session:
        return runs.count_runs_by_status(session, interval=span.interval())


@question(fresh_for=timedelta(milliseconds=500), role=Role.ANALYST)
def run(context: AppContext, run_id: uuid.UUID) -> runs.RunDetail:
    """Return one run with its steps."""
    with session_scope(context.engine) as session:
        found = runs.run_detail(session, run_id)
    if found is None:
        raise NotFoundError(f"There is no run {run_id}; it may be older than what is kept.")
    return found


@question(fresh_for=timedelta(milliseconds=500), role=Role.ANALYST)
def run_without_outputs(context: AppContext, run_id: uuid.UUID) -> runs.RunDetail:
    """Return one run with its steps, without what they returned."""
    with session_scope(context.engine) as session:
        found = runs.run_detail(session, run_id, with_outputs=False)
    if found is None:
        raise NotFoundError(f"There is no run {run_id}; it may be older than what is kept.")
    return found


@question(fresh_for=LIVE, role=Role.ANALYST)
def run_events(context: AppContext, run_id: uuid.UUID) -> list[runs.RunEventRow]:
    """Return what happened to a run."""
    with session_scope(context.engine) as session:
        return runs.run_events(session, run_id)


@question(fresh_for=LIVE, role=Role.ANALYST)
def related_runs(context: AppContext, run_id: uuid.UUID) -> runs.RunRelatives:
    """Return where a run came from and what came from it."""
    with session_scope(context.engine) as session:
        return runs.related_runs(session, run_id)


@question(fresh_for=LIVE, role=Role.ANALYST)
def timeline(context: AppContext, run_id: uuid.UUID) -> timelines.Timeline | None:
    """Return a run over time, or None when there is no such run."""
    with session_scope(context.engine) as session:
        return timelines.timeline(session, run_id)


@question(fresh_for=_SOON, role=Role.ANALYST)
def estimate(context: AppContext, run_id: uuid.UUID) -> estimates.Estimate | None:
    """Return how long a run still takes, or None when it has ended."""
    with session_scope(context.engine) as session:
        return estimates.estimate(session, run_id)


@question(fresh_for=_SOON, role=Role.ANALYST)
def compare_runs(context: AppContext, left: uuid.UUID, right: uuid.UUID) -> comparisons.RunComparison:
    """Return two runs side by side."""
    with session_scope(context.engine) as session:
        return comparisons.compare_runs(session, left, right)


@question(fresh_for=timedelta(milliseconds=500), role=Role.ANALYST)
def node(context: AppContext, run_id: uuid.UUID, node_id: str, map_index: int = -1) -> nodes.NodeDetail | None:
    """Return one step of a run, or None when it has not begun."""
    with session_scope(context.engine) as session:
        return nodes.node_detail(session, run_id, node_id, map_index)


@question(fresh_for=timedelta(milliseconds=500), role=Role.ANALYST)
def node_log(
    context: AppContext,
    run_id: uuid.UUID,
    node_id: str,
    map_index: int = -1,
    *,
    attempt: int | None = None,
    after_seq: int | None = None,
    limit: int = 500,
    tail: bool = True,
) -> list[nodes.LogRow]:
    """Return lines that a step wrote."""
    with session_scope(context.engine) as session:
        return nodes.node_log(
            session, run_id, node_id, map_index, attempt=attempt, after_seq=after_seq, limit=limit, tail=tail
        )


@question(fresh_for=LIVE, role=Role.ANALYST)
def node_input(context: AppContext, run_id: uuid.UUID, node_id: str, map_index: int = -1) -> Mapping[str, Any] | None:
    """Return a step's configuration with its templates filled in, or None while what they name is not there."""
    with session_scope(context.engine) as session:
        return inputs.node_input(session, run_id, node_id, map_index)


@question(fresh_for=LIVE, role=Role.ANALYST)
def node_items(context: AppContext, run_id: uuid.UUID, container: str) -> nodes.NodeItems:
    """Return how the items of a loop stand."""
    with session_scope(context.engine) as session:
        return nodes.node_items(session, run_id, container)


@question(fresh_for=LIVE, role=Role.ANALYST)
def run_artifacts(context: AppContext, run_id: uuid.UUID) -> list[nodes.ArtifactRow]:
    """Return what the steps of a run made."""
    with session_scope(context.engine) as session:
        return nodes.run_artifacts(session, run_id)


@question(fresh_for=LIVE, role=Role.ANALYST, is_kept=False)
def artifact(context: AppContext, artifact_id: uuid.UUID) -> nodes.ArtifactContent | None:
    """Return an artifact with its bytes, or None when it is gone."""
    with session_scope(context.engine) as session:
        return nodes.artifact(session, artifact_id)


@question(fresh_for=timedelta(minutes=10), role=Role.ANALYST, tags=("views",))
def saved_views(context: AppContext, owner: str, page: str) -> Sequence[views.SavedViewRow]:
    """Return the views of *page* that *owner* keeps and that others share."""
    return views_of(context, owner, page)


@question(fresh_for=_SOON, role=Role.ANALYST)
def list_workflows(context: AppContext, page: int, search: str | None) -> Page[workflows.WorkflowRow]:
    """Return one page of workflows."""
    with session_scope(context.engine) as session:
        return workflows.list_workflows(session, page=page, search=search)


@question(fresh_for=_SOON, role=Role.ANALYST)
def workflow(context: AppContext, name: str) -> workflows.WorkflowDetail:
    """Return one workflow with its definition."""
    with session_scope(context.engine) as session:
        found = workflows.get_workflow(session, name)
    if found is None:
        raise NotFoundError(f"There is no workflow called {name!r}; it may have been archived.")
    return found


@question(fresh_for=_SOON, role=Role.ANALYST)
def workflow_stats(context: AppContext, workflow_id: uuid.UUID, days: int = 30) -> workflows.WorkflowStats:
    """Return what became of the runs of a workflow."""
    with session_scope(context.engine) as session:
        return workflows.workflow_stats(session, workflow_id, days=days)


@question(fresh_for=_SOON, role=Role.ANALYST)
def list_versions(context: AppContext, workflow_id: uuid.UUID, before: int | None = None) -> list[workflows.VersionRow]:
    """Return versions of a workflow, newest first."""
    with session_scope(context.engine) as session:
        return workflows.list_versions(session, workflow_id, before=before)


@question(fresh_for=_MINUTE, role=Role.ANALYST)
def version(context: AppContext, workflow_id: uuid.UUID, number: int) -> workflows.VersionDetail:
    """Return one version of a workflow with its definition."""
    with session_scope(context.engine) as session:
        found = workflows.get_version(session, workflow_id, number)
    if found is None:
        raise NotFoundError(f"There is no version {number} of that workflow.")
    return found


@question(fresh_for=_SOON, role=Role.ANALYST)
def list_schedules(context: AppContext, workflow_id: uuid.UUID, page: int = 1) -> Page[schedules.ScheduleRow]:
    """Return one page of the schedules of a workflow."""
    with session_scope(context.engine) as session:
        return schedules.list_schedules(session, workflow_id=workflow_id, page=page)


@question(fresh_for=_SOON, role=Role.ANALYST)
def schedule_times(context: AppContext, schedule_id: uuid.UUID) -> list[schedules.ScheduleTime]:
    """Return the latest times of a schedule that were taken."""
    with session_scope(context.engine) as session:
        return schedules.schedule_times(session, schedule_id)


@question(fresh_for=_SOON, role=Role.ANALYST)
def list_triggers(context: AppContext, workflow_id: uuid.UUID, page: int = 1) -> Page[schedules.TriggerRow]:
    """Return one page of the triggers of a workflow."""
    with session_scope(context.engine) as session:
        return schedules.list_triggers(session, workflow_id=workflow_id, page=page)


@question(fresh_for=LIVE, role=Role.ANALYST)
def list_documents(
    context: AppContext, before: tuple[datetime, uuid.UUID] | None = None
) -> list[documents.DocumentRow]:
    """Return uploaded documents, newest first."""
    with session_scope(context.engine) as session:
        return documents.list_documents(session, before=before)


@question(fresh_for=LIVE, role=Role.ANALYST)
def document(context: AppContext, document_id: uuid.UUID) -> documents.DocumentDetail:
    """Return one document with the text of its pages."""
    with session_scope(context.engine) as session:
        found = documents.document_detail(session, document_id)
    if found is None:
        raise NotFoundError(f"There is no document {document_id}; it may have been deleted.")
    return found


@question(fresh_for=timedelta(minutes=10), role=Role.ANALYST)
def page_picture(context: AppContext, document_id: uuid.UUID, page: int) -> PagePicture | None:
    """Return one page of a document as a browser can show it, or None when its bytes are gone."""
    with session_scope(context.engine) as session:
        content = documents.document_bytes(session, document_id)
    if content is None:
        return None
    return picture_of(f"document {document_id}", content, page, settings=context.settings.ocr)


@question(fresh_for=_SOON, role=Role.ANALYST)
def mcp_servers(context: AppContext) -> list[mcp.McpServerRow]:
    """Return the MCP servers and how they are."""
    with session_scope(context.engine) as session:
        return mcp.list_servers(session)


@question(fresh_for=_SOON, role=Role.ANALYST)
def mcp_tools(context: AppContext, server: str) -> list[mcp.McpToolRow]:
    """Return the tools of one MCP server."""
    with session_scope(context.engine) as session:
        return mcp.list_tools(session, server)


@question(fresh_for=LIVE, role=Role.ANALYST)
def queue_state(context: AppContext) -> runs.QueueState:
    """Return how many runs wait and run."""
    with session_scope(context.engine) as session:
        return runs.queue_state(session)


@question(fresh_for=LIVE, role=Role.ANALYST)
def queued_runs(context: AppContext, page: int) -> Page[queue.QueuedRow]:
    """Return one page of the queue, in the order in which workers take from it."""
    with session_scope(context.engine) as session:
        return queue.queued_runs(session, page=page)


@question(fresh_for=LIVE, role=Role.ANALYST)
def dead_letters(
    context: AppContext, span: Span | None, before: tuple[datetime, uuid.UUID] | None = None
) -> list[queue.DeadLetter]:
    """Return runs created in *span*, or ever, that were given up; newest first."""
    with session_scope(context.engine) as session:
        interval = None if span is None else span.interval()
        return queue.dead_letters(session, interval=interval, before=before)


@question(fresh_for=LIVE, role=Role.ANALYST)
def open_waits(
    context: AppContext, kinds: tuple[str, ...] = queue.FOR_PEOPLE, *, run_id: uuid.UUID | None = None
) -> list[queue.WaitRow]:
    """Return what nodes wait for; by default what a person has to end."""
    with session_scope(context.engine) as session:
        return queue.open_waits(session, kinds=kinds, run_id=run_id)


@question(fresh_for=LIVE, role=Role.ANALYST)
def list_workers(context: AppContext) -> list[runs.WorkerRow]:
    """Return the worker processes."""
    with session_scope(context.engine) as session:
        return runs.list_workers(session)


@question(fresh_for=LIVE, part="redis", role=Role.ANALYST)
def depths(context: AppContext) -> list[QueueDepth]:
    """Return the queues of Redis."""
    return [] if context.redis is None else queue_depths(context.redis)


# ---- Downloads: read when they are clicked, outside of any session; pages offer them to those who may read ----


def log_for_download(
    run_id: uuid.UUID, node_id: str, map_index: int, *, attempt: int, after_seq: int | None
) -> list[nodes.LogRow]:
    """Return the next 2,000 lines that a step wrote in an attempt."""
    with session_scope(get_context().engine) as session:
        return nodes.node_log(
            session,
            run_id,
            node_id,
            map_index,
            attempt=attempt,
            after_seq=after_seq,
            limit=nodes.MOST_LINES,
            tail=False,
        )


def artifact_for_download(artifact_id: uuid.UUID) -> bytes:
    """Return the bytes of an artifact.

    Raises:
        NotFoundError: If it is not kept any more.
    """
    with session_scope(get_context().engine) as session:
        found = nodes.artifact(session, artifact_id)
    if found is None:
        raise NotFoundError("What the step made is not kept any more.")
    return found.content


def _within(wanted: RunFilter, span: Span | None) -> RunFilter:
    """Return *wanted*, narrowed to *span* as it is at this moment."""
    return wanted if span is None else replace(wanted, interval=span.interval())


# ---- Admin ----


@question(fresh_for=LIVE, role=Role.ADMIN)
def list_users(context: AppContext, page: int, search: str | None) -> Page[identity.UserRow]:
    """Return one page of accounts."""
    with session_scope(context.engine) as session:
        return identity.list_users(session, page=page, search=search)


@question(fresh_for=LIVE, role=Role.ADMIN)
def list_tokens(context: AppContext, page: int) -> Page[identity.TokenRow]:
    """Return one page of API tokens."""
    with session_scope(context.engine) as session:
        return identity.list_tokens(session, page=page)


@question(fresh_for=LIVE, role=Role.ADMIN)
def list_audit(context: AppContext, outcome: str | None) -> list[audit.AuditRow]:
    """Return the newest entries of the audit log."""
    with session_scope(context.engine) as session:
        return audit.list_audit(session, outcome=outcome, limit=50)
