"""Process groups that Helmsight started: whether they live, and how they are stopped in order.

Used by the supervisor, by the guard that outlives it, and by the next start that finds leftovers. Only processes
that can be proven ours are signalled: by process id and start time, by their group, or by the mark that every
child of one start carries in its environment.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import psutil

MARK_VARIABLE = "_HELMSIGHT_START"
"""Environment variable of every child, whose value is the id of one `helmsight up`."""

_CLOCK_SLACK_S = 2.0
"""Start times of processes are computed from the boot time, which moves when the clock is set."""
_POLL_S = 0.05
_KILL_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """A process that leads a session of its own, and everything it started there."""

    name: str
    pid: int
    created: float
    """Start time of the leader, seconds since the epoch."""
    stop_signal: int = signal.SIGTERM
    stop_timeout_s: float = 15.0
    stage: int = 0
    """Higher stages were started later and are stopped first."""

    def as_dict(self) -> dict[str, Any]:
        """Return the group as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ProcessGroup":
        """Return the group that :meth:`as_dict` described."""
        return cls(**{name: values[name] for name in cls.__dataclass_fields__})


def created_at(pid: int) -> float | None:
    """Return when process *pid* started, in seconds since the epoch, or None when it is gone or a zombie."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


def is_same_process(pid: int, created: float) -> bool:
    """Tell whether *pid* is still the process that started at *created*."""
    found = created_at(pid)
    return found is not None and abs(found - created) < _CLOCK_SLACK_S


def members(group: ProcessGroup) -> list[psutil.Process]:
    """Return the living processes of *group*; none when its id now belongs to somebody else."""
    leader = created_at(group.pid)
    if leader is not None and abs(leader - group.created) >= _CLOCK_SLACK_S:
        return []
    return [process for process in _living() if _group_of(process.pid) == group.pid]


def marked(mark: str) -> list[psutil.Process]:
    """Return the living processes that carry *mark*, except the one that asks."""
    found = []
    for process in _living():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK_VARIABLE) == mark:
                found.append(process)
    return found


def stop_groups(
    groups: Iterable[ProcessGroup],
    *,
    hurry: Callable[[], bool] = lambda: False,
    said: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Stop *groups*, the stages that started last first, and all they started; return the names of those killed.

    Each leader gets its own stop signal and its own time; what is left after that is killed with SIGKILL. *hurry*
    is asked all the time: once it says True nobody is waited for any longer.
    """
    killed: list[str] = []
    by_stage = sorted(groups, key=lambda group: -group.stage)
    for _, stage in groupby(by_stage, key=lambda group: group.stage):
        killed += _stop_stage(list(stage), hurry, said)
    return killed


def kill_marked(mark: str) -> int:
    """Kill whatever still carries *mark*; return how many processes that were."""
    left = marked(mark)
    _kill(left)
    return len(left)


def _stop_stage(groups: Sequence[ProcessGroup], hurry: Callable[[], bool], said: Callable[[str], None]) -> list[str]:
    started = time.monotonic()
    families = {group: _family(group) for group in groups}
    for group in groups:
        _signal(group)
    waiting = list(groups)
    while waiting and not hurry():
        waiting = [
            group
            for group in waiting
            if is_same_process(group.pid, group.created) and time.monotonic() - started < group.stop_timeout_s
        ]
        if waiting:
            time.sleep(_POLL_S)
    killed = []
    for group in groups:
        if is_same_process(group.pid, group.created):
            killed.append(group.name)
            said(f"{group.name} did not stop in {group.stop_timeout_s:g} s and was killed")
        _kill([*families[group], *members(group)])
    return killed


def _signal(group: ProcessGroup) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if is_same_process(group.pid, group.created):
            os.kill(group.pid, group.stop_signal)
        else:
            for process in members(group):
                os.kill(process.pid, signal.SIGTERM)


def _family(group: ProcessGroup) -> list[psutil.Process]:
    """Return all descendants of the leader: some lead groups of their own."""
    if not is_same_process(group.pid, group.created):
        return []
    try:
        return psutil.Process(group.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()  # checks the start time, so a reused id is not hit
    deadline = time.monotonic() + _KILL_WAIT_S
    left = list(processes)
    while left and time.monotonic() < deadline:
        left = [process for process in left if _lives(process)]
        if left:
            time.sleep(_POLL_S)


def _living() -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _lives(process)]


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None
