import asyncio
import importlib
import inspect
import os
import signal
import threading
import time
import uuid
from datetime import timedelta

import pytest
from pydantic import SecretStr
from runs_kit import (
    LEASE,
    detail,
    ended,
    executions,
    hosting,
    model_worker,
    node,
    statuses,
    store,
    token_worker,
    until,
)
from sqlalchemy import text

from analytics.core.clock import Interval, utc_now
from analytics.core.errors import DependencyError, InputError, NotFoundError
from analytics.core.settings import RedisSettings, Settings, StoreSettings, WorkerSettings
from analytics.live.client import connect
from analytics.store.engine import make_async_engine, make_engine, session_scope
from analytics.store.migrate import migrate
from analytics.store.queries.audit import list_audit
from analytics.store.queries.documents import document_detail
from analytics.store.queries.runs import count_runs_by_status, list_runs, list_workers, queue_state
from analytics.store.queries.workflows import get_workflow, list_workflows
from dashboard.processes.servers import EmbeddedPostgres, EmbeddedValkey, free_port, launch, running, wait_until_ready
from worker.catalog import JOBS, WAKE, QueueName
from worker.enqueue import Door, enqueue
from worker.ocr.sample import sample_image_path
from worker.pools.process import WorkerProcess
from worker.pools.scheduler import Leadership, ticks
from worker.queues import queue_depths
from worker.workflow.checkpoints import Checkpointer
from worker.workflow.definition import ensure_builtin_workflows
from worker.workflow.reconcile import reconcile
from worker.workflow.records import Change, RunLostError

pytestmark = pytest.mark.integration

GONE = "redis://127.0.0.1:1/0"


def depth(quick, name: str = "runs"):
    with connect(quick) as client:
        return next(item for item in queue_depths(client) if item.name == name)


def test_a_run_is_stored_audited_and_has_a_place_in_the_queue(engine, quick, door):
    store(engine, "w", node("a", estimated_duration_s=2), node("b", "a", estimated_duration_s=3))
    first = door.queue_run(workflow="w", params={}, requested_by="ada@example.com")
    second = door.queue_run(workflow="w", params={}, requested_by="ada@example.com", priority=5)
    third = door.queue_run(workflow="w", params={}, requested_by=None)
    assert (first.position, second.position, third.position) == (1, 1, 3)
    assert (first.status, first.estimated_duration_s, first.woken) == ("queued", 5.0, True)
    assert detail(engine, first.run_id).queue_position == 2
    waiting = depth(quick)
    assert (waiting.waiting, waiting.started, waiting.failed) == (3, 0, 0)
    assert 0 <= waiting.oldest_age_s < 60
    with session_scope(engine) as session:
        entries = list_audit(session, action="run.queued")
        assert {entry.object_id for entry in entries} == {str(item.run_id) for item in (first, second, third)}
        assert {entry.actor for entry in entries} == {"ada@example.com", "system"}
        state = queue_state(session)
    assert (state.queued, state.running) == (3, 0)
    assert state.oldest_queued_s >= 0


def test_one_key_makes_one_run_also_when_two_ask_at_once(engine, door):
    store(engine, "once", node("a"))
    found: list[uuid.UUID] = []

    def ask() -> None:
        asked = door.queue_run(workflow="once", params={}, requested_by=None, idempotency_key="k")
        found.append(asked.run_id)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1


def test_what_cannot_be_queued_is_refused_and_leaves_nothing(engine, door):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    store(engine, "typed", node("a"), params=schema)
    with pytest.raises(NotFoundError, match=r"no workflow 'typd' \(did you mean 'typed'\?\)"):
        door.queue_run(workflow="typd", params={}, requested_by=None)
    with pytest.raises(InputError, match=r"params.n: .*is not of type"):
        door.queue_run(workflow="typed", params={"n": "x"}, requested_by=None)
    with pytest.raises(InputError, match="more than 262144"):
        door.queue_run(workflow="typed", params={"big": "x" * 300_000}, requested_by=None)
    with session_scope(engine) as session:
        assert session.scalar(text("SELECT count(*) FROM run")) == 0


def test_an_upload_becomes_a_document_and_a_run_that_reads_it(engine, door):
    with session_scope(engine) as session:
        ensure_builtin_workflows(session)
        ensure_builtin_workflows(session)
    queued = door.queue_ocr(
        name="invoice.png",
        content=sample_image_path().read_bytes(),
        options={"dpi": 200},
        requested_by="ada@example.com",
    )
    found = detail(engine, queued.run_id)
    assert found.params == {"document_id": str(queued.document_id), "options": {"dpi": 200}}
    assert (found.row.workflow_name, found.row.version) == ("ocr", 1)
    with session_scope(engine) as session:
        document = document_detail(session, queued.document_id)
    assert document.row.run_id == queued.run_id
    with pytest.raises(InputError, match="nothing was stored"):
        door.queue_ocr(name="x.png", content=b"MZ not an image", options={}, requested_by=None)


