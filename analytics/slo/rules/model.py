"""What Prometheus rules of an objective are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from analytics.slo.model import BurnPair


@dataclass(frozen=True, slots=True)
class RuleAlert:
    """What is said with the alerts of one severity."""

    is_enabled: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RuleSlo:
    """An objective as its rules need it; in its queries ``{{.window}}`` stands for the length of a window."""

    name: str
    service: str
    objective: Decimal
    """In per cent, above 0 and at most 100."""
    total_query: str | None = None
    error_query: str | None = None
    error_ratio_query: str | None = None
    """Either this or the other two."""
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of all rules."""
    alert_name: str | None = None
    page: RuleAlert = RuleAlert()
    ticket: RuleAlert = RuleAlert()
    spec: str = "prometheus/v1"
    """Name of the format, as the info rule tells it."""
    pairs: tuple[BurnPair, ...] | None = None
    """Pairs of its own; None for those of the period."""
    min_bad: int = 0
    """Fewer bad events in the long window never alert; 0 for no guard."""

    @property
    def id(self) -> str:
        """Return the name that tells it from all others."""
        return f"{self.service}-{self.name}"
