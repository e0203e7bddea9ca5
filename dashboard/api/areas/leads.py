"""Leads: listed, looked at, changed."""

import uuid
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from analytics.journeys.leads import Band, LeadFilter, LeadRow, by_band, change_lead, delete_lead, get_lead, list_leads
from analytics.store.engine import session_scope
from dashboard.api.operations import (
    Asked,
    Call,
    CursorQuery,
    Listing,
    Operation,
    RangeQuery,
    decode_cursor,
    found,
    listing,
)
from dashboard.auth.roles import Role

TAG = "leads"
"""Of what is kept in caches; a change of a lead invalidates it."""


class LeadsQuery(CursorQuery):
    """Which leads."""

    status: str | None = Field(default=None, max_length=20, description="new, contacted, qualified, won or lost.")
    owner: str | None = Field(default=None, max_length=200)
    source: str | None = Field(default=None, max_length=200)
    band: str | None = Field(default=None, max_length=20, description="Of its score, such as `0.75 to 1`.")
    search: str | None = Field(default=None, max_length=200, description="Part of the e-mail or of the external id.")


class LeadChange(Asked):
    """What is to be changed of a lead; what is not sent stays."""

    email: str | None = Field(default=None, max_length=254)
    owner: str | None = Field(default=None, max_length=200)
    status: str = Field(default="", max_length=20)
    p_score: float | None = Field(default=None, ge=0, le=1, description="Chance to become a customer.")


async def list_known(call: Call) -> Listing:
    """Return leads."""
    query = call.query(LeadsQuery)
    asked = (query.status, query.owner, query.source, query.band, query.search)
    before = decode_cursor(query.after)

    def read() -> list[LeadRow]:
        with session_scope(call.context.engine) as session:
            return list_leads(session, LeadFilter(*asked), before=before, limit=query.limit)

    key = ("list", *asked, query.after, query.limit)
    rows = await call.in_thread(call.context.caches.remember, TAG, key, read, of=list[LeadRow], tags=(TAG,))
    return listing(rows, query.limit, lambda row: (row.created_at, row.id))


async def get_known(call: Call) -> LeadRow:
    """Return one lead."""
    lead_id: uuid.UUID = call.path("lead_id")

    def read() -> LeadRow:
        with session_scope(call.context.engine) as session:
            return found(get_lead(session, lead_id), "lead")

    return await call.in_thread(call.context.caches.remember, TAG, lead_id, read, of=LeadRow, tags=(TAG,))


async def change_known(call: Call) -> LeadRow:
    """Change a lead."""
    changes: dict[str, Any] = call.body(LeadChange).model_dump(exclude_unset=True)
    return await call.ask(change_lead, call.path("lead_id"), changes, actor=call.viewer.actor)


async def delete_known(call: Call) -> None:
    """Remove a lead."""
    await call.ask(delete_lead, call.path("lead_id"), actor=call.viewer.actor)


async def count_bands(call: Call) -> Sequence[Band]:
    """Return how leads stand by band of their score."""
    return await call.ask(by_band, call.query(RangeQuery).interval())


_ONE = "/leads/{lead_id:uuid}"

OPERATIONS = (
    Operation(
        "GET", "/leads", list_known, "List leads, those that came last first.", Role.ANALYST, LeadRow, query=LeadsQuery
    ),
    Operation(
        "GET",
        "/leads/bands",
        count_bands,
        "Return how the leads that came in a range stand now, by band of their score.",
        Role.ANALYST,
        list[Band],
        query=RangeQuery,
    ),
    Operation("GET", _ONE, get_known, "Return a lead.", Role.ANALYST, LeadRow),
    Operation(
        "PATCH",
        _ONE,
        change_known,
        "Change status, score, owner or e-mail of a lead.",
        Role.OPERATOR,
        LeadRow,
        body=LeadChange,
        doing="change a lead",
    ),
    Operation(
        "DELETE",
        _ONE,
        delete_known,
        "Remove a lead; what it did stays among the events.",
        Role.OPERATOR,
        status=204,
        doing="delete a lead",
    ),
)
