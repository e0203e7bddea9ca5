"""The house rules that a linter cannot know, each as a test that names the place that breaks it."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase

from analytics.core import telemetry

ROOT = Path(__file__).parents[2]
PACKAGES = ("analytics", "worker", "dashboard")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

# Where unknown errors end: the page guard, the HTTP handlers, the runtime of jobs and runs, the command line.
BROAD_EXCEPT_EDGES = {
    "dashboard/app.py",
    "dashboard/guard.py",
    "dashboard/cli.py",
    "worker/runtime.py",
}
# The one place that reads the environment, and those that hand one on to child processes.
ENVIRONMENT_READERS = {"analytics/core/settings.py"}
COMMIT_SCOPES = {"analytics/store/engine.py", "analytics/store/migrate.py"}


@cache
def trees() -> list[tuple[str, ast.Module]]:
    return [(path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))) for path in SOURCES]


@pytest.fixture(scope="module", autouse=True)
def trees_are_kept_for_these_tests_only() -> Iterator[None]:
    yield
    trees.cache_clear()


def places(matches, *, allowed: set[str] = frozenset()) -> list[str]:
    return [
        f"{name}:{node.lineno}"
        for name, tree in trees()
        if name not in allowed
        for node in ast.walk(tree)
        if matches(node)
    ]


def test_unknown_errors_are_caught_at_the_edges_only():
    def broad(node: ast.AST) -> bool:
        if not isinstance(node, ast.ExceptHandler):
            return False
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        names = {None if kind is None else ast.unparse(kind) for kind in caught}
        reraises = any(isinstance(inner, ast.Raise) and inner.exc is None for inner in ast.walk(node))
        return bool(names & {None, "Exception", "BaseException"}) and not reraises

    assert places(broad, allowed=BROAD_EXCEPT_EDGES) == []


def test_only_the_settings_read_the_environment():
    def reads(node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.environ", "os.getenv", "os.environb"}

    assert places(reads, allowed=ENVIRONMENT_READERS) == []


def test_transactions_are_committed_by_scopes_only():
    def commits(node: ast.AST) -> bool:
        return (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "commit"
            and "session" in ast.unparse(node.func.value).lower()
        )

    assert places(commits, allowed=COMMIT_SCOPES) == []


def test_only_the_data_module_caches_in_streamlit():
    def caches(node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute) and ast.unparse(node) in {"st.cache_data", "st.cache_resource"}

    assert places(caches, allowed={"dashboard/data.py"}) == []


def test_redis_is_never_scanned_with_keys():
    def scans(node: ast.AST) -> bool:
        return (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "keys"
            and any(word in ast.unparse(node.func.value).lower() for word in ("redis", "client", "valkey"))
        )

    assert places(scans) == []


@pytest.mark.parametrize("word", ["utils", "helpers", "manager", "common", "misc"])
def test_no_module_hides_behind_an_empty_name(word):
    assert [path for path in SOURCES if word in path.stem.split("_")] == []


def test_every_module_says_what_it_is():
    silent = [name for name, tree in trees() if ast.get_docstring(tree) is None]
    assert silent == []


def test_files_stay_readable():
    long = {path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: lines for name, lines in long.items() if lines > 700} == {}


def test_functions_stay_readable():
    long = [
        f"{name}:{node.lineno} {node.name}"
        for name, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno > 75
    ]
    assert long == []


def test_every_job_says_why_it_is_safe_to_run_twice():
    silent = []
    for name, tree in trees():
        if not name.startswith("worker/jobs/") or name.endswith("__init__.py"):
            continue
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                doc = (ast.get_docstring(node) or "").lower()
                if "twice" not in doc:
                    silent.append(f"{name}:{node.lineno} {node.name}")
    assert silent == []


def test_every_metric_that_is_declared_is_measured_somewhere():
    declared = {name for name, value in vars(telemetry).items() if isinstance(value, MetricWrapperBase)}
    used = {
        node.id
        for name, tree in trees()
        if name != "analytics/core/telemetry.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Name)
    }
    assert len(declared) > 40
    assert declared - used == set()


def test_nothing_names_a_package_registry():
    hosts = ("pypi" + ".org", "python" + "hosted", "npmjs" + ".org", "npmjs" + ".com/-/", "deb" + ".debian")
    listed = (ROOT / path for path in ("requirements.txt", "requirements-dev.txt", "README.md", "pyproject.toml"))
    files = [*listed, *ROOT.glob("docs/**/*.md"), *ROOT.glob("**/package-lock.json"), *ROOT.glob("scripts/*")]
    naming = [
        path.relative_to(ROOT).as_posix()
        for path in files
        if path.is_file()
        and ".venv" not in path.parts
        and "node_modules" not in path.parts
        and any(host in path.read_text(encoding="utf-8") for host in hosts)
    ]
    assert naming == []
