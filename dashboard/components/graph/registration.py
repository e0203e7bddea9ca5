"""Tells Streamlit of the components whose browser part is in ``assets``."""

import functools
import tomllib
from pathlib import Path

import streamlit as st
from streamlit.components.v2.get_bidi_component_manager import get_bidi_component_manager
from streamlit.components.v2.manifest_scanner import ComponentConfig, ComponentManifest
from streamlit.components.v2.types import ComponentRenderer

_FOLDER = Path(__file__).parent


def renderer(name: str) -> ComponentRenderer:
    """Return what draws the component *name* of our manifest, with the bundle of that name."""
    _declare(f"helmsight.{name}")
    return _registered(name)


@functools.cache
def _registered(name: str) -> ComponentRenderer:
    return st.components.v2.component(f"helmsight.{name}", js=f"{name}-*.js")


def _declare(full_name: str) -> None:
    """Tell Streamlit where our files are, unless it found them itself.

    It finds them in an installed wheel. In an editable install it looks only for a package named as the
    distribution, which we do not have.
    """
    manager = get_bidi_component_manager()
    if manager.get_component_asset_root(full_name) is None:
        manager.register_from_manifest(_manifest(), _FOLDER)


@functools.cache
def _manifest() -> ComponentManifest:
    content = tomllib.loads((_FOLDER / "pyproject.toml").read_text(encoding="utf-8"))
    project, components = content["project"], content["tool"]["streamlit"]["component"]["components"]
    return ComponentManifest(
        name=project["name"],
        version=project["version"],
        components=[ComponentConfig.from_dict(component) for component in components],
    )
