"""When objectives alert: from when an alert fires, through silence of its source, until it is resolved."""

import enum
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, floor_time
from analytics.core.ids import new_id
from analytics.slo import alert_facts, corrections
from analytics.slo.evaluate import SloStatus
from analytics.slo.ledger import Want, read
from analytics.slo.model import BUCKET, WHOLE, BurnPair, CompositeEvents, Severity, SloState
from analytics.slo.report import slo_report
from analytics.slo.windows import guard_of, pairs_of
from analytics.store.queries.slo_alerts import SloAlertRow, alert_row
from analytics.store.tables import LIVE, SloAlert

SHORTEST_SILENCE = 3 * BUCKET
"""Less silence than this never alerts: a bucket is read a while after it ends."""

GROUP_GONE_AFTER = timedelta(days=3)
"""An alert of a group that has not been seen for so long is over: its labels are no longer used."""

_RECOVERED = 0.01
"""A budget that was used up counts as back when this share of it is left."""
_TOLD_AT = "told_at"
_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended('helmsight.slo.alerts', 0))")


class AlertKind(enum.StrEnum):
    """What an alert is about."""

    BURN = "burn"
    """A pair of windows burns faster than its factor."""
    EXHAUSTED = "exhausted"
    """The budget of the window, or of the calendar span to date, is used up."""
    VIOLATED = "violated"
    """A calendar span has spent more than its whole budget at present traffic, so the target cannot be met any more."""
    NO_DATA = "no_data"
    """Nothing was measured for longer than the policy allows."""


class Change(enum.StrEnum):
    """What became of an alert."""

    FIRING = "firing"
    """It began, or what inhibited it is over."""
    RESOLVED = "resolved"
    FROZEN = "frozen"
    """Its data have stopped: it is neither confirmed nor resolved."""
    THAWED = "thawed"
    """Its data have come back and it still fires."""


@dataclass(frozen=True, slots=True)
class AlertChange:
    """What became of one alert."""

    change: Change
    alert: SloAlertRow
    """As it is now."""
    status: SloStatus | None
    """How its objective or group stands; None when there is none any more."""
    is_told: bool
    """Whether somebody is to be told: not of what is inhibited, and not of the end of what was never told."""


Key: TypeAlias = tuple[str, str, str, int]
"""Objective, group, kind and tier: of each there is at most one open alert."""


class _Verdict(enum.Enum):
    FIRES = enum.auto()
    CALM = enum.auto()
    HOLDS = enum.auto()
    """Nothing changes: an open alert stays, none begins."""
    SILENT = enum.auto()
    """There are no data to tell: an open alert freezes."""


@dataclass(frozen=True, slots=True)
class _Judged:
    """What the numbers say of one alert that there could be."""

    verdict: _Verdict
    severity: Severity
    status: SloStatus
    pair: BurnPair | None = None


def advance(session: Session, *, now: datetime) -> list[AlertChange]:
    """Begin, freeze and resolve alerts of all objectives, by the ledger at *now*; return what changed.

    Safe to run twice and at once: whoever comes second while another is at it does nothing. Objectives whose window
    holds demo history are left as they are.

    Raises:
        DependencyError: If PostgreSQL is away.
    """
    if not session.scalar(_LOCK):
        return []
    statuses = {status.objective.id: status for status in slo_report(session, now=now, group_keys=True).statuses}
    judged = dict(_judge_all(session, statuses.values(), now))
    query = select(SloAlert).where(SloAlert.ended_at.is_(None), SloAlert.origin == LIVE)
    firing = {_key(alert): alert for alert in session.scalars(query)}
    changes: list[AlertChange] = []
    for key in sorted(firing):
        alert, seen = firing[key], judged.get(key)
        status = statuses.get(alert.slo_id) if seen is None else seen.status
        if seen is not None and seen.verdict is _Verdict.CALM and _has_vanished(session, seen.status):
            seen = replace(seen, verdict=_Verdict.SILENT)
        change = _go_on(session, alert, seen, status, now)
        if change is Change.RESOLVED:
            del firing[key]
        if change is not None:
            changes.append(_changed(change, alert, status, is_told=change is Change.RESOLVED and _was_told(alert)))
    begun = sorted(key for key, seen in judged.items() if seen.verdict is _Verdict.FIRES and key not in firing)
    for key in begun:
        firing[key] = _begin(session, key, judged[key], now)
    for key in sorted(firing):
        alert = firing[key]
        alert.is_inhibited = any(_inhibits(other, alert) for other in firing.values())
        is_told = not alert.is_inhibited and not _was_told(alert)
        if is_told:
            alert.detail = {**alert.detail, _TOLD_AT: now.isoformat()}
        if is_told or key in begun:
            status = judged[key].status if key in judged else statuses.get(alert.slo_id)
            changes.append(_changed(Change.FIRING, alert, status, is_told=is_told))
    session.flush()
    return changes


