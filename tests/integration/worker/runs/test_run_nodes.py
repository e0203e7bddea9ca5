import http.server
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from runs_kit import detail, ended, executions, hosting, model_worker, node, statuses, store, until
from sqlalchemy import text

from analytics.core.settings import HttpSettings, WorkerSettings
from analytics.store.engine import session_scope
from worker.workflow.kinds import registry
from worker.workflow.node_kind import Transport

pytestmark = pytest.mark.integration


def run(engine, door, name, *steps, **more):
    store(engine, name, *steps)
    return ended(engine, door.queue_run(workflow=name, params={}, requested_by=None).run_id, **more)


def sql(statement: str, **more):
    return node("q", kind="sql.query", sql=statement, retries=0, **more)


@pytest.fixture
def host(quick):
    with hosting(quick) as running:
        yield running


def test_a_question_is_answered_with_bound_values(engine, door, host):
    found = run(
        engine,
        door,
        "ask",
        sql(
            "SELECT n, n * 1.5 AS x, :word || '%' AS word, '2026-01-02'::date AS day, NULL AS nothing,"
            " ARRAY[1, 2] AS list, decode('00ff', 'hex') AS bytes FROM generate_series(1, 5) n WHERE n > :least",
            params={"word": "a'b", "least": 2},
            max_rows=2,
        ),
    )
    row = {"n": 3, "x": 4.5, "word": "a'b%", "day": "2026-01-02", "nothing": None, "list": [1, 2], "bytes": "00ff"}
    assert found.output["q"]["rows"][0] == row
    assert (found.output["q"]["row_count"], found.output["q"]["truncated"]) == (2, True)


REFUSED = [
    ("DELETE FROM run", "syntax error|refuses"),
    ("WITH gone AS (DELETE FROM run RETURNING 1) SELECT * FROM gone", "refuses"),
    ("SELECT 1; SELECT 2", "cannot insert multiple commands"),
    ("SELECT 1) TO PROGRAM 'id'; --", "refuses"),
    ("COPY (SELECT 1) TO PROGRAM 'id'", "refuses"),
    ("COPY run TO '/tmp/x'", "refuses"),
    ("SET ROLE postgres", "refuses"),
    ("SELECT nextval('login_failure_id_seq')", "read-only|permission"),
    ("SELECT pg_read_file('/etc/passwd')", "permission denied"),
    ("SELECT password_hash FROM app_user", "holds secrets"),
    ("SELECT count(*) FROM run WHERE EXISTS (SELECT 1 FROM user_session)", "holds secrets"),
    ("SELECT nope FROM run", 'column "nope" does not exist'),
    ("SELECT 1 AS a, 2 AS a", "Two columns are called 'a'"),
    ("SELECT :x", "needs the parameters x"),
]


def test_a_statement_that_is_no_question_is_refused(engine, door, host):
    for number, (statement, reason) in enumerate(REFUSED):
        found = run(engine, door, f"refused-{number}", sql(statement))
        assert found.row.status == "failed", statement
        assert any(part in found.error["message"] for part in reason.split("|")), (statement, found.error)


