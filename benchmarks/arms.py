"""The peers as processes: their own virtual environment, a question and an answer a line, still while others measure.

The environment is made by pip from ``benchmarks/peers/requirements.txt`` into the user's cache and kept there under
the hash of that file, so that the next benchmark finds it.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import platformdirs
import psutil

PEERS = Path(__file__).parent / "peers"
REQUIREMENTS = PEERS / "requirements.txt"


class Arm:
    """A peer under test; it stands still except while it is asked."""

    def __init__(self, name: str, script: str, *, python: Path, environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self._log = log
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                [str(python), str(PEERS / script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
                start_new_session=True,
                cwd=PEERS,
                env={**os.environ, **environment},
            )
        self._answer()
        self.freeze()

    def ask(self, **question: Any) -> dict[str, Any]:
        """Let it work on *question* and return its answer."""
        self.thaw()
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            return self._answer()
        finally:
            self.freeze()

    def freeze(self) -> None:
        """Stop it and all it started, so that it takes nothing from the others."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.killpg(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        """End it and all it started."""
        family = [psutil.Process(self._process.pid), *psutil.Process(self._process.pid).children(recursive=True)]
        self.thaw()
        self._process.terminate()
        _, left = psutil.wait_procs(family, timeout=5)
        for process in left:
            process.kill()
        self._process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            tail = self._log.read_text(encoding="utf-8", errors="replace")[-3000:]
            raise RuntimeError(f"{self.name} ended; the end of its log:\n{tail}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def arm(name: str, script: str, *, python: Path, environment: Mapping[str, str], log: Path) -> Iterator[Arm]:
    """Start a peer for the block."""
    peer = Arm(name, script, python=python, environment=environment, log=log)
    try:
        yield peer
    finally:
        peer.close()


def peers_python(requirements: Path = REQUIREMENTS) -> Path:
    """Return the interpreter of an environment of peers, made by pip when it is not there yet."""
    stamp = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = Path(platformdirs.user_cache_dir("helmsight")) / f"peers-{stamp}"
    python = folder / "bin" / "python"
    done = folder / "complete"
    if not done.exists():
        print(f"making the peers' environment in {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements)], check=True)
        done.touch()
    return python
