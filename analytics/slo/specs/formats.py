"""Specifications of any format, read from text: which format it is, what it defines and what is wrong with it."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from analytics.slo.model import Objective
from analytics.slo.rules.model import RuleDocument
from analytics.slo.specs.problems import Level, Problem


class Format(enum.StrEnum):
    """The language of a specification."""

    NATIVE = "native"
    SLOTH = "sloth"
    SLOTH_KUBERNETES = "sloth_kubernetes"
    OPENSLO = "openslo"
    OPENSLO_ALPHA = "openslo_alpha"
    PYRRA = "pyrra"
    SLO_GENERATOR = "slo_generator"


@dataclass(frozen=True, slots=True)
class Parsed:
    """One document of a text, or documents that belong together, as those of OpenSLO do."""

    source: str
    """Name of the text and, where it holds several, number of the document: ``checkout.yaml, document 2``."""
    format: Format | None
    """None when it could not be told."""
    objectives: tuple[Objective, ...]
    """Those without errors; empty when no part of the document can be used."""
    problems: tuple[Problem, ...]
    """Errors and warnings."""
    rules: RuleDocument = field(default_factory=RuleDocument)
    """What :func:`analytics.slo.rules.rules_for` makes Prometheus rules of."""

    @property
    def is_valid(self) -> bool:
        """Return whether it has no errors."""
        return all(item.level is not Level.ERROR for item in self.problems)


def read_text(text: str, *, strict: bool = False, name: str = "text") -> list[Parsed]:
    """Return what *text* (YAML or JSON, one document or several) specifies, in order; never raises for bad content.

    Args:
        text: In any format; documents may be of different ones.
        strict: Whether what breaks the rules of a format but can be understood is an error, not a warning.
        name: What the text is called in messages.
    """
    raise NotImplementedError


def read_texts(texts: Mapping[str, str], *, strict: bool = False) -> list[Parsed]:
    """Return what several texts by name specify together: ids must be unique and references may cross texts."""
    raise NotImplementedError


def export_openslo(objectives: Sequence[Objective]) -> str:
    """Return *objectives* as documents of OpenSLO v1; what it has no words for stands in annotations of ours."""
    raise NotImplementedError


def export_native(objectives: Sequence[Objective]) -> str:
    """Return *objectives* as YAML documents of the native form."""
    raise NotImplementedError
