"""The viewer's time zone, as the browser tells it."""

from zoneinfo import ZoneInfo

import streamlit as st

from dashboard import formats


def viewer_zone() -> ZoneInfo:
    """Return the zone of the browser that looks at the page that runs now; UTC when it did not say."""
    return formats.zone_named(st.context.timezone)
