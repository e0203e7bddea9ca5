"""Writing to the ledger what sources say, and how far each objective was read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import orjson
from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.slo import ledger
from analytics.slo.model import BUCKET
from analytics.slo.timeslices import Counts
from analytics.store.tables import LIVE


@dataclass(frozen=True, slots=True)
class Note:
    """How the reading of one objective ended."""

    slo_id: str
    fingerprint: str
    """Of what was asked."""
    read_until: datetime | None
    """None when it failed."""
    error: str | None = None
    warnings: Sequence[str] = ()


def post(session: Session, counts: Mapping[str, Mapping[str, Counts]]) -> dict[str, int]:
    """Write *counts*, by objective and group key, over earlier ones, and sum their hours.

    Demo history is never written over. Safe to run twice: the second run writes the same numbers.

    Returns:
        How many buckets there were of each objective.
    """
    series = [
        (slo_id, key, counted)
        for slo_id, groups in counts.items()
        for key, counted in groups.items()
        if len(counted.starts)
    ]
    if not series:
        return {}
    parts = [counted for _, _, counted in series]
    starts = np.concatenate([counted.starts for counted in parts])
    session.execute(
        _POST,
        {
            "ids": [slo_id for slo_id, _, _ in series],
            "keys": [key for _, key, _ in series],
            "places": np.repeat(np.arange(1, len(parts) + 1), [len(counted.starts) for counted in parts]).tolist(),
            "starts": starts.tolist(),
            "goods": np.concatenate([counted.good for counted in parts]).tolist(),
            "totals": np.concatenate([counted.total for counted in parts]).tolist(),
            "seconds": np.concatenate([counted.measured_s for counted in parts]).tolist(),
            "origin": LIVE,
        },
    )
    since, until = (datetime.fromtimestamp(int(moment), UTC) for moment in (starts.min(), starts.max()))
    ledger.roll_up(session, sorted({slo_id for slo_id, _, _ in series}), since=since, until=until + BUCKET)
    lengths: dict[str, int] = {}
    for slo_id, _, counted in series:
        lengths[slo_id] = lengths.get(slo_id, 0) + len(counted.starts)
    return lengths


def forget(session: Session, slo_id: str, *, since: datetime, until: datetime) -> None:
    """Delete what sources said of an objective and its groups in ``[since, until)``; demo history stays."""
    session.execute(_FORGET, {"slo_id": slo_id, "since": since, "until": until, "origin": LIVE})
    ledger.drop_empty_hours(session, [slo_id], since=since, until=until)


def note(session: Session, notes: Sequence[Note], *, now: datetime) -> None:
    """Keep how readings ended; one that failed leaves how far the objective was read before."""
    session.execute(
        _NOTE,
        {
            "ids": [item.slo_id for item in notes],
            "fingerprints": [item.fingerprint for item in notes],
            "read_until": [item.read_until for item in notes],
            "errors": [item.error for item in notes],
            "warnings": [orjson.dumps(list(item.warnings)).decode() for item in notes],
            "now": now,
        },
    )


# Plain parameters of a row would be sent once for each row; ids and keys are sent once for each series instead.
_POST = text("""
    INSERT INTO slo_bucket_5m AS kept (slo_id, group_key, bucket_start, good, total, measured_s, origin)
    SELECT s.slo_id, s.group_key, to_timestamp(b.start), b.good, b.total, b.measured_s, :origin
    FROM unnest(CAST(:ids AS text[]), CAST(:keys AS text[])) WITH ORDINALITY AS s (slo_id, group_key, place)
    JOIN unnest(CAST(:places AS int[]), CAST(:starts AS float8[]), CAST(:goods AS float8[]),
                CAST(:totals AS float8[]), CAST(:seconds AS float8[]))
         AS b (place, start, good, total, measured_s) ON b.place = s.place
    ON CONFLICT (slo_id, group_key, bucket_start) DO UPDATE
    SET good = excluded.good, total = excluded.total, measured_s = excluded.measured_s
    WHERE kept.origin = excluded.origin
""")

_FORGET = text("""
    DELETE FROM slo_bucket_5m
    WHERE slo_id = :slo_id AND bucket_start >= :since AND bucket_start < :until AND origin = :origin
""")

_NOTE = text("""
    INSERT INTO slo_reading AS kept (slo_id, read_until, read_at, failed_at, error, warnings, fingerprint)
    SELECT n.slo_id, n.read_until, CASE WHEN n.error IS NULL THEN :now END,
           CASE WHEN n.error IS NOT NULL THEN :now END, n.error, CAST(n.warnings AS jsonb),
           CASE WHEN n.error IS NULL THEN n.fingerprint ELSE '' END
    FROM unnest(CAST(:ids AS text[]), CAST(:fingerprints AS text[]), CAST(:read_until AS timestamptz[]),
                CAST(:errors AS text[]), CAST(:warnings AS text[]))
         AS n (slo_id, fingerprint, read_until, error, warnings)
    ON CONFLICT (slo_id) DO UPDATE
    SET read_until = coalesce(excluded.read_until, kept.read_until),
        read_at = coalesce(excluded.read_at, kept.read_at),
        failed_at = excluded.failed_at, error = excluded.error,
        warnings = CASE WHEN excluded.error IS NULL THEN excluded.warnings ELSE kept.warnings END,
        fingerprint = CASE WHEN excluded.error IS NULL THEN excluded.fingerprint ELSE kept.fingerprint END
""")