def test_a_token_starts_a_run_at_once(engine, quick, door):
    slow = quick.model_copy(update={"worker": WorkerSettings()})
    store(engine, "fast", node("a", value=1))
    with token_worker(slow):
        until(lambda: len(worker_keys(quick)) == 1)
        asked = time.monotonic()
        found = ended(engine, door.queue_run(workflow="fast", params={}, requested_by=None).run_id)
        assert time.monotonic() - asked < 4, "the host alone looks every five seconds only"
    assert found.row.status == "completed"
    assert depth(quick).waiting == 0


def worker_keys(quick) -> list[bytes]:
    with connect(quick) as client:
        return list(client.smembers("rq:workers"))


def test_tokens_lost_with_redis_are_sent_again_and_no_more_than_needed(engine, quick, door):
    store(engine, "flushed", node("a"))
    for _ in range(3):
        door.queue_run(workflow="flushed", params={}, requested_by=None)
    with connect(quick) as client:
        assert reconcile(engine, client, grace=LEASE).tokens == 0, "they are on their way"
        client.flushall()
        assert reconcile(engine, client, grace=LEASE * 0).tokens == 3
        assert reconcile(engine, client, grace=LEASE * 0).tokens == 0
        client.lpop("rq:queue:runs")
        assert reconcile(engine, client, grace=LEASE * 0).tokens == 1, "although the record of the job is still there"
    assert depth(quick).waiting == 3


def test_without_redis_a_run_is_stored_and_done_and_the_caller_is_told(engine, quick):
    away = quick.model_copy(update={"redis": RedisSettings(url=SecretStr(GONE))})
    store(engine, "no-redis", node("a", value=1))
    with connect(away) as client:
        queued = Door(engine, client, away).queue_run(workflow="no-redis", params={}, requested_by=None)
    assert queued.woken is False
    with hosting(away):
        assert ended(engine, queued.run_id).row.status == "completed"


def test_looking_at_the_queues_changes_nothing(engine, quick):
    with connect(quick) as client:
        enqueue(client, WAKE, {"run_id": "x"}, job_id="stuck")
        client.lpop("rq:queue:runs")
        client.zadd("rq:wip:runs", {"stuck:e1": 1})
        before = client.hgetall("rq:job:stuck")
        assert depth(quick).started == 1
        assert client.zcard("rq:wip:runs") == 1
        assert client.hgetall("rq:job:stuck") == before


def test_every_job_of_the_catalogue_exists_and_takes_names():
    for spec in JOBS:
        module, _, name = spec.path.rpartition(".")
        function = getattr(importlib.import_module(module), name)
        assert all(item.kind is item.KEYWORD_ONLY for item in inspect.signature(function).parameters.values())
        assert "Safe to run twice" in function.__doc__
        assert spec.queue in QueueName


def test_lists_have_filters_pages_and_workflows_that_never_ran(engine, quick, door):
    store(engine, "used", node("a", value=1))
    store(engine, "broken", node("a", fail_times=9, retries=0))
    store(engine, "unused", node("a"))
    with hosting(quick):
        done = [ended(engine, door.queue_run(workflow="used", params={}, requested_by="a_b").run_id) for _ in range(5)]
        failed = ended(engine, door.queue_run(workflow="broken", params={}, requested_by="cd").run_id)
    day = Interval(utc_now() - LEASE * 10_000, utc_now() + LEASE * 100)
    with session_scope(engine) as session:
        newest_first = [item.id for item in list_runs(session)]
        assert newest_first == [failed.row.id, *(item.row.id for item in reversed(done))]
        page = list_runs(session, limit=2)
        rest = list_runs(session, before=(page[-1].created_at, page[-1].id))
        assert [item.id for item in (*page, *rest)] == newest_first
        assert [item.id for item in list_runs(session, statuses=("failed",))] == [failed.row.id]
        assert list_runs(session, statuses=("failed",))[0].error_message == "the other side is away"
        assert len(list_runs(session, search="a_b", interval=day)) == 5
        assert list_runs(session, search="%") == []
        assert [item.id for item in list_runs(session, search=str(failed.row.id)[:18].upper())] != []
        assert count_runs_by_status(session, interval=day) == {
            "queued": 0, "running": 0, "waiting": 0, "paused": 0, "needs_attention": 0, "completed": 5, "failed": 1,
            "cancelled": 0,
        }  # fmt: skip
        with pytest.raises(InputError, match="no run status 'done'"):
            list_runs(session, statuses=("done",))
        found = {item.name: item for item in list_workflows(session).items}
        assert (found["used"].runs_30d, found["used"].success_ratio) == (5, 1.0)
        assert (found["broken"].failed_30d, found["broken"].success_ratio) == (1, 0.0)
        assert (found["unused"].runs_30d, found["unused"].success_ratio, found["unused"].average_s) == (0, None, None)
        assert list_workflows(session, search="SED", limit=1).total == 2
        assert get_workflow(session, found["used"].id).row == get_workflow(session, "used").row
        assert get_workflow(session, "nope") is None
        workers = list_workers(session)
    assert [(item.name, item.kind, item.is_alive) for item in workers] == [("host-1", "run", False)]


