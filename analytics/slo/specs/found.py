"""What a reader of a format found in one document."""

from dataclasses import dataclass, field

from analytics.slo.model import Objective
from analytics.slo.rules.model import RuleSlo


@dataclass
class Found:
    """Objectives with where they stand, and what their rules are made of."""

    objectives: list[tuple[str, Objective]] = field(default_factory=list)
    """Each with its path in the document."""
    rules: list[RuleSlo] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """Objectives that have no rules, and why."""
    kubernetes: dict[str, object] | None = None
    """Metadata, where the rules are to be a Kubernetes object too."""
