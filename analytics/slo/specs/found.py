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
    """Empty where rules follow from the objectives."""
    kubernetes: dict[str, object] | None = None
    """Metadata, where the rules are to be a Kubernetes object too."""
