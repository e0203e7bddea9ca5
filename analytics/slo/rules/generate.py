"""Prometheus rules of objectives, with the names and labels that Sloth gives them."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from analytics.slo.rules.windows import AlertWindows
from analytics.slo.specs.formats import Parsed


def rules_for(
    specs: Sequence[Parsed],
    *,
    period: timedelta = timedelta(days=30),
    windows: AlertWindows | None = None,
    extra_labels: Mapping[str, str] | None = None,
    alerts: bool = True,
    recordings: bool = True,
) -> str:
    """Return recording and alert rules as YAML, a document for each of *specs* that has any.

    Args:
        specs: Without errors.
        period: Of the objectives of other formats; native ones have their own.
        windows: Pairs of windows for the period; None for the usual ones of 30 and 28 days.
        extra_labels: Labels of all recording rules besides their own.
        alerts: Whether to write alert rules.
        recordings: Whether to write recording rules.

    Raises:
        SpecError: If one of *specs* has errors.
        InputError: If there are no pairs of windows for *period*, or nothing to write.
    """
    raise NotImplementedError


def load_windows(folder: Path) -> Mapping[timedelta, AlertWindows]:
    """Return the pairs of windows that the YAML files in *folder* define, by period.

    Raises:
        SpecError: If a file is wrong, or two are for the same period.
    """
    raise NotImplementedError
