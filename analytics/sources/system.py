"""What the host itself measures: processor, memory, disk, network, processes."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import insert
from sqlalchemy.orm import Session

from analytics.core.clock import require_aware
from analytics.core.ids import new_id
from analytics.core.telemetry import (
    SYSTEM_CPU,
    SYSTEM_DISK,
    SYSTEM_MEMORY,
    SYSTEM_NETWORK,
    SYSTEM_PROCESSES,
    SYSTEM_UPTIME,
)
from analytics.store.tables import MetricSample

_FIRST_LOOK_S = 0.1
_primed = threading.Event()


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value with its unit."""

    name: str
    value: float
    unit: str
    """``ratio`` (0 to 1), ``bytes``, ``packets``, ``processes``, ``s``."""
    tags: Mapping[str, str] = field(default_factory=dict)


def sample_system(disk_path: Path) -> list[Measurement]:
    """Measure the host now, and show the same on ``/metrics`` of this process.

    The share of processor time is that since the last call in this process; the first call looks for 0.1 s.
    What the host does not tell (network counters in some containers) is left out.

    Args:
        disk_path: A directory on the disk to measure, usually the home.
    """
    measurements = [*_processor(), *_memory(), *_disk(disk_path), *_network(), *_host()]
    _show(measurements)
    return measurements


def record(session: Session, measurements: Sequence[Measurement], at: datetime) -> None:
    """Keep *measurements* as taken at *at*."""
    if not measurements:
        return
    moment = require_aware(at)
    session.execute(
        insert(MetricSample),
        [
            {
                "id": new_id(),
                "at": moment,
                "name": item.name,
                "value": item.value,
                "unit": item.unit,
                "tags": dict(item.tags),
            }
            for item in measurements
        ],
    )


def _processor() -> Iterator[Measurement]:
    percent = psutil.cpu_percent(interval=None if _primed.is_set() else _FIRST_LOOK_S)
    _primed.set()
    yield Measurement("system_cpu_ratio", percent / 100, "ratio")


def _memory() -> Iterator[Measurement]:
    memory = psutil.virtual_memory()
    yield Measurement("system_memory_ratio", memory.percent / 100, "ratio")
    yield Measurement("system_memory_bytes", memory.total - memory.available, "bytes", {"state": "used"})
    yield Measurement("system_memory_bytes", memory.available, "bytes", {"state": "available"})


def _disk(path: Path) -> Iterator[Measurement]:
    while not path.exists():
        path = path.parent
    disk = psutil.disk_usage(str(path))
    yield Measurement("system_disk_ratio", disk.percent / 100, "ratio")
    yield Measurement("system_disk_bytes", disk.used, "bytes", {"state": "used"})
    yield Measurement("system_disk_bytes", disk.free, "bytes", {"state": "free"})


def _network() -> Iterator[Measurement]:
    counters: Any = psutil.net_io_counters()  # None where the host shows no interface, whatever its stubs say
    if counters is None:
        return
    yield Measurement("system_network_bytes_total", counters.bytes_recv, "bytes", {"direction": "in"})
    yield Measurement("system_network_bytes_total", counters.bytes_sent, "bytes", {"direction": "out"})
    yield Measurement("system_network_packets_total", counters.packets_recv, "packets", {"direction": "in"})
    yield Measurement("system_network_packets_total", counters.packets_sent, "packets", {"direction": "out"})


def _host() -> Iterator[Measurement]:
    yield Measurement("system_processes", len(psutil.pids()), "processes")
    yield Measurement("system_uptime_s", time.time() - psutil.boot_time(), "s")


def _show(measurements: Sequence[Measurement]) -> None:
    plain = {
        "system_cpu_ratio": SYSTEM_CPU,
        "system_processes": SYSTEM_PROCESSES,
        "system_uptime_s": SYSTEM_UPTIME,
    }
    labelled = {
        "system_memory_bytes": (SYSTEM_MEMORY, "state"),
        "system_disk_bytes": (SYSTEM_DISK, "state"),
        "system_network_bytes_total": (SYSTEM_NETWORK, "direction"),
    }
    for item in measurements:
        if item.name in plain:
            plain[item.name].set(item.value)
        elif item.name in labelled:
            gauge, label = labelled[item.name]
            gauge.labels(item.tags[label]).set(item.value)
