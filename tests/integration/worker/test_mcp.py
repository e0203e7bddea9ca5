"""The pool, the gateway and the catalogue against real server processes."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import select

from analytics.core.clock import utc_now
from analytics.core.errors import DependencyError, InputError, NotFoundError, PolicyError
from analytics.core.ids import new_id
from analytics.core.settings import McpSettings
from analytics.store.engine import make_async_engine
from analytics.store.queries import mcp as catalogue_rows
from analytics.store.tables import AuditEntry
from worker.mcp import gateway as gateway_module
from worker.mcp import pool as pool_module
from worker.mcp.catalogue import refresh_catalogue, refresh_catalogue_once
from worker.mcp.gateway import Caller, Gateway, ToolCall
from worker.mcp.pool import McpPool
from worker.workflow.kinds import find_kind
from worker.workflow.node_kind import NodeCall, WorkerResources

pytestmark = pytest.mark.integration

HOSTILE = Path(__file__).with_name("hostile_server.py")
SHORT = timedelta(seconds=1)
LONG = timedelta(seconds=30)


def with_servers(settings, tmp_path, servers: dict, **mcp):
    path = tmp_path / "servers.json"
    path.write_text(json.dumps({"mcpServers": servers}))
    return settings.model_copy(update={"mcp": McpSettings(servers_file=path, **mcp)})


def hostile(mode: str, **more) -> dict:
    return {"command": sys.executable, "args": [str(HOSTILE), mode], **more}


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 90))


def attempt(settings, *calls: ToolCall) -> list:
    """Make *calls* in order through one gateway; errors are returned as values."""

    async def work():
        engine = make_async_engine(settings, role="test")
        try:
            async with McpPool(settings) as pool:
                gateway = Gateway(pool, engine)
                return [(await asyncio.gather(gateway.call(call), return_exceptions=True))[0] for call in calls]
        finally:
            await engine.dispose()

    return run(work())


def a_call(server: str, tool: str = "echo", timeout: timedelta = LONG, **arguments) -> ToolCall:
    return ToolCall(server, tool, arguments, Caller(actor="ada@example.com"), timeout)


def test_the_shipped_server_answers_and_every_attempt_is_recorded(settings, session):
    ok, failed, misfit, extra, unknown, refused = attempt(
        settings,
        a_call("helmsight", "text_statistics", text="Grüße aus München. Bis bald!"),
        a_call("helmsight", "convert_time", time="soon", source_zone="UTC", target_zone="UTC"),
        a_call("helmsight", "text_statistics", text=5),
        a_call("helmsight", "text_statistics", text="x", loud=True),
        a_call("helmsight", "delete_everything"),
        a_call("elsewhere"),
    )
    assert ok["structured"]["words"] == 5
    assert ok["structured"]["sentences"] == 2
    assert ok["is_error"] is False
    assert failed["is_error"] is True
    assert "no ISO 8601 time" in failed["content"][0]["text"]
    assert isinstance(misfit, InputError)
    assert misfit.context["problems"][0]["path"] == "text"
    assert isinstance(extra, InputError)
    assert "no such argument" in extra.message
    assert isinstance(unknown, NotFoundError)
    assert isinstance(refused, PolicyError)
    assert refused.status == 403
    rows = session.scalars(select(AuditEntry).order_by(AuditEntry.at, AuditEntry.id)).all()
    assert [row.detail["result"] for row in rows] == ["ok", "tool_error", "refused", "refused", "refused", "refused"]
    assert [row.outcome for row in rows] == ["ok", "ok", "refused", "refused", "refused", "refused"]
    assert {row.actor for row in rows} == {"ada@example.com"}
    assert rows[0].detail["argument_names"] == ["text"]
    assert "München" not in json.dumps(rows[0].detail)


def test_a_killed_server_is_named_and_the_next_call_finds_a_new_one(settings):
    async def work():
        async with McpPool(settings) as pool:
            await pool.list_tools("helmsight")
            first = pool.session("helmsight").pid
            os.kill(first, signal.SIGKILL)
            failures = []
            for _ in range(2):
                try:
                    answer = await pool.call("helmsight", "text_statistics", {"text": "again"})
                    break
                except DependencyError as error:
                    failures.append(error.message)
            return first, pool.session("helmsight").pid, answer, failures

    first, second, answer, failures = run(work())
    assert second not in {first, None}
    assert answer["structured"]["words"] == 1
    assert all("ended with code -9" in failure for failure in failures)
    assert not psutil.pid_exists(second)


def test_a_call_that_takes_too_long_is_given_up_and_the_others_go_on(settings, tmp_path):
    settings = with_servers(settings, tmp_path, {"slow": hostile("hang")})
    started = time.monotonic()
    slow, fine = attempt(
        settings, a_call("slow", timeout=SHORT), a_call("helmsight", "extract_dates", text="2026-01-02")
    )
    assert isinstance(slow, DependencyError)
    assert slow.context["reason"] == "timeout"
    assert re.search(r"did not answer 'echo' within [01](\.\d+)? s", slow.message)
    assert fine["structured"]["dates"][0]["iso"] == "2026-01-02"
    assert time.monotonic() - started < 30


def test_a_server_that_never_answers_is_started_anew_after_two_timeouts(settings, tmp_path):
    settings = with_servers(settings, tmp_path, {"mute": hostile("hang")})

    async def work():
        async with McpPool(settings) as pool:
            await pool.list_tools("mute")
            first = pool.session("mute").pid
            for _ in range(2):
                with pytest.raises(DependencyError, match="did not answer"):
                    await pool.call("mute", "echo", {}, timedelta(seconds=0.3))
            await pool.list_tools("mute")
            return first, pool.session("mute").pid

    first, second = run(work())
    assert first != second
    assert not psutil.pid_exists(first)


def test_a_message_over_the_limit_ends_the_server_with_that_reason(settings, tmp_path):
    (huge,) = attempt(with_servers(settings, tmp_path, {"huge": hostile("huge")}), a_call("huge"))
    assert isinstance(huge, DependencyError)
    assert "more than 4,194,304 bytes" in huge.message


def test_a_crash_tells_the_exit_code_and_the_last_words(settings, tmp_path):
    (crash,) = attempt(with_servers(settings, tmp_path, {"crash": hostile("crash")}), a_call("crash"))
    assert isinstance(crash, DependencyError)
    assert "code 3" in crash.message
    assert "out of memory" in crash.message


def test_schemas_of_strangers_cannot_hold_up_the_worker(settings, tmp_path):
    servers = {mode: hostile(mode) for mode in ("slow_pattern", "wrong_output", "bad_schema")}
    started = time.monotonic()
    pattern, output, schema = attempt(with_servers(settings, tmp_path, servers), *(a_call(name) for name in servers))
    assert isinstance(pattern, DependencyError)
    assert "against its own schema" in pattern.message
    assert isinstance(output, DependencyError)
    assert isinstance(schema, DependencyError)
    assert "in a way that cannot be used" in schema.message
    assert time.monotonic() - started < 30


def test_results_are_freed_of_control_characters(settings, tmp_path):
    (plain,) = attempt(with_servers(settings, tmp_path, {"plain": hostile("plain")}), a_call("plain"))
    assert plain["content"][0]["text"] == "[31mred\u200b"


def test_tools_that_the_file_denies_and_servers_switched_off_are_refused(settings, tmp_path):
    servers = {
        "some": hostile("plain", **{"x-helmsight": {"tools": {"deny": ["echo"]}}}),
        "off": hostile("plain", disabled=True),
    }
    denied, off = attempt(with_servers(settings, tmp_path, servers), a_call("some"), a_call("off"))
    assert isinstance(denied, PolicyError)
    assert denied.context["reason"] == "tool_not_allowed"
    assert isinstance(off, PolicyError)
    assert off.context["reason"] == "server_disabled"


def test_a_server_that_cannot_be_started_says_why_and_then_rests(settings, tmp_path):
    settings = with_servers(settings, tmp_path, {"none": {"command": "/no/such/program"}})
    first, *_, last = attempt(settings, *(a_call("none") for _ in range(3)))
    assert isinstance(first, DependencyError)
    assert "could not be started: No such file or directory" in first.message
    assert isinstance(last, DependencyError)


def test_prometheus_sees_which_servers_are_let_rest_for_as_long_as_calls_fail_at_once(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(pool_module, "_FIRST_PAUSE_S", 30.0)
    settings = with_servers(settings, tmp_path, {"none": {"command": "/no/such/program"}, "plain": hostile("plain")})

    def shown() -> list[float | None]:
        return [
            REGISTRY.get_sample_value("helmsight_mcp_circuit_breaker_open", {"server": name})
            for name in ("none", "plain")
        ]

    async def work():
        seen = []
        async with McpPool(settings) as pool:
            for _ in range(3):
                with pytest.raises(DependencyError) as refusal:
                    await pool.call("none", "echo", {})
                seen.append(shown())
            monkeypatch.setattr(pool.session("none"), "_not_before", time.monotonic())
            return [*seen, shown()], refusal.value

    seen, refusal = run(work())
    assert refusal.context["retry_after_s"] == 30
    assert seen == [[0, 0], [0, 0], [1, 0], [0, 0]]
    assert shown() == [None, None]


def test_secrets_are_read_by_name_when_the_server_starts(settings, tmp_path):
    servers = {"keyed": hostile("plain", env={"KEY": "${secret:reports_key}"})}
    settings = with_servers(settings, tmp_path, servers)
    (missing,) = attempt(settings, a_call("keyed"))
    assert "needs reports_key" in missing.message
    (settings.home / "secrets").mkdir(parents=True)
    (settings.home / "secrets" / "reports_key").write_text("s3cret\n")
    (found,) = attempt(settings, a_call("keyed"))
    assert found["is_error"] is False


def test_a_silent_server_holds_up_no_other_and_each_state_is_told(settings, tmp_path, engine, session):
    servers = {
        "helmsight": {"disabled": True},
        "mute": hostile("silent"),
        "web": {"url": "https://example.com/mcp"},
        "plain": hostile("plain"),
    }
    settings = with_servers(settings, tmp_path, servers)
    started = time.monotonic()
    report = refresh_catalogue_once(settings, engine, limit=timedelta(seconds=3))
    assert time.monotonic() - started < 20
    assert (report.servers, report.up, report.tools) == (4, 1, 1)
    assert set(report.errors) == {"mute", "web"}
    rows = {row.name: row for row in catalogue_rows.list_servers(session)}
    assert list(rows) == list(servers)
    assert [row.status for row in rows.values()] == ["disabled", "down", "unusable", "up"]
    assert rows["mute"].seen_at is None
    assert "within 3 s" in rows["mute"].error


def test_the_catalogue_keeps_the_schemas_of_the_shipped_server(settings, engine, session):
    report = refresh_catalogue_once(settings, engine, limit=LONG)
    assert (report.servers, report.up, report.tools, report.errors) == (1, 1, 4, {})
    (server,) = catalogue_rows.list_servers(session)
    assert (server.name, server.status, server.tools, server.error) == ("helmsight", "up", 4, None)
    assert server.protocol is not None
    tools = catalogue_rows.list_tools(session, "helmsight")
    assert [tool.name for tool in tools] == ["convert_time", "extract_dates", "parse_table", "text_statistics"]
    assert tools[0].input_schema["required"] == ["time", "source_zone", "target_zone"]
    assert tools[0].output_schema["type"] == "object"
    assert tools[0].annotations["readOnlyHint"] is True
    assert tools[0].changed_at is None
    assert tools[0].allowed


def test_a_changed_tool_is_told_and_a_server_that_left_the_file_goes(settings, tmp_path, session):
    def refresh(servers):
        async def work():
            changed = with_servers(settings, tmp_path, servers)
            engine = make_async_engine(changed, role="test")
            try:
                async with McpPool(changed) as pool:
                    await refresh_catalogue(pool, engine)
            finally:
                await engine.dispose()

        run(work())
        session.rollback()
        return catalogue_rows.list_tools(session, "one")

    off = {"helmsight": {"disabled": True}}
    (before,) = refresh({**off, "one": hostile("plain"), "two": hostile("plain")})
    (after,) = refresh({**off, "one": hostile("wrong_output")})
    assert before.fingerprint != after.fingerprint
    assert before.changed_at is None
    assert after.changed_at is not None
    assert after.first_seen_at == before.first_seen_at
    assert [row.name for row in catalogue_rows.list_servers(session)] == ["helmsight", "one"]
    session.rollback()
    (still,) = refresh({**off, "one": {"command": "/no/such/program"}})
    assert still.fingerprint == after.fingerprint
    assert catalogue_rows.list_servers(session)[1].status == "down"


def test_the_node_calls_a_tool_for_whoever_asked_for_the_run(settings, session):
    async def work(config):
        engine = make_async_engine(settings, role="test")
        try:
            async with McpPool(settings) as pool:
                call = NodeCall(
                    run_id=new_id(),
                    run_created_at=utc_now(),
                    node_id="call",
                    attempt=1,
                    key="k",
                    config=config,
                    timeout=LONG,
                    settings=settings,
                    resources=WorkerResources(async_engine=engine, mcp=pool),
                )
                return await find_kind("mcp.call").run(call)
        finally:
            await engine.dispose()

    arguments = {"time": "2026-10-12T09:30", "source_zone": "Europe/Berlin", "target_zone": "Asia/Tokyo"}
    result = run(work({"server": "helmsight", "tool": "convert_time", "arguments": arguments}))
    assert result["structured"]["target"] == "2026-10-12T16:30:00+09:00"
    bad = arguments | {"target_zone": "Nowhere"}
    with pytest.raises(InputError, match="no IANA time zone"):
        run(work({"server": "helmsight", "tool": "convert_time", "arguments": bad, "on_tool_error": "fail"}))
    assert session.scalars(select(AuditEntry)).first().actor == "worker"


def test_a_call_cancelled_from_outside_is_recorded_and_cancelled_at_the_server(settings, tmp_path, session):
    settings = with_servers(settings, tmp_path, {"slow": hostile("hang")})

    async def work():
        engine = make_async_engine(settings, role="test")
        try:
            async with McpPool(settings) as pool:
                await pool.list_tools("slow")
                task = asyncio.create_task(Gateway(pool, engine).call(a_call("slow")))
                await asyncio.sleep(0.3)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
        finally:
            await engine.dispose()

    run(work())
    assert session.scalars(select(AuditEntry)).one().detail["result"] == "cancelled"


def test_fifty_calls_at_once_share_one_session(settings):
    async def work():
        engine = make_async_engine(settings, role="test")
        try:
            async with McpPool(settings) as pool:
                gateway = Gateway(pool, engine)
                calls = [a_call("helmsight", "text_statistics", text="word " * n) for n in range(1, 51)]
                results = await asyncio.gather(*(gateway.call(call) for call in calls))
                children = [
                    child.pid for child in psutil.Process().children() if child.pid == pool.session("helmsight").pid
                ]
                return [result["structured"]["words"] for result in results], children
        finally:
            await engine.dispose()

    words, children = run(work())
    assert words == list(range(1, 51))
    assert len(children) == 1


_WORKER = """
import asyncio
from analytics.core.settings import Settings
from worker.mcp.pool import McpPool