def _has_vanished(session: Session, status: SloStatus) -> bool:
    """Return whether a group was not measured lately although its objective was: its labels may be gone for good."""
    if status.group_key == WHOLE or status.measured_at is None:
        return False
    lately = Interval(status.measured_at - SHORTEST_SILENCE, status.measured_at)
    (history,) = read(session, [Want(status.objective, lately, group_key=status.group_key)])
    return not history.measured_s.any() and not history.excluded_s.any()


# ---- What the numbers say ----


def _judge_all(session: Session, statuses: Collection[SloStatus], now: datetime) -> Iterator[tuple[Key, _Judged]]:
    """Yield every alert that there could be, with what the numbers say of it."""
    lately = Interval(floor_time(now, BUCKET) - SHORTEST_SILENCE, now)
    excluded = corrections.exclusions(session, [status.objective for status in statuses], lately)
    for status in statuses:
        slo_id = status.objective.id
        for one in (status, *status.groups):
            for kind, tier, seen in _judge(one):
                yield (slo_id, one.group_key, kind, tier), seen
        if _is_on(status, Severity.TICKET) and not isinstance(status.objective.indicator, CompositeEvents):
            verdict = _Verdict.HOLDS if slo_id in excluded else _no_data(status, now)
            yield (slo_id, WHOLE, AlertKind.NO_DATA, 0), _Judged(verdict, Severity.TICKET, status)


def _judge(status: SloStatus) -> Iterator[tuple[AlertKind, int, _Judged]]:
    """Yield kind and tier of the alerts about the numbers of an objective, or of a group of it."""
    for pair in pairs_of(status.objective):
        verdict = _Verdict.FIRES if pair in status.alerts else _Verdict.CALM
        yield AlertKind.BURN, pair.tier, _Judged(_unless_unknown(status, verdict), pair.severity, status, pair)
    if _is_on(status, Severity.TICKET):
        for kind, verdict in ((AlertKind.EXHAUSTED, _exhausted(status)), (AlertKind.VIOLATED, _violated(status))):
            yield kind, 0, _Judged(_unless_unknown(status, verdict), Severity.TICKET, status)


def _unless_unknown(status: SloStatus, verdict: _Verdict) -> _Verdict:
    if status.includes_demo:
        return _Verdict.HOLDS
    return _Verdict.SILENT if status.is_stale else verdict


def _exhausted(status: SloStatus) -> _Verdict:
    if status.budget is None or status.state is SloState.INSUFFICIENT_DATA:
        return _Verdict.HOLDS
    if status.budget.is_exhausted:
        return _Verdict.FIRES if _is_enough(status) else _Verdict.HOLDS
    return _Verdict.CALM if status.budget.remaining_ratio > _RECOVERED else _Verdict.HOLDS


def _violated(status: SloStatus) -> _Verdict:
    if status.projection is None or status.projection.left_minutes >= 0:
        return _Verdict.CALM
    return _Verdict.FIRES if _is_enough(status) else _Verdict.HOLDS


