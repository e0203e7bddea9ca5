"""What a source says of an objective over an interval."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from analytics.core.errors import HelmsightError
from analytics.slo.model import BUCKET, WHOLE
from analytics.slo.timeslices import Counts

BUCKET_S = int(BUCKET.total_seconds())

MAX_GROUPS = 100
"""How many groups of an objective are kept: the first ones by name."""

_NOTHING = Counts(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0), np.zeros(0))


@dataclass(frozen=True, slots=True)
class Reading:
    """What a source says of one objective."""

    counts: Mapping[str, Counts] = field(default_factory=dict)
    """By group key, the whole included. Buckets in which nothing was seen are missing."""
    warnings: Sequence[str] = ()
    """Such as that the answer is partial."""
    error: HelmsightError | None = None
    """Why it says nothing."""

    @property
    def whole(self) -> Counts:
        """Return what was counted of the objective as a whole."""
        return self.counts.get(WHOLE, _NOTHING)


def group_key(labels: Mapping[str, str | None], group_by: Sequence[str]) -> str:
    """Return the key of the group that *labels* put an event into; that of the whole when none has a value."""
    values = {name: labels.get(name) or "" for name in sorted(group_by)}
    return json.dumps(values, ensure_ascii=False) if any(values.values()) else WHOLE


def kept_groups(keys: Collection[str]) -> tuple[list[str], list[str]]:
    """Return those of *keys* that are kept, in order, and a warning when that leaves some out."""
    ordered = sorted(key for key in keys if key != WHOLE)
    if len(ordered) <= MAX_GROUPS:
        return ordered, []
    return ordered[:MAX_GROUPS], [
        f"There are {len(ordered)} groups; only the first {MAX_GROUPS} by name are kept. Group by fewer labels."
    ]
