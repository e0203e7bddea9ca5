"""Documents and code say the same."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from analytics.core.settings import McpSettings, Settings
from worker.mcp.config import load_servers
from worker.workflow.definition import parse_definition

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


def test_the_example_workflow_of_the_documents_is_accepted():
    text = (ROOT / "docs" / "workflows.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert [node.id for node in parse_definition(example).nodes] == ["count", "sentence"]


def test_the_example_servers_file_of_the_documents_is_accepted(tmp_path):
    text = (ROOT / "docs" / "mcp.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    path = tmp_path / "servers.json"
    path.write_text(example, encoding="utf-8")
    servers = load_servers(Settings(mcp=McpSettings(servers_file=path)))
    assert servers["time"].problem is None
    assert not servers["time"].allows("convert_time")