def test_only_one_of_two_schedulers_acts_and_the_other_takes_over(engine, quick):
    with connect(quick) as client:
        mine, other = (
            Leadership(WorkerProcess("scheduler", quick, make_engine(quick, role=name), client, name, 1))
            for name in ("a", "b")
        )
        assert mine.is_held()
        assert not other.is_held()
        assert mine.is_held()
        mine.close()
        until(other.is_held, within_s=5)
        other.close()
        for leadership in (mine, other):
            leadership._engine.dispose()


def test_every_tick_of_the_scheduler_works_twice(engine, quick):
    with connect(quick) as client:
        process = WorkerProcess("scheduler", quick, engine, client, "s", 1)
        for tick in ticks(process):
            if tick.name != "refresh_mcp":  # starts a server; has tests of its own
                tick.work()
                tick.work()
    with session_scope(engine) as session:
        assert session.scalar(text("SELECT count(*) FROM metric_sample")) > 0
        assert session.scalar(text("SELECT count(*) FROM workflow WHERE builtin")) == 3


def test_runs_outlive_the_death_of_valkey_and_of_postgresql(server_root, log):
    root = server_root / f"own-{uuid.uuid4().hex[:8]}"
    postgres = EmbeddedPostgres(root=root / "pg", port=free_port(), settings={"fsync": "off"})
    valkey = EmbeddedValkey(root=root / "valkey", port=free_port())
    with running(postgres, log=root / "pg.log") as database, running(valkey, log=root / "valkey.log") as cache:
        settings = Settings(
            home=root / "home",
            store=StoreSettings(dsn=SecretStr(postgres.dsn)),
            redis=RedisSettings(url=SecretStr(valkey.url)),
            worker=WorkerSettings(lease=LEASE * 3),
        )
        engine = make_engine(settings, role="test")
        migrate(engine)
        steps = [node("a", log=str(log), value=1), node("b", "a", log=str(log), wait_s=0.7, value=2)]
        store(engine, "survivor", *steps)
        store(engine, "heavy", node("c", kind="test.child", log=str(log), value=3))
        client = connect(settings)
        door = Door(engine, client, settings)
        extra = []
        try:
            with token_worker(settings, "survivor"), model_worker(settings, "survivor-models"):
                run_ids = [queue(door, "survivor")]
                until(lambda: executions(log)["b"] == 1)
                stop(cache, signal.SIGKILL)
                run_ids.append(queue(door, "survivor"))
                run_ids.append(queue(door, "heavy"))
                until(lambda: executions(log)["b"] == 2, what="a run without Redis")
                extra.append(start(valkey, root / "valkey.log"))
                for run_id in run_ids:
                    assert ended(engine, run_id, within_s=40).row.status == "completed"
                run_ids.append(queue(door, "survivor"))
                until(lambda: executions(log)["b"] == 3)
                stop(database, signal.SIGQUIT)
                time.sleep(0.5)
                extra.append(start(postgres, root / "pg.log"))
                run_ids.append(until(lambda: attempt(lambda: queue(door, "survivor"))))
                for run_id in run_ids:
                    found = ended(engine, run_id, within_s=40)
                    assert found.row.status == "completed"
                    assert set(statuses(found).values()) == {"completed"}
                until(lambda: len(client.smembers("rq:workers")) >= 1, what="the return to Redis")
        finally:
            client.close()
            engine.dispose()
            for process in extra:
                stop(process, signal.SIGKILL)
    assert executions(log)["a"] == 4, "completed nodes are not repeated"


def queue(door: Door, workflow: str) -> uuid.UUID:
    return door.queue_run(workflow=workflow, params={}, requested_by=None).run_id


def attempt(work):
    try:
        return work()
    except DependencyError:
        return None


def start(server, log):
    process = launch(server.command(), log=log, account=server.account())
    wait_until_ready(server, process, log=log)
    return process


def stop(process, sig: signal.Signals) -> None:
    if process.poll() is None:
        os.kill(process.pid, sig)
        process.wait(timeout=20)


def test_a_checkpoint_whose_transaction_was_ended_is_repeated_and_not_taken_for_refused(engine, quick):
    def is_gone(pid: int) -> bool:
        with session_scope(engine) as session:
            return session.scalar(text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid"), {"pid": pid}) == 0

    async def store_after_standing_still() -> None:
        slow = make_async_engine(quick, role="slow", longest_pause=timedelta(milliseconds=50))
        checkpoints = Checkpointer(slow, owner="slow")
        driver = await checkpoints._connection()
        await driver.execute("SELECT 1")
        until(lambda: is_gone(driver.info.backend_pid), what="the end of the transaction")
        writing = asyncio.create_task(checkpoints.write_forever())
        try:
            await checkpoints.store(Change(uuid.uuid4(), utc_now(), epoch=1))
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            await slow.dispose()

    with pytest.raises(RunLostError, match="no longer ours"):
        asyncio.run(store_after_standing_still())
