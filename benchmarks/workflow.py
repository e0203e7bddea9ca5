"""The workflow engine in figures, beside DBOS, Celery, RQ and Prefect on the same PostgreSQL and Valkey.

Run with ``python -m benchmarks.workflow [--quick]``; the last line is one JSON object. Runs are queued through the
door and carried by real worker processes with the product's own settings; PostgreSQL flushes each commit to disk.
What is named ``nodes_per_s`` has logs, retries and the cache on. ``docs/benchmarks.md`` says what each arm does.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import aims, run_history, single, throughput
from benchmarks.dags import SIZES
from benchmarks.stand import Stand


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller sets, no Prefect")
    parser.add_argument("--only", nargs="*", help="parts to measure; all when absent")
    given = parser.parse_args()
    began = time.monotonic()
    result: dict[str, Any] = {}
    temporary = tempfile.TemporaryDirectory(prefix="helmsight-workflow-", ignore_cleanup_errors=True)
    with temporary as name, Stand(Path(name)) as stand:
        workers = [stand.start_worker("run"), stand.start_worker("scheduler")]
        stand.wait_ready(*workers)
        for part, work in parts(stand, workers, quick=given.quick).items():
            if not given.only or part in given.only:
                result |= timed(part, work)
    result |= {"quick": given.quick, "cpus": os.cpu_count(), "load_1m": round(os.getloadavg()[0], 2)}
    result["missed"] = aims.missed(result, aims.WORKFLOW)
    result["seconds"] = round(time.monotonic() - began)
    print(aims.table(result, aims.WORKFLOW), file=sys.stderr)
    print(json.dumps(result))


def parts(stand: Stand, workers: list[Any], *, quick: bool) -> dict[str, Callable[[], dict[str, Any]]]:
    """Return what is measured, by name, in order."""
    sizes = throughput.QUICK if quick else throughput.Sizes()
    return {
        "start": lambda: single.start_ms(stand, 30 if quick else 100),
        "throughput": lambda: throughput.measure(stand, workers, sizes, with_prefect=not quick),
        "share": lambda: single.execution_share(stand, 1 if quick else 3),
        "montage": lambda: single.montage_run(stand, 5),
        "makespan": lambda: single.makespan(
            stand, bound_s=5.0 if quick else 10.0, at_once=9 if quick else 6, sizes=SIZES[:3] if quick else SIZES
        ),
        "plan": lambda: single.plan_10k_s(3 if quick else 5),
        "rss": lambda: single.rss_mb(stand, workers[0]),
        "history": lambda: run_history.measure(stand.postgres, quick=quick),
    }


def timed(part: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Measure one part and say on standard error what it gave and how long it took."""
    began = time.monotonic()
    found = work()
    print(f"{part}: {time.monotonic() - began:.1f} s {json.dumps(found)}", file=sys.stderr)
    return found


if __name__ == "__main__":
    main()
