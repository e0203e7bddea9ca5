"""Metrics that programs send: each sample with name, value, unit, time and tags, checked one by one."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from analytics.core.errors import InputError
from analytics.core.ids import new_id
from analytics.store.partitions import ensure_partitions
from analytics.store.tables import MetricSample

MOST_SAMPLES = 1_000
"""In one call."""
AHEAD = timedelta(minutes=5)
"""So far the clock of a sender may be ahead of ours."""
OLDEST = timedelta(days=35)

_NAME = r"^[a-z][a-z0-9_.:]{0,99}$"
_OWN = ("system_", "db_", "cache_", "http_", "queue_", "runs_in_", "active_connections", "performance_score")
"""Beginnings of the names that Helmsight measures itself."""
_MOST_TAGS = 10
_NO_NUL = r"^[^\x00]*$"
_Tag = Annotated[str, Field(max_length=100, pattern=_NO_NUL)]


class Sample(BaseModel):
    """One measured value, as a program sends it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(pattern=_NAME, description="Lower case, with digits, dots, colons and underscores.")
    value: FiniteFloat = Field(description="A finite number.")
    unit: str = Field(default="", max_length=20, pattern=_NO_NUL, description="Such as `s`, `ratio`, `bytes`.")
    at: AwareDatetime | None = Field(default=None, description="When it was measured, with a time zone; else now.")
    tags: dict[_Tag, _Tag] = Field(default_factory=dict, max_length=_MOST_TAGS, description="At most 10, all texts.")
    warning: FiniteFloat | None = Field(default=None, description="From where the sender warns.")
    critical: FiniteFloat | None = Field(default=None, description="From where it is critical.")
    id: uuid.UUID | None = Field(default=None, description="Sent again with the same time, it counts once.")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A sample that was not taken."""

    index: int
    """Its place in the call, from 0."""
    path: str
    """The field that is wrong; empty for the whole."""
    reason: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a call."""

    accepted: int
    """Those that were there already among them."""
    rejected: Sequence[Rejected]


def take_samples(session: Session, rows: Sequence[Any], *, now: datetime) -> Taken:
    """Keep the samples that can be used, and say what is wrong with each of the others; see :class:`Sample`.

    Args:
        session: The open transaction.
        rows: What was sent.
        now: The time of samples that say none, and what "too old" and "in the future" are measured from.

    Raises:
        InputError: If there are more than 1,000; nothing was kept.
    """
    if len(rows) > MOST_SAMPLES:
        raise InputError(f"A call takes {MOST_SAMPLES:,} samples and had {len(rows):,}; none of them was kept.")
    taken: list[dict[str, Any]] = []
    rejected: list[Rejected] = []
    for index, row in enumerate(rows):
        checked = check_sample(index, row, now)
        if isinstance(checked, Rejected):
            rejected.append(checked)
        else:
            taken.append(checked)
    if taken:
        ensure_partitions(session.connection(), since=min(row["at"] for row in taken))
        session.execute(insert(MetricSample).on_conflict_do_nothing(), taken)
    return Taken(len(taken), rejected)


def check_sample(index: int, row: Any, now: datetime) -> dict[str, Any] | Rejected:
    """Return the row to store, or why there is none."""
    if not isinstance(row, Mapping):
        return Rejected(index, "", "is not an object with name and value")
    try:
        sample = Sample.model_validate_json(orjson.dumps(row))
    except ValidationError as error:
        first = error.errors()[0]
        return Rejected(index, ".".join(str(part) for part in first["loc"]), first["msg"])
    except orjson.JSONEncodeError as error:
        return Rejected(index, "", f"cannot be written as JSON: {error}")
    at = sample.at or now
    doubts = (
        (sample.name.startswith(_OWN), "name", "is one that Helmsight measures itself; choose another"),
        (at > now + AHEAD, "at", "lies in the future"),
        (at < now - OLDEST, "at", f"is older than the {OLDEST.days} days that samples are kept"),
    )
    for is_wrong, path, reason in doubts:
        if is_wrong:
            return Rejected(index, path, reason)
    return {
        "id": sample.id or new_id(),
        "at": at,
        "name": sample.name,
        "value": sample.value,
        "unit": sample.unit,
        "tags": sample.tags,
        "warning": sample.warning,
        "critical": sample.critical,
    }
