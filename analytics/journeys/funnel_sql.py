"""What a funnel asks of PostgreSQL: which events are a step, and what people are split by."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.core.clock import Interval
from analytics.journeys.acts import of_share
from analytics.journeys.leads import band_sql

PLAIN = ("source", "service")
PROPS = "props."
NO_GROUP = 0

_LEAD = "lead."
_COLUMN_OF = {"source": "source", "service": "service", "project": "CAST(project_id AS text)"}


def mark_sql(steps: Sequence[tuple[str, Mapping[str, str]]], parameters: dict[str, Any]) -> str:
    """Return the SQL that gives a bit for each of *steps* that an event is, and name its parameters."""
    return " | ".join(
        f"CASE WHEN {_condition(place, kind, where, parameters)} THEN {1 << place} ELSE 0 END"
        for place, (kind, where) in enumerate(steps)
    )


def own_sql(by: str | None, parameters: dict[str, Any]) -> str:
    """Return the SQL that gives a hash of the group of an event, 0 for none, and name its parameters."""
    if by is None or by.startswith(_LEAD):
        return str(NO_GROUP)
    return f"coalesce(hashtextextended({_own(by, parameters)}, 0), {NO_GROUP})"


def names_of_groups(session: Session, by: str, span: Interval, hashes: Sequence[int], share: int) -> dict[int, str]:
    """Return the values of *by* that *hashes* stand for, among the events of *share* of the people in *span*."""
    parameters: dict[str, Any] = {"since": span.since, "until": span.until, "hashes": list(hashes)}
    own = _own(by, parameters)
    sampled = of_share(share, parameters)
    rows = session.execute(
        text(f"""
            SELECT DISTINCT hashtextextended({own}, 0), {own} FROM event
            WHERE at >= :since AND at < :until AND subject IS NOT NULL
                AND hashtextextended({own}, 0) = ANY(CAST(:hashes AS bigint[])) {sampled}
        """),  # noqa: S608 - values are parameters
        parameters,
    )
    return {row[0]: row[1] for row in rows}


def leads_by_person(session: Session, by: str) -> dict[int, str | None]:
    """Return what *by* says of each lead, by the hash of the person: its e-mail or external id; the first counts."""
    told = band_sql("p_score") if by == "lead.score" else by.removeprefix(_LEAD)
    rows = session.execute(
        text(f"""
            SELECT DISTINCT ON (person) hashtextextended(person, 0), told FROM (
                SELECT email AS person, created_at, {told} AS told FROM lead WHERE email IS NOT NULL
                UNION ALL
                SELECT external_id, created_at, {told} FROM lead WHERE external_id IS NOT NULL
            ) AS known ORDER BY person, created_at
        """)  # noqa: S608 - no values in it
    )
    return {row[0]: row[1] for row in rows}


def is_of_leads(by: str | None) -> bool:
    """Return whether *by* is a property of the lead that a person is."""
    return by is not None and by.startswith(_LEAD)


def _own(by: str, parameters: dict[str, Any]) -> str:
    if by in _COLUMN_OF:
        return _COLUMN_OF[by]
    parameters["by"] = by.removeprefix(PROPS)
    return "(props ->> CAST(:by AS text))"


def _condition(place: int, kind: str, where: Mapping[str, str], parameters: dict[str, Any]) -> str:
    parameters[f"kind_{place}"] = kind.removesuffix("*")
    found = [f"kind ^@ :kind_{place}" if kind.endswith("*") else f"kind = :kind_{place}"]
    for number, (name, value) in enumerate(where.items()):
        parameters[f"value_{place}_{number}"] = value
        if name in PLAIN:
            found.append(f"{name} = :value_{place}_{number}")
        else:
            parameters[f"name_{place}_{number}"] = name.removeprefix(PROPS)
            found.append(f"props ->> CAST(:name_{place}_{number} AS text) = :value_{place}_{number}")
    return f"({' AND '.join(found)})"
