"""The text of a definition, to be written: line numbers, marks at what is wrong, proposals of kinds and ids.

Drawn by CodeMirror in the browser. What is typed reaches the page after a short pause, or when the reader turns to
something else; leaving the site with changes that are not stored asks first.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.components.graph.registration import renderer


def source_text(
    text: str,
    *,
    key: str,
    revision: int,
    saved: str | None,
    problems: Sequence[Mapping[str, Any]] = (),
    kinds: Sequence[Mapping[str, str]] = (),
    go_to: tuple[int, int] | None = None,
    read_only: bool = False,
    height: int = 560,
    label: str = "Definition (YAML or JSON)",
) -> None:
    """Draw the text; :func:`typed_text` tells what was typed.

    Args:
        text: What stands there at first, and whenever *revision* changes.
        key: Unique on the page.
        revision: A number of this text; with another one the text is replaced.
        saved: What is stored; the reader is warned before losing anything else. None: no warning.
        problems: ``line`` (from 1, or None) and ``reason`` each.
        kinds: ``name`` and ``title`` of what can follow ``kind:``.
        go_to: A line to show, and a number that changes when it is to be shown again.
        read_only: Whether it can only be read.
        height: In pixels.
        label: What the text is, for screen readers.
    """
    renderer("source")(
        key=key,
        data={
            "text": text,
            "revision": revision,
            "saved": saved,
            "problems": [{"line": problem.get("line"), "reason": str(problem.get("reason"))} for problem in problems],
            "kinds": [dict(kind) for kind in kinds],
            "goTo": None if go_to is None else {"line": go_to[0], "number": go_to[1]},
            "readOnly": read_only,
            "height": height,
            "label": label,
        },
        on_source_change=_no_reaction,
    )


def typed_text(key: str, revision: int) -> str | None:
    """Return what was typed into the text of *revision* on this page, or None when nothing was."""
    state: Mapping[str, Any] = st.session_state.get(key) or {}
    source = state.get("source")
    if not isinstance(source, Mapping) or source.get("revision") != revision:
        return None
    return str(source.get("text", ""))


def _no_reaction() -> None:
    """Stand in for a callback: Streamlit keeps only values that have one."""
