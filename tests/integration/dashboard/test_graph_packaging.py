"""The graph component is found in a wheel that was built here, and in the editable install that runs the tests."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]

FIND = """
import json, sys
sys.path.insert(0, sys.argv[1])
from streamlit.components.v2.manifest_scanner import scan_component_manifests
from streamlit.components.v2.component_manager import BidiComponentManager
manager = BidiComponentManager()
for manifest, root in scan_component_manifests():
    if manifest.name == "helmsight":
        manager.register_from_manifest(manifest, root)
folder = manager.get_component_asset_root("helmsight.graph")
definition = manager.build_definition_with_validation(
    component_key="helmsight.graph", html=None, css=None, js="graph-*.js"
)
print(json.dumps({"folder": str(folder), "js": definition.js_asset_relative_path}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    [path] = folder.glob("helmsight-*.whl")
    return path


def test_the_wheel_holds_the_bundle_its_licence_and_what_streamlit_reads(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    folder = "dashboard/components/graph/"
    assert f"{folder}pyproject.toml" in names
    assert f"{folder}assets/LICENSE.cytoscape.txt" in names
    assert len([name for name in names if name.startswith(f"{folder}assets/graph-") and name.endswith(".js")]) == 1


def test_the_wheel_leaves_the_sources_of_the_bundle_out(wheel: Path):
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if "/frontend/" in name or "node_modules" in name]


def test_streamlit_finds_the_component_of_an_installed_wheel(wheel: Path, tmp_path: Path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FIND, str(tmp_path / "site")],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["folder"] == str((tmp_path / "site/dashboard/components/graph/assets").resolve())
    assert found["js"].startswith("graph-")
