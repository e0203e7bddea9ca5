"""Pairs of burn-rate windows for a period, as Sloth catalogues them, and files that define others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from analytics.core.errors import InputError
from analytics.core.source import read_documents
from analytics.slo.model import BurnPair, Severity
from analytics.slo.specs.fields import Fields, fields
from analytics.slo.specs.problems import Problems, SpecError

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class AlertWindow:
    """A long and a short window, and how much of the budget the long one spends at the threshold."""

    budget_percent: float
    short: timedelta
    long: timedelta


@dataclass(frozen=True, slots=True)
class AlertWindows:
    """The pairs of a period: two that page, two for tickets, each time the quick one first."""

    period: timedelta
    page: tuple[AlertWindow, AlertWindow]
    ticket: tuple[AlertWindow, AlertWindow]

    @property
    def pairs(self) -> Sequence[BurnPair]:
        """Return them with their factors, computed in the order of Sloth, so that even the last digit is the same."""
        found: list[BurnPair] = []
        for severity, windows in ((Severity.PAGE, self.page), (Severity.TICKET, self.ticket)):
            for window in windows:
                hours = window.budget_percent * (self.period / _HOUR) / 100
                found.append(
                    BurnPair(severity, window.long, window.short, hours / (window.long / _HOUR), len(found) + 1)
                )
        return found


def _workbook(period: timedelta) -> AlertWindows:
    return AlertWindows(
        period,
        page=(AlertWindow(2, 5 * _MINUTE, _HOUR), AlertWindow(5, 30 * _MINUTE, 6 * _HOUR)),
        ticket=(AlertWindow(10, 2 * _HOUR, _DAY), AlertWindow(10, 6 * _HOUR, 3 * _DAY)),
    )


WEEK = AlertWindows(
    timedelta(days=7),
    page=(AlertWindow(8, 5 * _MINUTE, _HOUR), AlertWindow(12.5, 30 * _MINUTE, 6 * _HOUR)),
    ticket=(AlertWindow(20, 2 * _HOUR, _DAY), AlertWindow(42, 6 * _HOUR, 3 * _DAY)),
)

CATALOGUE: Mapping[timedelta, AlertWindows] = {
    windows.period: windows for windows in (_workbook(30 * _DAY), _workbook(28 * _DAY), WEEK)
}
"""The pairs there are without files."""


def load_windows(folder: Path) -> Mapping[timedelta, AlertWindows]:
    """Return the pairs that the YAML files in *folder*, and in folders within it, define, by period.

    Raises:
        InputError: If there is no such folder, or no file in it.
        SpecError: If a file is wrong, or two are for the same period.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}; no windows were read.")
    files = sorted(path for path in folder.rglob("*") if path.suffix in {".yaml", ".yml"} and path.is_file())
    if not files:
        raise InputError(f"The folder {folder} has no files of windows (.yaml or .yml).")
    problems, found = Problems(), dict[timedelta, AlertWindows]()
    for path in files:
        windows = _read_file(path, problems)
        if windows and windows.period in found:
            problems.error(path.name, f"windows for {windows.period.days} days are defined already by another file")
        elif windows:
            found[windows.period] = windows
    if problems.errors:
        raise SpecError.of(problems.found)
    return found


def _read_file(path: Path, problems: Problems) -> AlertWindows | None:
    for source in read_documents(path.read_text(encoding="utf-8", errors="replace")):
        for fault in source.problems:
            problems.error(path.name, fault.reason)
        root = None if source.problems else fields(source.value, path.name, problems)
        return _read_windows(root) if root else None
    problems.error(path.name, "the file is empty")
    return None


def _read_windows(root: Fields) -> AlertWindows | None:
    spec: Fields | None = root
    if root.text("version") == "alertWindows/v1":
        root.ignore("version")
    elif (root.text("apiVersion"), root.text("kind")) == ("sloth.slok.dev/v1", "AlertWindows"):
        spec = root.mapping("spec", required=True)
    else:
        root.error("apiVersion", "these are no windows", "apiVersion: sloth.slok.dev/v1, kind: AlertWindows")
        return None
    if spec is None:
        return None
    period = spec.duration("sloPeriod", required=True)
    page, ticket = _read_severity(spec, "page"), _read_severity(spec, "ticket")
    spec.close()
    return AlertWindows(period, page, ticket) if period and page and ticket else None


def _read_severity(spec: Fields, name: str) -> tuple[AlertWindow, AlertWindow] | None:
    part = spec.mapping(name, required=True)
    if part is None:
        return None
    quick, slow = _read_window(part, "quick"), _read_window(part, "slow")
    part.close()
    return (quick, slow) if quick and slow else None


def _read_window(part: Fields, name: str) -> AlertWindow | None:
    body = part.mapping(name, required=True)
    if body is None:
        return None
    share = body.number("errorBudgetPercent", required=True)
    if share is not None and share <= 0:
        body.error("errorBudgetPercent", f"{share} is not above 0")
    short, long = body.duration("shortWindow", required=True), body.duration("longWindow", required=True)
    body.close()
    return AlertWindow(float(share), short, long) if share and share > 0 and short and long else None
