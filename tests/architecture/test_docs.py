"""Documents and code say the same."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from analytics.core.settings import McpSettings, Settings
from analytics.core.source import read_source
from analytics.slo.specs.formats import read_text
from worker.mcp.config import load_servers
from worker.workflow.definition import parse_definition
from worker.workflow.kinds import registry

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_reference_pages_are_what_the_code_says():
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"run python docs/generate.py: {done.stdout}{done.stderr[-2000:]}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_inside_the_documents_lead_somewhere(path):
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8"))
    inside = [target for target in targets if "://" not in target and not target.startswith("mailto:")]
    assert [target for target in inside if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_paths_named_in_the_documents_exist(path):
    named = re.findall(
        r"`((?:analytics|worker|dashboard|tests|benchmarks|scripts|docs)/[\w./-]*\w/?)`", path.read_text("utf-8")
    )
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_command_of_the_readme_exists():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for script in re.findall(r"^(scripts/\w+)", readme, re.MULTILINE):
        assert (ROOT / script).exists(), script


def test_every_decision_record_has_its_parts():
    for path in (ROOT / "docs" / "adr").glob("*.md"):
        text = path.read_text(encoding="utf-8")
        for part in ("**Status:**", "## Context", "## Decision", "## Consequences", "## Paths"):
            assert part in text, f"{path.name} has no {part}"


def test_the_newest_change_stands_in_the_changelog():
    assert "## Unreleased" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


GUIDE = (ROOT / "docs" / "workflows.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "example", re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL), ids=lambda text: text.split()[1]
)
def test_the_example_workflows_of_the_guide_are_accepted(example):
    definition = parse_definition(example)
    assert parse_definition(definition.to_spec()) == definition


def test_the_example_in_python_of_the_guide_builds_a_definition():
    [example] = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    found: dict = {}
    exec(example, found)  # noqa: S102 - our own document
    assert [node.id for node in found["definition"].nodes] == ["each", "route", "say"]


OBJECTIVES = (ROOT / "docs" / "slos.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "example", re.findall(r"```yaml\n(.*?)```", OBJECTIVES, re.DOTALL), ids=lambda text: text.split()[3]
)
def test_the_example_objectives_of_the_guide_are_accepted(example):
    [parsed] = read_text(example, strict=True)
    assert parsed.problems == ()


@pytest.mark.parametrize("kind", sorted(registry()), ids=str)
def test_the_examples_of_each_kind_of_node_are_accepted(kind):
    """They are parts of a definition: what they need is put before them."""
    examples = re.findall(r"```yaml\n(.*?)```", registry()[kind].docs, re.DOTALL)
    for example in examples:
        nodes = [item for item in read_source(example).value if kind == item["kind"]]
        assert nodes
        for node in nodes:
            read = {name for name in re.findall(r"nodes\.(\w+)", str(node)) if name not in str(node.get("body"))}
            before = [{"id": name, "kind": "transform", "config": {"input": 1, "steps": []}} for name in sorted(read)]
            parse_definition({"name": "example", "nodes": [*before, {**node, "needs": sorted(read)}]})
    assert examples or kind.startswith("test.")


def test_the_example_servers_file_of_the_documents_is_accepted(tmp_path):
    text = (ROOT / "docs" / "mcp.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    path = tmp_path / "servers.json"
    path.write_text(example, encoding="utf-8")
    servers = load_servers(Settings(mcp=McpSettings(servers_file=path)))
    assert servers["time"].problem is None
    assert not servers["time"].allows("convert_time")
