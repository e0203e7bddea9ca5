"""The registry of node kinds: every file of this package, and what other distributions add by entry point."""

import difflib
import functools
import importlib
import pkgutil
from collections.abc import Mapping
from importlib.metadata import entry_points
from types import MappingProxyType

from analytics.core.errors import InvariantError, NotFoundError
from worker.workflow.node_kind import (
    Idempotence,
    McpCaller,
    NodeCall,
    NodeKind,
    Transport,
    WorkerResources,
)

__all__ = [
    "ENTRY_POINTS",
    "Idempotence",
    "McpCaller",
    "NodeCall",
    "NodeKind",
    "Transport",
    "WorkerResources",
    "find_kind",
    "nearest_kind",
    "registry",
]

ENTRY_POINTS = "helmsight.node_kinds"


@functools.cache
def registry() -> Mapping[str, NodeKind]:
    """Return every kind by name; files are imported at the first call.

    Raises:
        InvariantError: If two kinds have one name, or a file or entry point is not a kind.
    """
    found: dict[str, NodeKind] = {}
    for module in pkgutil.iter_modules(__path__):
        _add(found, getattr(importlib.import_module(f"{__name__}.{module.name}"), "KIND", None), module.name)
    for entry in entry_points(group=ENTRY_POINTS):
        _add(found, entry.load(), entry.name)
    return MappingProxyType(found)


def find_kind(name: str) -> NodeKind:
    """Return the kind called *name*.

    Raises:
        NotFoundError: If there is none; the message names the nearest.
    """
    kind = registry().get(name)
    if kind is None:
        raise NotFoundError(f"There is no node kind {name!r}{nearest_kind(name)}.")
    return kind


def nearest_kind(name: str) -> str:
    """Return " (did you mean …?)" with the kind whose name is closest to *name*, or nothing."""
    close = difflib.get_close_matches(name, registry(), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _add(found: dict[str, NodeKind], kind: object, origin: str) -> None:
    if not isinstance(kind, NodeKind):
        raise InvariantError(f"{origin!r} is registered as a node kind but holds none; no kind was loaded.")
    if kind.name in found:
        raise InvariantError(f"Two node kinds are called {kind.name!r}; no kind was loaded.")
    found[kind.name] = kind