def test_a_question_that_takes_too_long_is_ended_on_the_server(engine, door, host):
    found = run(engine, door, "slow", sql("SELECT pg_sleep(60)", timeout=0.3))
    assert found.error["code"] == "timeout"

    def none_sleeps() -> bool:
        with session_scope(engine) as session:
            asleep = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sl' || 'eep%' AND state = 'active'"
            return session.scalar(text(asleep + " AND pid <> pg_backend_pid()")) == 0

    until(none_sleeps, within_s=5)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append((self.path, headers))
        path = self.path.partition("?")[0]
        if path == "/flaky" and len([item for item in self.server.seen if item[0] == "/flaky"]) < 3:
            self.answer(503, b"later", {"Retry-After": "0"})
        elif path == "/redirect":
            self.answer(302, b"", {"Location": self.server.target})
        elif path == "/big":
            self.answer(200, b"x" * 2_000_000)
        elif path == "/missing":
            self.answer(404, b"no")
        elif path == "/slow":
            time.sleep(1)
            self.answer(200, b"")
        else:
            self.answer(200, json.dumps({"path": self.path}).encode(), {"Content-Type": "application/json"})

    do_POST = do_GET  # noqa: N815 - the library's name

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        try:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # The node went away, as it should.

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def web() -> Iterator[http.server.ThreadingHTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen, server.target = [], "/"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def get(web, path: str, **more):
    return node("h", kind="http.request", url=f"http://localhost:{web.server_port}{path}", **more)


def test_a_request_is_sent_and_its_json_kept(engine, door, host, web):
    found = run(engine, door, "json", get(web, "/a", query={"b": "c d"}, headers={"X-Mine": "1"}))
    assert found.output["h"]["status"] == 200
    assert found.output["h"]["json"] == {"path": "/a?b=c+d"} or found.output["h"]["json"] == {"path": "/a?b=c%20d"}
    headers = web.seen[0][1]
    assert headers["host"] == f"localhost:{web.server_port}"
    assert headers["x-mine"] == "1"
    assert "idempotency-key" not in headers


def test_the_same_key_goes_with_every_attempt_of_a_post(engine, door, host, web):
    found = run(engine, door, "post", get(web, "/flaky", method="POST", json={"x": 1}, retries=3))
    assert found.row.status == "completed"
    keys = {headers["idempotency-key"] for _, headers in web.seen}
    assert len(web.seen) == 3
    assert keys == {f"{found.row.id}/h"}


def test_answers_that_are_too_large_unexpected_slow_or_endless_fail(engine, door, host, web):
    web.target = "/redirect"
    for path, more, reason in (
        ("/big", {}, "larger than"),
        ("/missing", {}, "answered 404"),
        ("/slow", {"timeout": 0.2}, "0.2 s|in time"),
        ("/redirect", {"follow_redirects": True}, "More than 5 redirects"),
    ):
        found = run(engine, door, "odd", get(web, path, retries=0, **more))
        assert any(part in found.error["message"] for part in reason.split("|")), found.error


def test_private_addresses_are_refused_except_our_own_health(engine, door, quick, web):
    guarded = quick.model_copy(
        update={
            "worker": WorkerSettings(lease=quick.worker.lease),
            "http": HttpSettings(host="localhost", port=web.server_port),
        }
    )
    with hosting(guarded):
        private = run(engine, door, "private", get(web, "/secret", retries=0))
        own = run(engine, door, "own", get(web, "/healthz", retries=0))
    assert private.error["code"] == "policy"
    assert "not a public address; nothing was sent" in private.error["message"]
    assert own.row.status == "completed"
    assert [path for path, _ in web.seen] == ["/healthz"]


@pytest.fixture
def models(quick):
    with model_worker(quick) as child:
        yield child


def test_a_heavy_node_runs_in_a_child_and_comes_back_by_its_row(engine, door, host, models, log):
    found = run(
        engine,
        door,
        "heavy",
        node("a", value={"x": 5}),
        node("b", "a", kind="test.child", log=str(log), value="{{ nodes.a.output.x }}"),
        node("c", "b", value="{{ nodes.b.output }}"),
    )
    assert found.output == {"c": 5}
    assert {item.node_id: item.executor for item in found.nodes}["b"] == "model-1"
    child_pid = int(log.read_text().split()[2])
    assert child_pid not in {os.getpid(), os.getppid()}


def test_a_child_that_takes_too_long_is_killed_with_all_it_started(engine, door, host, models, log):
    found = run(
        engine,
        door,
        "stuck",
        node("a", kind="test.child", log=str(log), do="grandchild", wait_s=600, timeout=1.5, retries=0),
        within_s=40,
    )
    assert found.error["code"] == "timeout"
    grandchild = int(log.with_suffix(".grandchild").read_text())
    child = int(log.read_text().split()[2])
    until(lambda: not alive(grandchild) and not alive(child), within_s=5)
    assert run(engine, door, "next", node("a", kind="test.child", value=1), within_s=40).output == {"a": 1}


def test_a_child_that_dies_is_tried_again_and_at_last_given_up(engine, door, host, models, log):
    found = run(engine, door, "dies", node("a", kind="test.child", log=str(log), do="exit", retries=0), within_s=60)
    assert found.error["code"] == "died"
    assert "exit code 7" in found.error["message"]
    assert executions(log) == {"a": 4}, "three more model children after the first"


def test_cancelling_a_run_kills_its_child_within_a_second(engine, door, host, models, log):
    store(engine, "cancelled", node("a", kind="test.child", log=str(log), wait_s=600, timeout=900))
    run_id = door.queue_run(workflow="cancelled", params={}, requested_by=None).run_id
    until(lambda: executions(log)["a"], within_s=40)
    child = int(log.read_text().split()[2])
    asked = time.monotonic()
    door.cancel_run(run_id, requested_by=None)
    until(lambda: not alive(child), within_s=10)
    took = time.monotonic() - asked
    assert ended(engine, run_id).row.status == "cancelled"
    assert statuses(detail(engine, run_id)) == {"a": "cancelled"}
    assert took < 3


def test_a_heavy_node_waits_for_a_model_worker_and_outlives_one(engine, door, quick, host, log):
    store(engine, "patient", node("a", kind="test.child", log=str(log), wait_s=0.5, value=1))
    run_id = door.queue_run(workflow="patient", params={}, requested_by=None).run_id
    until(lambda: statuses(detail(engine, run_id)).get("a") == "pending")
    with model_worker(quick, "leaver"):
        until(lambda: executions(log)["a"], within_s=40)
    with model_worker(quick, "taker"):
        found = ended(engine, run_id, within_s=40)
    assert found.output == {"a": 1}
    assert found.nodes[0].executor == "taker"


def test_a_third_party_adds_kinds_by_entry_point():
    assert registry()["test.child"].transport is Transport.PROCESS
    assert {"http.request", "sql.query", "transform", "ocr.extract", "mcp.call"} <= set(registry())


def alive(pid: int) -> bool:
    """Tell whether *pid* runs; one that has ended and is only not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
