"""Node kinds of a third party, found by entry point: they write down each time they run, then do as they are told."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from analytics.core.errors import DependencyError, InputError
from worker.workflow.kinds import Idempotence, NodeCall, NodeKind, Transport

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "log": {"type": "string"},
        "wait_s": {"type": "number"},
        "value": {},
        "repeat": {"type": "integer"},
        "fail_times": {"type": "integer"},
        "error": {"enum": ["dependency", "input", "bug"]},
        "do": {"enum": ["exit", "grandchild", "not_json", "sigkill"]},
    },
}


def _begin(call: NodeCall) -> None:
    if "log" in call.config:
        with Path(call.config["log"]).open("a", encoding="utf-8") as log:
            log.write(f"{call.node_id} {call.attempt} {os.getpid()} {call.key}\n")
    if call.attempt <= call.config.get("fail_times", 0):
        match call.config.get("error", "dependency"):
            case "dependency":
                raise DependencyError("the other side is away")
            case "input":
                raise InputError("that cannot be used")
            case _:
                raise KeyError("bug")
    if call.config.get("do") == "sigkill":
        os.kill(os.getpid(), signal.SIGKILL)


def _end(call: NodeCall) -> Any:
    if call.config.get("do") == "not_json":
        return object()
    return call.config.get("value") * call.config["repeat"] if "repeat" in call.config else call.config.get("value")


async def wait(call: NodeCall) -> Any:
    _begin(call)
    await asyncio.sleep(call.config.get("wait_s", 0))
    return _end(call)


def wait_in_thread(call: NodeCall) -> Any:
    _begin(call)
    call.stop.wait(call.config.get("wait_s", 0))
    if call.stop.is_set():
        Path(call.config["log"]).with_suffix(".stopped").touch()
    return _end(call)


def wait_in_child(call: NodeCall) -> Any:
    _begin(call)
    if call.config.get("do") == "exit":
        os._exit(7)
    if call.config.get("do") == "grandchild":
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(call.config["log"]).with_suffix(".grandchild").write_text(str(grandchild.pid), encoding="ascii")
    time.sleep(call.config.get("wait_s", 0))
    return _end(call)


WAIT = NodeKind("test.wait", "Waits.", SCHEMA, Transport.INLINE, Idempotence.IDEMPOTENT, wait)
THREAD = NodeKind("test.thread", "Waits in a thread.", SCHEMA, Transport.THREAD, Idempotence.IDEMPOTENT, wait_in_thread)
UNSAFE = NodeKind("test.unsafe", "Must not run twice.", SCHEMA, Transport.INLINE, Idempotence.UNSAFE, wait)
CHILD = NodeKind("test.child", "Waits in a child.", SCHEMA, Transport.PROCESS, Idempotence.IDEMPOTENT, wait_in_child)


def run_code(call: NodeCall) -> Any:
    names = {"call": call}
    exec(call.config["code"], names)  # noqa: S102 - a test says what a node does
    return names.get("output")


CODE = NodeKind(
    "test.code",
    "Runs Python.",
    {"type": "object"},
    Transport.PROCESS,
    Idempotence.IDEMPOTENT,
    run_code,
    literals=("code",),
)
KEPT = NodeKind(
    "test.kept", "Waits, and may be kept.", SCHEMA, Transport.INLINE, Idempotence.IDEMPOTENT, wait, cacheable=True
)
