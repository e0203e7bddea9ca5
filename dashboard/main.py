"""The script behind every page: who is looking, what they may open, the head row, then the page."""

import time
from functools import partial
from pathlib import Path

import streamlit as st

from analytics.core.errors import HelmsightError
from analytics.core.telemetry import PAGE_SECONDS
from analytics.live.cache import read_anew
from dashboard import data, guard
from dashboard.auth.viewer import Viewer, current_viewer, require
from dashboard.components import head, states
from dashboard.components.account import draw_account
from dashboard.context import get_context
from dashboard.links import DEFAULT_PAGE, PAGES, PageSpec, page_of, pages_for
from dashboard.reading import MEMORY

LOGO = Path(__file__).parent / "assets" / "logo.svg"
MARK = Path(__file__).parent / "assets" / "mark.svg"
_WATCH_EVERY = "3s"


def _page(key: str, *, is_listed: bool = True) -> st.Page:
    spec = page_of(key)
    return st.Page(
        spec.path,
        title=spec.title,
        icon=spec.icon,
        url_path=None if key == DEFAULT_PAGE else key,
        default=key == DEFAULT_PAGE,
        visibility="visible" if is_listed else "hidden",
        help=spec.summary,
    )


def _navigation(viewer: Viewer) -> st.Page:
    groups = {
        group: [_page(spec.key, is_listed=spec.is_listed) for spec in specs]
        for group, specs in pages_for(viewer.role).items()
    }
    # Known, so that their addresses are answered with what is missing rather than with another page.
    closed = [_page(spec.key, is_listed=False) for spec in PAGES if viewer.role < spec.role]
    groups[page_of(DEFAULT_PAGE).group] += closed
    return st.navigation(groups, expanded=True)


def _viewer() -> Viewer:
    try:
        return current_viewer()
    except HelmsightError:
        # Without a navigation Streamlit would call the address unknown, and lose it.
        st.navigation([_page(spec.key) for spec in PAGES], position="hidden")
        raise


def _refuse(viewer: Viewer, spec: PageSpec) -> None:
    require(viewer, spec.role, doing=f"open {spec.title}")


def _watch() -> None:
    """Ask the parts that are away whether they are back, and draw the page anew when one is."""
    away = [outage.part for outage in MEMORY.outages(guard.home())]
    back = [part for part in away if data.probe(get_context(), part)]
    if back:
        st.rerun()


def _draw() -> None:
    viewer = _viewer()
    page = _navigation(viewer)
    spec = page_of(page.url_path or DEFAULT_PAGE)
    st.logo(LOGO, size="large", icon_image=MARK)
    draw_account(viewer)
    started = time.perf_counter()
    asked = head.draw_head(spec.title, spec.icon)
    if asked:
        data.forget_all()
    strip = st.container(key="outages")
    with read_anew(is_asked=asked):
        guard.guarded(page.run if viewer.role >= spec.role else partial(_refuse, viewer, spec), name=spec.key)
    outages = MEMORY.outages(guard.home())
    with strip:
        states.away(outages)
    guard.note_outages_shown()
    if outages:
        st.fragment(_watch, run_every=_WATCH_EVERY)()
    PAGE_SECONDS.labels(spec.key).observe(time.perf_counter() - started)


st.set_page_config(page_title="Helmsight", layout="wide")
guard.guarded(_draw, name="main")
