"""The head of every page: its title, the time range, and how often it renews itself, all kept in the URL."""

from datetime import UTC, datetime, timedelta

import streamlit as st

from analytics.core.clock import utc_now
from dashboard import filters
from dashboard.filters import CUSTOM, DEFAULT_RANGE, DEFAULT_REFRESH, RANGES, REFRESHES, Filters, Span
from dashboard.zone import viewer_zone

_SPAN = "_fixed_span"
_FORM_FROM, _FORM_TO = "range.from", "range.to"


def current_filters() -> Filters:
    """Return the filters of the page that runs now; to be called after :func:`draw_head`."""
    held: Filters | None = st.session_state.get("_filters")
    return held or Filters(Span(DEFAULT_RANGE))


def draw_head(title: str, icon: str) -> bool:
    """Draw the head row and settle the filters; return whether the reader asked to read everything anew."""
    _restore_fixed_span()
    _restore_url()
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key="head"):
        st.title(f"{icon} {title}", width="content", anchor=False)
        with st.container(
            horizontal=True, vertical_alignment="center", width="content", gap="xsmall", key="head.tools"
        ):
            name = st.segmented_control(
                "Time range",
                [*RANGES, CUSTOM] if st.session_state.get(_SPAN) else list(RANGES),
                default=DEFAULT_RANGE,
                key=filters.RANGE_KEY,
                bind="query-params",
                required=True,
                label_visibility="collapsed",
                on_change=_drop_fixed_span,
            )
            _custom_range()
            rhythm = st.selectbox(
                "Refresh",
                list(REFRESHES),
                index=list(REFRESHES).index(DEFAULT_REFRESH),
                key=filters.REFRESH_KEY,
                bind="query-params",
                label_visibility="collapsed",
                width=96,
                icon=":material/autorenew:",
                help="How often the page renews itself; `off` pauses it. A fixed time range does not renew itself.",
            )
            asked = st.button("Read again", icon=":material/refresh:", key="read_again", help="Read everything anew.")
    span: Span | None = st.session_state.get(_SPAN) if name == CUSTOM else None
    chosen = Filters(span or filters.parse_span(name), filters.parse_refresh(rhythm))
    st.session_state["_filters"] = chosen
    if span is not None:
        start, end = (
            moment.astimezone(viewer_zone()) for moment in (chosen.span.interval().since, span.interval().until)
        )
        st.caption(f":material/pause_circle: Fixed range {start:%d %b %Y %H:%M} to {end:%d %b %Y %H:%M %Z}.")
    return asked


def _restore_fixed_span() -> None:
    """Take a fixed range from the URL, or put the chosen one back into it after a change of page."""
    params = st.query_params
    if params.get(filters.RANGE_KEY) == CUSTOM or st.session_state.get(filters.RANGE_KEY) == CUSTOM:
        read = filters.parse_span(CUSTOM, params.get(filters.FROM_KEY), params.get(filters.TO_KEY))
        if read.is_fixed:
            st.session_state[_SPAN] = read
        held: Span | None = st.session_state.get(_SPAN)
        if held is not None and held.since is not None and held.until is not None and not read.is_fixed:
            params[filters.FROM_KEY] = filters.stamp(held.since)
            params[filters.TO_KEY] = filters.stamp(held.until)


def _restore_url() -> None:
    """Write the filters into the URL again after a change of page from the script, which takes them out.

    They are bound to their widgets, so the way to do that is to set what the widgets already hold.
    """
    for key, default in ((filters.RANGE_KEY, DEFAULT_RANGE), (filters.REFRESH_KEY, DEFAULT_REFRESH)):
        held = st.session_state.get(key)
        if held is not None and held != default and key not in st.query_params:
            st.session_state[key] = held


def _drop_fixed_span() -> None:
    """Forget the fixed range when a quick one was chosen."""
    if st.session_state.get(filters.RANGE_KEY) != CUSTOM:
        st.session_state.pop(_SPAN, None)
        for key in (filters.FROM_KEY, filters.TO_KEY):
            st.query_params.pop(key, None)


def _custom_range() -> None:
    """Draw the choice of a fixed range, in the viewer's zone."""
    zone = viewer_zone()
    held = current_filters().span.interval()
    with (
        st.popover("Custom", icon=":material/calendar_month:", key="range.popover", help="Choose a fixed time range."),
        st.form("range.form", border=False),
    ):
        start = _naive(held.since.astimezone(zone))
        end = _naive(held.until.astimezone(zone))
        st.datetime_input(
            f"From ({zone.key})", value=start, key=_FORM_FROM, format="YYYY-MM-DD", step=timedelta(minutes=5)
        )
        st.datetime_input("To", value=end, key=_FORM_TO, format="YYYY-MM-DD", step=timedelta(minutes=5))
        st.form_submit_button("Apply", on_click=_apply_fixed_span, key="range.apply")


def _naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None, second=0, microsecond=0)


def _apply_fixed_span() -> None:
    zone = viewer_zone()
    typed = [st.session_state.get(key) for key in (_FORM_FROM, _FORM_TO)]
    if not all(isinstance(moment, datetime) for moment in typed):
        return
    start, end = (moment.replace(tzinfo=zone).astimezone(UTC) for moment in typed if isinstance(moment, datetime))
    end = min(end, utc_now())
    if start >= end:
        st.toast("The range must end after it starts, and start in the past.", icon=":material/warning:")
        return
    st.session_state[_SPAN] = filters.fixed(start, end)
    st.session_state[filters.RANGE_KEY] = CUSTOM
    st.query_params[filters.FROM_KEY] = filters.stamp(start)
    st.query_params[filters.TO_KEY] = filters.stamp(end)
