"""Taking an objective of any format into the editor: from a file, or pasted."""

from collections.abc import Callable

import streamlit as st

from analytics.slo.model import Objective
from analytics.slo.specs.formats import Parsed, read_text
from analytics.slo.specs.problems import Level
from dashboard import actions, formats
from dashboard.components.editor import imported_text

_MOST_SHOWN = 12


def draw(key: str, *, take: Callable[[Objective], None]) -> None:
    """Draw the choice of a text and of one objective in it; *take* puts that one into the editor."""
    st.caption("Helmsight, Sloth, OpenSLO, Pyrra or slo-generator, in YAML or JSON. Nothing is saved yet.")
    file = st.file_uploader("File", type=["yaml", "yml", "json"], key=f"slo_editor.file.{key}", max_upload_size=4)
    pasted = st.text_area("Or paste it", key=f"slo_editor.pasted.{key}", height=120)
    text = pasted if file is None else actions.attempt(lambda: imported_text(file.getvalue()))
    if not text:
        return
    parsed = read_text(text, name="text" if file is None else file.name)
    _draw_problems(parsed)
    found = [objective for part in parsed for objective in part.objectives]
    if not found:
        st.warning("No objective in it can be used.", icon=":material/edit_note:")
        return
    chosen = st.selectbox(
        "Objective",
        found,
        format_func=lambda objective: f"{objective.title} ({objective.id})",
        key=f"slo_editor.imported.{key}",
    )
    st.button("Take into the editor", icon=":material/check:", key="slo_editor.import", on_click=take, args=(chosen,))


def _draw_problems(parsed: list[Parsed]) -> None:
    problems = [(part.source, problem) for part in parsed for problem in part.problems]
    for source, problem in problems[:_MOST_SHOWN]:
        colour = "red" if problem.level is Level.ERROR else "orange"
        where = f"`{problem.path}` " if problem.path else ""
        hint = f" ({formats.escaped(problem.hint)})" if problem.hint else ""
        st.markdown(
            f":{colour}[:material/{'error' if problem.level is Level.ERROR else 'warning'}:] {formats.escaped(source)}:"
            f" {where}{formats.escaped(problem.message)}{hint}"
        )
    if len(problems) > _MOST_SHOWN:
        st.caption(f"and {len(problems) - _MOST_SHOWN} more")
