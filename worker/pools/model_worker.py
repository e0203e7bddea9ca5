"""The model worker: one queue, one job at a time, each carried by a child process that can be killed.

``stop-job`` works, because killing the "horse" kills the child. Nothing is forked: models are loaded in the child.
"""

import signal
import threading

from analytics.core.logging import get_logger
from analytics.core.settings import Settings
from worker.catalog import QueueName
from worker.jobs import nodes
from worker.pools.child_process import ChildProcess
from worker.pools.process import WorkerProcess, worker_process
from worker.pools.rq_worker import OneQueueWorker, work_until_stopped
from worker.workflow.logs import LogWriter


class ModelWorker(OneQueueWorker):
    """Carries nodes of heavy kinds."""

    def __init__(self, process: WorkerProcess, child: ChildProcess) -> None:
        super().__init__(QueueName.MODELS, process.redis, name=process.name, stop=process.stop)
        self._child = child

    def kill_horse(self, sig: signal.Signals = signal.SIGKILL) -> None:
        """Kill the child, because the run was cancelled."""
        del sig
        self._child.kill("stopped")

    def stopping(self) -> None:
        """Give the present node up; the executor has another worker carry it."""
        self._child.kill("worker stopped")


def model_worker(settings: Settings) -> None:
    """Carry nodes until SIGTERM."""
    with worker_process("model", settings, slots=1) as process:
        child, logs, ended = ChildProcess(settings), LogWriter(process.engine), threading.Event()
        writing = threading.Thread(target=logs.write_until, args=(ended,), name="logs")
        writing.start()
        carrier = nodes.Carrier(process.engine, child.ask, executor=process.name, stop=process.stop, logs=logs)
        process.slots_used = lambda: carrier.busy
        nodes.bind(carrier)
        try:
            child.warm_up()
            work_until_stopped(process, lambda: ModelWorker(process, child))
        finally:
            child.close()
            ended.set()
            writing.join()
            get_logger(__name__).info("child ended", worker=process.name)
