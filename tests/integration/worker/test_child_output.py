"""What nodes of a model worker print and save, with a real child process; nothing here needs PostgreSQL."""

import os
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from analytics.core.settings import Settings, StoreSettings, WorkerSettings
from worker.pools.child_process import ChildProcess
from worker.pools.messages import ChildAnswer, ChildRequest
from worker.workflow.address import NodeAddress
from worker.workflow.logs import MAX_BYTES, MAX_LINES, LogLine, NodeLog

pytestmark = pytest.mark.integration

HERE = NodeAddress(uuid.UUID(int=1), datetime(2026, 1, 1, tzinfo=UTC), "n")
FOLDER = Path(__file__).parent
MODULE = "printing_functions"


@dataclass
class Told:
    answer: ChildAnswer
    lines: list[LogLine]
    log: NodeLog
    took_s: float

    @property
    def texts(self) -> list[str]:
        return [line.message for line in self.lines if not line.replaces]


class Asker:
    def __init__(self, child: ChildProcess) -> None:
        self.child = child
        self.lines: list[LogLine] = []

    def put(self, line: LogLine) -> bool:
        self.lines.append(line)
        return True

    def __call__(self, function: str, *, timeout_s: float = 60) -> Told:
        self.lines = []
        log = NodeLog(self.put, HERE, 1)
        request = ChildRequest(
            "python", HERE.run_id, HERE.run_created_at, "n", 1, {"call": f"{MODULE}:{function}"},
            timedelta(seconds=timeout_s), None,
        )  # fmt: skip
        began = time.perf_counter()
        answer = self.child.ask(request, log)
        log.close()
        return Told(answer, self.lines, log, time.perf_counter() - began)


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    names = re.findall(r"^def (\w+)", (FOLDER / f"{MODULE}.py").read_text(encoding="utf-8"), re.MULTILINE)
    settings = Settings(
        home=tmp_path_factory.mktemp("home"),
        store=StoreSettings(dsn=SecretStr("postgresql://nobody@127.0.0.1:1/none")),
        worker=WorkerSettings(python_allowed=tuple(f"{MODULE}:{name}" for name in names)),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])]))
        child = ChildProcess(settings)
        child.warm_up()
        yield Asker(child)
        child.close()


def test_what_a_node_prints_is_in_its_log_with_what_it_logs(asker):
    told = asker("speak")
    assert {(line.level, line.message) for line in told.lines} == {
        ("info", "out"), ("warning", "err"), ("error", "said"), ("info", "after")
    }  # fmt: skip
    assert told.texts.index("out") < told.texts.index("said")


def test_libraries_c_and_started_programs_are_heard(asker):
    told = asker("library")
    assert told.answer.failure is None
    assert {"lib: %d", "lib: of a library", "of C", "of a program"} <= set(told.texts)


def test_a_node_that_prints_a_gigabyte_is_capped_and_neither_slow_nor_held(asker):
    asker("prints")
    before = psutil.Process().memory_info().rss
    told = asker("gigabyte")
    assert told.answer.failure is None
    assert psutil.Process().memory_info().rss - before < 16 * 2**20
    assert told.took_s < 30
    assert told.log.lines <= MAX_LINES
    assert sum(len(text) for text in told.texts) <= MAX_BYTES
    marker = told.lines[-1]
    assert marker.replaces
    cut = 1024 * 8192 - told.log.lines
    assert marker.message.startswith(f"{cut:,} lines with 1,02")


def test_many_small_prints_are_not_many_times_slower_for_being_heard(asker):
    told = asker("prints")
    assert told.log.lines == MAX_LINES
    assert told.lines[-1].message.startswith(f"{300_000 - MAX_LINES:,} lines")
    assert told.took_s < 20


def test_a_line_of_a_hundred_megabytes_is_cut_and_what_follows_is_kept(asker):
    told = asker("one_line")
    assert told.texts[0].endswith("more bytes)")
    assert told.texts[1:] == ["after"]


def test_binary_output_is_text_that_can_be_kept(asker):
    told = asker("binary")
    assert told.answer.failure is None
    assert all("\0" not in text for text in told.texts)


def test_a_node_that_closes_its_streams_harms_no_other(asker):
    assert asker("closes").answer.failure is None
    assert asker("speak").texts != []


def test_lines_come_while_the_node_is_under_way(asker):
    began = time.time()
    told = asker("slowly")
    first, second = told.lines
    assert first.at_s - began < 1.2 < second.at_s - first.at_s


def test_an_error_nobody_expected_leaves_its_trace_in_the_log(asker):
    told = asker("breaks")
    assert told.answer.failure.code == "unexpected"
    assert told.texts[0] == "here"
    assert "LookupError: nobody expected this" in told.texts[1]
    assert told.lines[1].level == "error"


def test_logged_lines_have_the_same_limit(asker):
    told = asker("logs")
    assert told.texts == [str(number) for number in range(MAX_LINES)]
    assert told.lines[-1].message.startswith("10,000 lines")


def test_processor_time_counts_the_programs_a_node_waited_for(asker):
    assert 0.4 < asker("works").answer.cpu_s < 1.5
    assert asker("speak").answer.cpu_s < 0.1


def test_what_a_node_saves_comes_with_its_answer_unless_it_failed(asker):
    answer = asker("saves").answer
    (row,) = answer.artifacts
    assert row.content == b"abc"
    assert str(row.id) in answer.output
    assert asker("saves_and_fails").answer.artifacts == ()


def test_a_result_that_cannot_be_kept_says_why(asker):
    assert "is not JSON" in asker("not_json").answer.failure.message
    assert "17.0 MiB, more than 16 MiB" in asker("too_large").answer.failure.message
    assert asker("not_a_number").answer.output == "[null,null,1.5]"


def test_an_idle_child_costs_no_processor_time(asker):
    asker("speak")
    process = psutil.Process(asker.child.pid)
    before = sum(process.cpu_times()[:2])
    time.sleep(1)
    assert sum(process.cpu_times()[:2]) - before < 0.05


def test_the_last_words_of_a_node_that_crashes_or_hangs_are_kept(asker):
    crashed = asker("crashes")
    assert crashed.answer.failure.code == "died"
    assert "the last words" in crashed.texts
    assert any("Segmentation fault" in text for text in crashed.texts)
    hung = asker("hangs", timeout_s=1)
    assert hung.answer.failure.code == "timeout"
    assert hung.texts == ["begun"]
    assert asker("speak").answer.failure is None
