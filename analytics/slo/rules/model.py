"""What Prometheus rules of an objective are made of, and how Prometheus and Sloth write numbers and lengths of time."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from analytics.slo.model import AlertPolicy, AlertRouting, BurnPair

WINDOW = "{{.window}}"
"""Stands in queries for the length of a window, as in ``5m``."""
SECONDS = "{{.seconds}}"
"""Stands in queries for the same length in seconds."""

PLACEHOLDER = re.compile(r"\{\{ *\.window *\}\}|\{window\}|(?<=\[)window(?=\])")
"""The spellings of :data:`WINDOW` that specifications have."""
_UNITS = (
    ("y", timedelta(days=365), True),
    ("w", timedelta(weeks=1), True),
    ("d", timedelta(days=1), False),
    ("h", timedelta(hours=1), False),
    ("m", timedelta(minutes=1), False),
    ("s", timedelta(seconds=1), False),
    ("ms", timedelta(milliseconds=1), False),
)
"""Units of time, and whether Prometheus uses one only for whole multiples of it."""


@dataclass(frozen=True, slots=True)
class RuleSlo:
    """An objective as its rules need it; its queries hold :data:`WINDOW`."""

    name: str
    service: str
    objective: float
    """In per cent, above 0 and at most 100."""
    ratio: str
    """Query of the share of bad events."""
    alert_name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of all recording rules."""
    page: AlertRouting = field(default_factory=AlertRouting)
    ticket: AlertRouting = field(default_factory=AlertRouting)
    spec: str = "prometheus/v1"
    """Name of the format, as the info rule tells it."""
    mode: str = "cli-gen-prom"
    """What made the rules, as the info rule tells it."""
    period: timedelta | None = None
    """None for the one that is asked for."""
    pairs: Sequence[BurnPair] | None = None
    """None for those of the period."""
    bad: str | None = None
    """Query of the number of bad events; None where there is no guard."""
    total: str | None = None
    """Query of the number of events; with it and *bad* the share over the period weighs each event the same."""
    min_bad: int = 0
    """Fewer bad events in the long window never alert; 0 for no guard."""
    target: Decimal | None = None
    """The share of good events, exactly; None to divide *objective* as Sloth does, with what gets lost in it."""

    @property
    def target_ratio(self) -> float:
        """Return the share of good events."""
        return self.objective / 100 if self.target is None else float(self.target)

    @property
    def budget_ratio(self) -> float:
        """Return the share of events that may be bad."""
        return (100 - self.objective) / 100 if self.target is None else float(1 - self.target)

    @property
    def id(self) -> str:
        """Return the name that tells it from all others."""
        return f"{self.service}-{self.name}"


@dataclass(frozen=True, slots=True)
class RuleDocument:
    """Objectives whose rules belong into one document."""

    slos: Sequence[RuleSlo] = ()
    kubernetes: Mapping[str, object] | None = None
    """Metadata of the Kubernetes object they came in; their rules are then a ``PrometheusRule`` object."""
    joins: bool = False
    """Whether it goes into one document with those before and after it that say so too: Prometheus reads only one."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Ids of objectives that Prometheus cannot compute, and why."""


def rule_alert(policy: AlertPolicy, routing: AlertRouting) -> AlertRouting:
    """Return what *policy* says with the alerts of the severity that *routing* is for."""
    labels, annotations = {**policy.labels, **routing.labels}, {**policy.annotations, **routing.annotations}
    return AlertRouting(routing.is_enabled, labels, annotations)


def prom_duration(length: timedelta) -> str:
    """Return *length* as Prometheus writes it: ``5m``, ``1h30m``, ``30d``, but ``4w`` for 28 days."""
    rest, parts = length, []
    for unit, size, only_whole in _UNITS:
        if not rest or (only_whole and rest % size):
            continue
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def go_number(value: float) -> str:
    """Return the shortest text that reads back as *value*, as Go writes it: ``30``, ``0.95``, ``1e-05``."""
    return repr(value).removesuffix(".0")


def filled(query: str, window: timedelta) -> str:
    """Return *query* with the length of *window* put in."""
    seconds = go_number(window.total_seconds())
    return PLACEHOLDER.sub(prom_duration(window), query).replace(SECONDS, seconds)