def _is_enough(status: SloStatus) -> bool:
    """Return whether as many were bad as the policy asks for before it alerts."""
    return status.total - status.good >= guard_of(status.objective)


def _no_data(status: SloStatus, now: datetime) -> _Verdict:
    after, seen = status.objective.alerting.no_data_after, status.measured_at
    if after is None:
        return _Verdict.CALM
    if status.includes_demo or seen is None or seen <= status.interval.since:
        return _Verdict.HOLDS
    return _Verdict.FIRES if now - seen >= max(after, SHORTEST_SILENCE) else _Verdict.CALM


def _is_on(status: SloStatus, severity: Severity) -> bool:
    policy = status.objective.alerting
    return (policy.page if severity is Severity.PAGE else policy.ticket).is_enabled


# ---- What becomes of an alert ----


def _begin(session: Session, key: Key, seen: _Judged, now: datetime) -> SloAlert:
    slo_id, group_key, kind, tier = key
    alert = SloAlert(
        id=new_id(),
        slo_id=slo_id,
        group_key=group_key,
        kind=kind,
        severity=seen.severity,
        tier=tier,
        started_at=now,
        is_inhibited=False,
        detail=alert_facts.at_start(session, seen.status, AlertKind(kind), seen.pair),
        origin=LIVE,
    )
    session.add(alert)
    return alert


def _go_on(
    session: Session, alert: SloAlert, seen: _Judged | None, status: SloStatus | None, now: datetime
) -> Change | None:
    """Freeze, thaw or resolve *alert*, as what was *seen* asks for; return what was done, if anything."""
    reason = _why_over(alert, seen, status, now)
    if reason is not None:
        alert.ended_at = max(now, alert.started_at)
        facts = {} if seen is None else alert_facts.at_end(session, seen.status, alert)
        alert.detail = {**alert.detail, **facts, "reason": reason}
        return Change.RESOLVED
    if seen is None or seen.verdict is _Verdict.SILENT:
        if alert.frozen_at is None:
            alert.frozen_at = now
            return Change.FROZEN
    elif seen.verdict is _Verdict.FIRES and alert.frozen_at is not None:
        alert.frozen_at = None
        return Change.THAWED
    return None


def _why_over(alert: SloAlert, seen: _Judged | None, status: SloStatus | None, now: datetime) -> str | None:
    """Return why *alert* is over; None while it is not."""
    if status is None:
        return "The objective is no longer in use."
    if seen is not None and seen.verdict is not _Verdict.SILENT:
        return "It no longer fires." if seen.verdict is _Verdict.CALM else None
    if seen is None and (alert.group_key == WHOLE or not status.objective.group_by):
        return "The policy no longer has it."
    if alert.group_key != WHOLE and alert.frozen_at is not None and now - alert.frozen_at >= GROUP_GONE_AFTER:
        return "The group is no longer there."
    return None


def _inhibits(other: SloAlert, alert: SloAlert) -> bool:
    """Return whether *other* says what *alert* says, and is at least as urgent."""
    if other is alert or other.slo_id != alert.slo_id or other.group_key not in (alert.group_key, WHOLE):
        return False
    if other.severity == Severity.TICKET and alert.severity == Severity.PAGE:
        return False
    is_wider = other.group_key != alert.group_key
    if alert.kind == AlertKind.BURN:
        return other.kind == AlertKind.BURN and (other.tier < alert.tier or (is_wider and other.tier == alert.tier))
    if alert.kind == AlertKind.EXHAUSTED:
        return other.kind == AlertKind.VIOLATED or (is_wider and other.kind == AlertKind.EXHAUSTED)
    return is_wider and other.kind == alert.kind


def _changed(change: Change, alert: SloAlert, status: SloStatus | None, *, is_told: bool) -> AlertChange:
    return AlertChange(change, alert_row(alert), status, is_told)


def _was_told(alert: SloAlert) -> bool:
    return _TOLD_AT in alert.detail


def _key(alert: SloAlert) -> Key:
    return alert.slo_id, alert.group_key, alert.kind, alert.tier
