import io
import json
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from analytics.core.errors import ConfigError, ConflictError, InputError, NotFoundError
from dashboard.cli import app, main
from dashboard.commands import run as run_commands
from dashboard.commands import workflow as commands

pytestmark = pytest.mark.integration

GOOD = """
name: count
description: Counts
params: {type: object, additionalProperties: false, properties: {n: {type: integer, default: 1}, who: {type: string}}}
nodes:
  - {id: a, kind: transform, config: {input: "{{ params.n }}", steps: []}}
  - {id: b, kind: transform, needs: [a], config: {input: "{{ nodes.a.output }}", steps: []}}
"""
BROKEN = '{"code": "input", "message": "broken", "node_id": "a"}'
BAD = "name: bad\nnodes:\n  - {id: a, kind: transfrom, config: {}}\n"


@pytest.fixture(autouse=True)
def named(settings, monkeypatch):
    monkeypatch.setenv("HELMSIGHT_HOME", str(settings.home))
    monkeypatch.setenv("HELMSIGHT_STORE__DSN", settings.dsn)
    monkeypatch.setenv("HELMSIGHT_REDIS__URL", settings.redis_url)


@pytest.fixture
def files(tmp_path) -> tuple[str, str]:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(GOOD, encoding="utf-8")
    bad.write_text(BAD, encoding="utf-8")
    return str(good), str(bad)


