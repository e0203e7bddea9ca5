"""Alerts of objectives: those that are open, and those that were."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.store.paging import DEFAULT_LIMIT, check_paging
from analytics.store.tables import SloAlert


@dataclass(frozen=True, slots=True)
class SloAlertRow:
    """One time that an objective alerted."""

    id: uuid.UUID
    slo_id: str
    group_key: str
    """Empty for the whole objective."""
    kind: str
    """``burn``, ``exhausted``, ``violated`` or ``no_data``."""
    severity: str
    """``page`` or ``ticket``."""
    tier: int
    """Of a pair of burn windows, from 1 for the fastest; 0 for other kinds."""
    started_at: datetime
    ended_at: datetime | None
    """None while it is open."""
    frozen_at: datetime | None
    """Since when its data have stopped, so that it is neither confirmed nor resolved."""
    is_inhibited: bool
    """Whether a faster alert of the same objective says the same."""
    detail: Mapping[str, Any]
    origin: str


def list_alerts(
    session: Session,
    *,
    slo_id: str | None = None,
    interval: Interval | None = None,
    severity: str | None = None,
    is_open: bool | None = None,
    with_inhibited: bool = True,
    before: tuple[datetime, uuid.UUID] | None = None,
    limit: int = DEFAULT_LIMIT,
) -> list[SloAlertRow]:
    """Return alerts, newest first.

    Args:
        session: The caller's transaction.
        slo_id: Only those of this objective, its groups too.
        interval: Only those that were open at some time in ``[since, until)``.
        severity: Only pages or only tickets.
        is_open: Only open or only ended ones.
        with_inhibited: Whether those count that a faster alert covers.
        before: Start and id of the last one of the page before.
        limit: How many at most, 1 to 100.
    """
    check_paging(limit=limit)
    query = select(SloAlert).order_by(SloAlert.started_at.desc(), SloAlert.id.desc()).limit(limit)
    if slo_id is not None:
        query = query.where(SloAlert.slo_id == slo_id)
    if interval is not None:
        still = SloAlert.ended_at.is_(None) | (SloAlert.ended_at >= interval.since)
        query = query.where(SloAlert.started_at < interval.until, still)
    if severity is not None:
        query = query.where(SloAlert.severity == severity)
    if is_open is not None:
        query = query.where(SloAlert.ended_at.is_(None) if is_open else SloAlert.ended_at.is_not(None))
    if not with_inhibited:
        query = query.where(SloAlert.is_inhibited.is_(False))
    if before is not None:
        query = query.where(tuple_(SloAlert.started_at, SloAlert.id) < tuple_(*before))
    return [alert_row(alert) for alert in session.scalars(query)]


def open_alerts(session: Session, slo_ids: Sequence[str] | None = None) -> list[SloAlertRow]:
    """Return all open alerts, of these objectives or of all, by objective, group, kind and tier."""
    query = (
        select(SloAlert)
        .where(SloAlert.ended_at.is_(None))
        .order_by(SloAlert.slo_id, SloAlert.group_key, SloAlert.kind, SloAlert.tier)
    )
    if slo_ids is not None:
        query = query.where(SloAlert.slo_id.in_(slo_ids))
    return [alert_row(alert) for alert in session.scalars(query)]


def alert_row(alert: SloAlert) -> SloAlertRow:
    """Return *alert* as it is now."""
    return SloAlertRow(
        id=alert.id,
        slo_id=alert.slo_id,
        group_key=alert.group_key,
        kind=alert.kind,
        severity=alert.severity,
        tier=alert.tier,
        started_at=alert.started_at,
        ended_at=alert.ended_at,
        frozen_at=alert.frozen_at,
        is_inhibited=alert.is_inhibited,
        detail=alert.detail,
        origin=alert.origin,
    )
