"""The home: the one directory where a start of Helmsight keeps data, secrets, logs and what runs now.

::

    HELMSIGHT_HOME
    ├─ lock             held by the running supervisor; the kernel frees it when that process dies
    ├─ state.json       what runs now: process ids with start times, ports, states
    ├─ secrets/         cookie secret, metrics token; for the owner only
    ├─ logs/            one file for each part, with older ones beside it
    ├─ run/targets/     where Prometheus finds the workers' metrics
    └─ postgres/ valkey/ prometheus/   data of the servers we run

Reads and writes of these files are here; starting and stopping processes is not.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from analytics.core.errors import ConfigError, ConflictError, DependencyError
from dashboard.processes.groups import ProcessGroup, is_same_process

STATE_VERSION = 1


class PartState(StrEnum):
    """What a part is doing."""

    STARTING = "starting"
    READY = "ready"
    WAITING = "waiting to restart"
    CRASH_LOOP = "crash loop"
    FAILED = "failed"
    STOPPED = "stopped"
    ABSENT = "absent"
    EXTERNAL = "external"


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One part at one moment."""

    name: str
    state: PartState
    since: str
    """When it entered the state; ISO 8601, UTC."""
    group: ProcessGroup | None = None
    """Its process; None when none runs."""
    port: int | None = None
    restarts: int = 0
    detail: str = ""
    """Why, in words, when something is not as it should be."""


@dataclass(frozen=True, slots=True)
class StackState:
    """What one `helmsight up` runs, as ``state.json`` tells it."""

    start_id: str
    pid: int
    created: float
    started_at: str
    guard_pid: int | None = None
    guard_created: float | None = None
    url: str | None = None
    """Where browsers go; None until it is known."""
    ready_at: str | None = None
    ports: dict[str, int] = field(default_factory=dict)
    parts: tuple[PartStatus, ...] = ()

    @property
    def is_running(self) -> bool:
        """Tell whether its supervisor lives."""
        return is_same_process(self.pid, self.created)

    def part(self, name: str) -> PartStatus | None:
        """Return the part called *name*, or None."""
        return next((part for part in self.parts if part.name == name), None)


class AlreadyRunningError(ConflictError):
    """Another supervisor holds this home; ``context`` has ``url`` and ``pid`` when they are known."""

    code = "already_running"


class Home:
    """The layout of one home directory."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.secrets = self.root / "secrets"
        self.logs = self.root / "logs"
        self.targets = self.root / "run" / "targets"
        self.postgres = self.root / "postgres"
        self.valkey = self.root / "valkey"
        self.prometheus = self.root / "prometheus"
        self._state = self.root / "state.json"
        self._lock = self.root / "lock"

    def prepare(self) -> None:
        """Make the directories.

        Raises:
            ConfigError: If they cannot be made or written; nothing was started.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            for folder in (self.logs, self.targets, self.prometheus):
                folder.mkdir(parents=True, exist_ok=True)
            self.secrets.mkdir(mode=0o700, exist_ok=True)
            probe = self.root / ".probe"
            probe.write_bytes(b"x")
            probe.unlink()
        except OSError as error:
            raise ConfigError(
                f"The home {self.root} cannot be used ({error.strerror}); nothing was started."
                " Set HELMSIGHT_HOME to a directory this account may write, on a disk with free space."
            ) from error

    def log(self, part: str) -> Path:
        """Return the log file of *part*."""
        return self.logs / f"{part}.log"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the home for the block.

        Raises:
            AlreadyRunningError: If another supervisor holds it.
        """
        with self._lock.open("a+", encoding="utf-8") as file:
            _take(file, self)
            yield

    def read_state(self) -> StackState | None:
        """Return what the last start wrote, or None when there is nothing that can be read."""
        try:
            values = json.loads(self._state.read_text(encoding="utf-8"))
            return _state_from(values)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DependencyError(
                f"{self._state} cannot be read ({error.strerror}). Run this as the account that runs Helmsight.",
                part="home",
            ) from error
        except (ValueError, KeyError, TypeError):  # another version's, or cut short by a full disk
            return None

    def write_state(self, state: StackState) -> None:
        """Replace ``state.json``; readers see the old or the new one, never a part."""
        partial = self._state.with_name(f"state.json.{os.getpid()}")
        text = json.dumps({"version": STATE_VERSION, **asdict(state)}, indent=1)
        partial.touch(mode=0o600)
        partial.write_text(text, encoding="utf-8")
        partial.replace(self._state)

    def running_state(self) -> StackState | None:
        """Return the state of the supervisor that runs on this home, or None when none does."""
        state = self.read_state()
        return state if state is not None and state.is_running else None


def _take(file: IO[str], home: Home) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        state = home.running_state()
        where = f" at {state.url}" if state is not None and state.url else ""
        who = f" (process {state.pid})" if state is not None else ""
        raise AlreadyRunningError(
            f"Helmsight already runs on {home.root}{where}{who}; nothing was started."
            " Stop it first (Ctrl-C in its terminal, or `kill` its process), or set another HELMSIGHT_HOME.",
            url=state.url if state is not None else None,
            pid=state.pid if state is not None else None,
        ) from error


def _state_from(values: dict[str, Any]) -> StackState | None:
    if values.pop("version", None) != STATE_VERSION:
        return None
    parts = tuple(_part_from(part) for part in values.pop("parts"))
    return StackState(**values, parts=parts)


def _part_from(values: dict[str, Any]) -> PartStatus:
    group = values.pop("group")
    return PartStatus(
        **{**values, "state": PartState(values["state"])},
        group=ProcessGroup.from_dict(group) if group is not None else None,
    )
