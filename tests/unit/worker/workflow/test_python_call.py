import uuid
from datetime import UTC, datetime, timedelta

import pytest

from analytics.core.errors import InputError, PolicyError
from analytics.core.settings import Settings, WorkerSettings
from worker.workflow.address import NodeAddress
from worker.workflow.artifacts import ArtifactBox
from worker.workflow.kinds import NodeCall, WorkerResources, find_kind, python_call
from worker.workflow.kinds.python_call import KIND, allow
from worker.workflow.schemas import validator, violations

HERE = NodeAddress(uuid.UUID(int=1), datetime(2026, 1, 1, tzinfo=UTC), "p")
ROWS = [{"n": 1, "who": "Ada"}, {"n": 3, "who": "=cmd()"}, {"n": None, "who": "Ada", "more": [1]}]


def answer(*, n: int = 1) -> int:
    return n + 1


async def later(call: NodeCall, n: int) -> str:
    return f"{call.key}-{n}"


@pytest.fixture(autouse=True)
def told_nothing():
    yield
    python_call._Allowed.names = None


def run(function: str, *allowed: str, box: ArtifactBox | None = None, **arguments):
    return KIND.run(
        NodeCall(
            run_id=HERE.run_id,
            run_created_at=HERE.run_created_at,
            node_id="p",
            attempt=1,
            key="k",
            config={"call": function, "arguments": arguments},
            timeout=timedelta(seconds=5),
            settings=Settings(worker=WorkerSettings(python_allowed=allowed)),
            resources=WorkerResources(),
            save=(box or ArtifactBox(HERE)).save,
        )
    )


def test_a_function_that_nobody_allows_is_not_even_imported():
    with pytest.raises(PolicyError, match="may not be called"):
        run("antigravity:anything")


def test_a_function_that_the_settings_list_is_called_by_name():
    assert run(f"{__name__}:answer", f"{__name__}:answer", n=4) == 5


def test_a_function_that_waits_gets_the_node_when_it_asks_for_it():
    assert run(f"{__name__}:later", f"{__name__}:later", n=2) == "k-2"


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        pytest.param("answer", {"wrong": 1}, "unexpected keyword argument 'wrong'", id="an-argument-too-many"),
        pytest.param("later", {}, "missing a required argument: 'n'", id="an-argument-too-few"),
        pytest.param("later", {"call": 1, "n": 1}, "what the node itself gives", id="the-node-as-argument"),
        pytest.param("gone", {}, "cannot be loaded", id="no-such-function"),
        pytest.param("ROWS", {}, "is not a function", id="not-a-function"),
    ],
)
def test_a_call_that_cannot_be_made_says_why(name, arguments, reason):
    full = f"{__name__}:{name}"
    with pytest.raises(InputError, match=reason):
        run(full, full, **arguments)


def test_a_definition_is_refused_when_it_calls_what_the_settings_do_not_list():
    config = {"call": "os:system"}
    assert list(KIND.check(config)) == []  # Nobody has told what is allowed; the node itself will refuse.
    allow(["acme.invoices:total"])
    ((path, reason),) = KIND.check(config)
    assert path == ("call",)
    assert "neither an entry point" in reason
    assert list(KIND.check({"call": "acme.invoices:total"})) == []
    assert list(KIND.check({"call": "worker.functions.tables:profile"})) == []


@pytest.mark.parametrize("name", ["os.system", "os:system()", "a b:c", ":x", "x:"])
def test_a_name_of_another_form_is_no_name(name):
    assert violations(validator(dict(KIND.config_schema)), {"call": name})


def test_what_a_function_s_code_is_is_part_of_the_key_of_its_results(tmp_path, monkeypatch):
    module = tmp_path / "changing_functions.py"
    module.write_text("def f(): return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = KIND.fingerprint({"call": "changing_functions:f"}, None)
    assert KIND.fingerprint({"call": "changing_functions:f"}, None) == before
    module.write_text("def f(): return 2\n")
    assert KIND.fingerprint({"call": "changing_functions:f"}, None) != before
    assert KIND.fingerprint({"call": "no_such_module:f"}, None)


def test_shipped_profile_of_a_table_tells_what_its_columns_hold():
    assert find_kind("python") is KIND
    found = run("worker.functions.tables:profile", rows=ROWS)
    assert found["rows"] == 3
    number, text, more = found["columns"]
    assert number == {
        "name": "n", "type": "number", "values": 2, "missing": 1, "min": 1, "max": 3, "mean": 2.0, "median": 2.0
    }  # fmt: skip
    assert text["most_frequent"][0] == {"value": "Ada", "count": 2}
    assert more["missing"] == 2


def test_shipped_csv_is_saved_and_holds_no_formula():
    box = ArtifactBox(HERE)
    found = run("worker.functions.tables:to_csv", box=box, rows=ROWS, name="people.csv")
    (row,) = box.rows
    assert row.content == b"n,who,more\r\n1,Ada,\r\n3,'=cmd(),\r\n,Ada,[1]\r\n"
    assert found["file"] == {
        "artifact": str(row.id), "name": "people.csv", "media_type": "text/csv", "size_bytes": len(row.content)
    }  # fmt: skip
