"""Leads out of events: what ``lead.…`` events tell of a lead, folded together and brought into the table.

A lead is known by the source of the event and ``data.lead_id``, or else its subject. Events may come late: one that
happened before what is known already only fills in what is not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.core.ids import new_id
from analytics.journeys.events import NewEvent, looks_like_email

_FAMILY = "lead."
_STATUS_OF = {
    "lead.created": "new",
    "lead.contacted": "contacted",
    "lead.qualified": "qualified",
    "lead.won": "won",
    "lead.converted": "won",
    "lead.lost": "lost",
}


@dataclass(slots=True)
class ToldLead:
    """What a batch of events tells of one lead; None: nothing."""

    source: str
    external_id: str
    first_at: datetime
    last_at: datetime
    email: str | None = None
    owner: str | None = None
    p_score: float | None = None
    status: str | None = None
    status_at: datetime | None = None


def told_leads(events: Iterable[NewEvent]) -> list[ToldLead]:
    """Return what *events*, in the order in which they happened, tell of leads; what was said last stands."""
    told: dict[tuple[str, str], ToldLead] = {}
    for event in events:
        if not event.kind.startswith(_FAMILY):
            continue
        external_id = str(event.props.get("lead_id") or event.subject)
        lead = told.setdefault((event.source, external_id), ToldLead(event.source, external_id, event.at, event.at))
        lead.last_at = event.at
        _fold(lead, event)
    return [told[key] for key in sorted(told)]


def upsert_leads(session: Session, leads: Sequence[ToldLead]) -> int:
    """Add and change leads; return how many were."""
    if not leads:
        return 0
    values = {
        "ids": [new_id() for _ in leads],
        "sources": [lead.source for lead in leads],
        "external_ids": [lead.external_id for lead in leads],
        "firsts": [lead.first_at for lead in leads],
        "lasts": [lead.last_at for lead in leads],
        "emails": [lead.email for lead in leads],
        "owners": [lead.owner for lead in leads],
        "scores": [lead.p_score for lead in leads],
        "statuses": [lead.status for lead in leads],
        "status_ats": [lead.status_at for lead in leads],
    }
    added: Any = session.execute(_ADD, values)
    changed: Any = session.execute(_CHANGE, values)
    return int(added.rowcount + changed.rowcount)


def _fold(lead: ToldLead, event: NewEvent) -> None:
    props = event.props
    email = props.get("email") or (event.subject if looks_like_email(event.subject or "") else None)
    lead.email = email or lead.email
    lead.owner = props.get("owner") or lead.owner
    score = props.get("p_score")
    lead.p_score = lead.p_score if score is None else float(score)
    status = props.get("status") or _STATUS_OF.get(event.kind)
    if status is not None:
        lead.status, lead.status_at = status, event.at


_TOLD = """
    FROM unnest(CAST(:ids AS uuid[]), CAST(:sources AS text[]), CAST(:external_ids AS text[]),
                CAST(:firsts AS timestamptz[]), CAST(:lasts AS timestamptz[]), CAST(:emails AS text[]),
                CAST(:owners AS text[]), CAST(:scores AS float8[]), CAST(:statuses AS text[]),
                CAST(:status_ats AS timestamptz[]))
         AS t (id, source, external_id, first_at, last_at, email, owner, p_score, status, status_at)
"""
_ADD = text(f"""
    INSERT INTO lead (id, source, external_id, created_at, updated_at, email, owner, p_score, status, converted_at)
    SELECT id, source, external_id, first_at, last_at, email, owner, p_score, coalesce(status, 'new'),
           CASE WHEN status = 'won' THEN status_at END
    {_TOLD}
    ON CONFLICT (source, external_id) WHERE external_id IS NOT NULL DO NOTHING
""")
# Those just added have the id they were given and stay as they are.
_CHANGE = text(f"""
    UPDATE lead
    SET email = CASE WHEN is_newer THEN coalesce(t.email, lead.email) ELSE coalesce(lead.email, t.email) END,
        owner = CASE WHEN is_newer THEN coalesce(t.owner, lead.owner) ELSE coalesce(lead.owner, t.owner) END,
        p_score = CASE WHEN is_newer THEN coalesce(t.p_score, lead.p_score) ELSE coalesce(lead.p_score, t.p_score) END,
        status = CASE WHEN is_newer THEN coalesce(t.status, lead.status) ELSE lead.status END,
        converted_at = CASE WHEN NOT is_newer OR t.status IS NULL THEN lead.converted_at
                            WHEN t.status = 'won' THEN coalesce(lead.converted_at, t.status_at) END,
        created_at = least(lead.created_at, t.first_at),
        updated_at = greatest(lead.updated_at, t.last_at)
    FROM (SELECT t.*, t.last_at >= held.updated_at AS is_newer {_TOLD}
          JOIN lead held ON held.source = t.source AND held.external_id = t.external_id AND held.id <> t.id
          ORDER BY t.source, t.external_id FOR UPDATE OF held) AS t
    WHERE lead.source = t.source AND lead.external_id = t.external_id
""")  # noqa: S608 - no values in it