def said(*arguments, code=0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout


def started(**changes) -> dict:
    values = {"params": {}, "given": [], "priority": 0, "tags": [], "key": None, "version": None, "use_cache": True}
    values |= {"wait": False, "most_s": None, "say": lambda _: None} | changes
    return commands.start("count", **values).data


def end_run(engine, run_id: str, status: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM run_active WHERE run_id = :id"), {"id": run_id})
        connection.execute(
            text(
                "UPDATE run SET status = :status, started_at = now(), finished_at = now() + interval '2 s',"
                " error = CAST(:error AS jsonb) WHERE id = :id"
            ),
            {"id": run_id, "status": status, "error": BROKEN if status == "failed" else None},
        )
        connection.execute(
            text(
                "INSERT INTO node_run (run_id, run_created_at, node_id, kind, status, started_at, finished_at)"
                " SELECT id, created_at, 'a', 'transform', :status, now(), now() FROM run WHERE id = :id"
            ),
            {"id": run_id, "status": status},
        )


def write_lines(engine, run_id: str, messages: list[str], *, node="a", map_index=-1, first=1) -> None:
    with engine.begin() as connection:
        for seq, message in enumerate(messages, first):
            connection.execute(
                text(
                    "INSERT INTO node_log"
                    " (run_id, run_created_at, node_id, map_index, attempt, seq, at, level, message)"
                    " SELECT id, created_at, :node, :index, 1, :seq, clock_timestamp(), 'info', :message"
                    " FROM run WHERE id = :id"
                ),
                {"id": run_id, "node": node, "index": map_index, "seq": seq, "message": message},
            )


def test_files_are_checked_without_a_store(files, monkeypatch):
    for name in ("HELMSIGHT_STORE__DSN", "HELMSIGHT_REDIS__URL"):
        monkeypatch.delenv(name)
    printed = said("workflow", "validate", *files, code=1)
    good, bad = files
    assert f"{good}: count can be used: 2 nodes on 2 levels" in printed
    assert f"{bad}:3: nodes.0.kind: there is no node kind 'transfrom' (did you mean 'transform'?)" in printed
    assert json.loads(said("workflow", "validate", good, "--json"))[0]["critical_path"] == ["a", "b"]


def test_standard_input_is_a_file_too(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(GOOD))
    assert commands.validate(["-"]).exit_code == 0


def test_a_file_that_cannot_be_read_at_all_is_told_with_its_line(tmp_path):
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: [\nnodes: ", encoding="utf-8")
    assert f"{broken}:3: while parsing" in said("workflow", "validate", str(broken), code=1)


def test_what_is_good_is_imported_and_the_rest_is_refused(files, session):
    printed = said("workflow", "import", *files, code=1)
    assert "created" in printed
    assert "refused" in printed
    assert "bad.yaml:3: nodes.0.kind" in printed
    assert "unchanged" in said("workflow", "import", files[0])
    assert "count" in said("workflow", "list")
    assert session.scalar(text("SELECT created_by FROM workflow_version")) == "cli"


def test_a_dry_run_stores_nothing(files, session):
    printed = said("workflow", "import", files[0], "--dry-run")
    assert "created" in printed
    assert session.scalar(text("SELECT count(*) FROM workflow")) == 0


def test_a_bundle_carries_every_version_to_another_store_and_back(files, tmp_path, engine):
    said("workflow", "import", files[0])
    Path(files[0]).write_text(GOOD.replace("Counts", "Counts again"), encoding="utf-8")
    said("workflow", "import", files[0])
    bundle = tmp_path / "all.json"
    said("workflow", "export", "--all-versions", "--format", "json", "-o", str(bundle))
    assert [item["version"] for item in json.loads(bundle.read_text(encoding="utf-8"))["workflows"]] == [1, 2]
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM workflow"))
    answer = commands.take_in([str(bundle)], dry_run=False)
    assert [(item["outcome"], item["version"]) for item in answer.data] == [("created", 1), ("updated", 2)]
    assert [item["outcome"] for item in commands.take_in([str(bundle)], dry_run=False).data] == ["unchanged"] * 2
    one = said("workflow", "export", "count", "--version", "1")
    assert one.startswith("name: count\ndescription: Counts\n")


def test_an_older_version_that_is_imported_becomes_the_current_one(files):
    good = Path(files[0])
    said("workflow", "import", files[0])
    good.write_text(GOOD.replace("Counts", "Counts again"), encoding="utf-8")
    said("workflow", "import", files[0])
    good.write_text(GOOD, encoding="utf-8")
    answer = commands.take_in([files[0]], dry_run=False)
    assert (answer.data[0]["outcome"], answer.data[0]["version"]) == ("updated", 3)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("Counts", "Counts differently", "is not the one `spec_hash` was made of"),
        ("name: count", "name: ocr", "spec_hash"),
        ("helmsight: 1", "helmsight: 2", "format 2"),
    ],
)
def test_a_bundle_that_was_changed_or_is_of_another_format_is_refused(files, tmp_path, old, new, reason):
    said("workflow", "import", files[0])
    bundle = tmp_path / "bundle.yaml"
    text_of_bundle = said("workflow", "export", "count", "--bundle")
    bundle.write_text(text_of_bundle.replace(old, new), encoding="utf-8")
    answer = commands.take_in([str(bundle)], dry_run=False)
    assert answer.exit_code == 1
    assert reason in "\n".join(answer.lines)


def test_a_shipped_name_is_kept_for_what_is_shipped(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(GOOD.replace("name: count", "name: ocr"), encoding="utf-8")
    assert "shipped with Helmsight" in said("workflow", "import", str(file), code=1)


def test_an_export_of_what_is_not_there_is_an_error():
    with pytest.raises(NotFoundError, match="no workflow 'nobody'"):
        commands.write_out(["nobody"], version=None, bundle=False, all_versions=False, form="yaml", output=None)


def test_a_run_is_queued_with_parameters_as_the_schema_wants_them(files, session):
    said("workflow", "import", files[0])
    queued = started(given=["n=3", "who=7"], tags=["x"], key="k", priority=2)
    row = session.execute(text("SELECT input, tags, priority, trigger, requested_by FROM run")).one()
    assert (row.input, row.tags, row.priority) == ({"n": 3, "who": "7"}, ["x"], 2)
    assert (row.trigger, row.requested_by) == ("cli", "cli")
    assert started(given=["n=3", "who=7"], key="k")["run_id"] == queued["run_id"]
    with pytest.raises(ConflictError):
        started(given=["n=4"], key="k")


def test_parameters_that_cannot_be_used_queue_nothing(files, session):
    said("workflow", "import", files[0])
    for given in (["n=many"], ["n"], ["other=1"]):
        with pytest.raises(InputError):
            started(given=given)
    assert session.scalar(text("SELECT count(*) FROM run")) == 0


def test_waiting_ends_as_the_run_does(files, engine):
    said("workflow", "import", files[0])
    for status, code in (("completed", 0), ("failed", 1), ("cancelled", 1)):
        told: list[str] = []
        ids: list[str] = []

        def end(status=status, ids=ids) -> None:
            deadline = time.monotonic() + 20
            while not ids and time.monotonic() < deadline:
                with engine.connect() as connection:
                    ids += [str(row.run_id) for row in connection.execute(text("SELECT run_id FROM run_active"))]
            end_run(engine, ids[0], status)

        ender = threading.Thread(target=end)
        ender.start()
        values = {"params": {}, "given": [], "priority": 0, "tags": [], "key": None, "version": None}
        answer = commands.start("count", **values, use_cache=True, wait=True, most_s=20, say=told.append)
        ender.join()
        assert answer.exit_code == code
        assert [(node["node_id"], node["status"]) for node in answer.data["nodes"]] == [("a", status)]
        assert f"run {ids[0]} is {status}: 1 {status} of 2 nodes" in told
        assert ("broken at a" in "\n".join(answer.lines)) == (status == "failed")


def test_waiting_has_an_end_though_the_run_goes_on(files):
    said("workflow", "import", files[0])
    printed = said("workflow", "run", "count", "--wait", "--timeout", "10ms", code=4)
    assert "still queued; it goes on" in printed


def test_a_run_is_shown_cancelled_and_done_again(files, engine):
    said("workflow", "import", files[0])
    run_id = started()["run_id"]
    assert "status    queued, place 1 in the queue" in said("run", "show", run_id)
    assert "1 run cancelled" in said("run", "cancel", run_id)
    assert f"{run_id} was not:" in said("run", "cancel", run_id, code=1)
    again = json.loads(said("run", "retry", run_id, "--json"))
    assert again["source_run_id"] == run_id
    end_run(engine, again["run_id"], "failed")
    shown = json.loads(said("run", "show", again["run_id"], "--json"))
    assert (shown["status"], shown["nodes"][0]["node_id"], shown["error"]["message"]) == ("failed", "a", "broken")
    with pytest.raises(NotFoundError):
        run_commands.show("00000000-0000-0000-0000-000000000000")
    with pytest.raises(InputError, match="not the id of a run"):
        run_commands.show("seven")


def test_lines_of_a_run_are_printed_in_order_and_by_node(files, engine):
    said("workflow", "import", files[0])
    run_id = started()["run_id"]
    write_lines(engine, run_id, ["one", "two"])
    write_lines(engine, run_id, ["three"], node="b", map_index=4)
    lines = said("run", "logs", run_id).splitlines()
    assert [line.partition("info    ")[2] for line in lines] == ["a: one", "a: two", "b[4]: three"]
    assert said("run", "logs", run_id, "--limit", "1").endswith("b[4]: three\n")
    assert [
        json.loads(line)["message"] for line in said("run", "logs", run_id, "--node", "a", "--json").splitlines()
    ] == [
        "one",
        "two",
    ]


def test_following_goes_on_until_the_run_has_ended_and_repeats_nothing(files, engine):
    said("workflow", "import", files[0])
    run_id = started()["run_id"]
    write_lines(engine, run_id, ["one"])
    found: list[str] = []

    def follow() -> None:
        options = {"node": None, "index": None, "attempt": None, "limit": 10, "follow": True}
        found.extend(line.message for line in run_commands.logs(run_id, **options))

    follower = threading.Thread(target=follow)
    follower.start()
    write_lines(engine, run_id, ["two"], first=2)
    end_run(engine, run_id, "completed")
    write_lines(engine, run_id, ["last words"], first=3)
    follower.join(20)
    assert found == ["one", "two", "last words"]


def test_without_a_store_it_is_said_what_to_do(monkeypatch, capsys):
    for name in ("HELMSIGHT_STORE__DSN", "HELMSIGHT_REDIS__URL"):
        monkeypatch.delenv(name)
    with pytest.raises(ConfigError, match="Start `helmsight up`"):
        commands.show_list(None)
    monkeypatch.setattr("sys.argv", ["helmsight", "workflow", "list"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "helmsight: No Helmsight runs on" in capsys.readouterr().err


def test_a_store_that_is_away_is_told_in_one_line(monkeypatch, capsys):
    monkeypatch.setenv("HELMSIGHT_STORE__DSN", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setattr("sys.argv", ["helmsight", "run", "show", "00000000-0000-0000-0000-000000000000"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