async def work():
    async with McpPool(Settings()) as pool:
        await pool.list_tools("helmsight")
        print(pool.session("helmsight").pid, flush=True)
        await asyncio.sleep(600)

asyncio.run(work())
"""


def test_a_server_ends_with_a_worker_that_was_killed():
    worker = subprocess.Popen([sys.executable, "-c", _WORKER], stdout=subprocess.PIPE, text=True)
    server = psutil.Process(int(worker.stdout.readline()))
    assert server.is_running()
    worker.kill()
    worker.wait()
    worker.stdout.close()
    gone, alive = psutil.wait_procs([server], timeout=10)
    assert (len(gone), alive) == (1, [])


def test_a_call_keeps_its_result_when_the_store_is_away_and_its_audit_entry_follows(settings, session, monkeypatch):
    store = Gateway._store
    refusals = iter([DependencyError("away", part="postgres")] * 2)

    async def away_twice(self, *entry) -> None:
        for refusal in refusals:
            raise refusal
        await store(self, *entry)

    monkeypatch.setattr(Gateway, "_store", away_twice)

    async def work():
        engine = make_async_engine(settings, role="test")
        try:
            async with McpPool(settings) as pool:
                result = await Gateway(pool, engine).call(a_call("helmsight", "text_statistics", text="one two"))
                await asyncio.gather(*gateway_module._late)
                return result
        finally:
            await engine.dispose()

    assert run(work())["structured"]["words"] == 2
    assert session.scalars(select(AuditEntry)).one().detail["result"] == "ok"
