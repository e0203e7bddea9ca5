"""Going from one page to another with what the reader chose."""

from typing import NoReturn

import streamlit as st

from dashboard.filters import RANGE_KEY, REFRESH_KEY, Filters
from dashboard.links import page_of, query


def go(key: str, filters: Filters, **extra: object) -> NoReturn:
    """Go to the page *key* with its own parameters *extra*; None is left out.

    Range and rhythm stay in the URL by themselves: they are bound to their widgets, and Streamlit lets nobody else
    write them. Links that are drawn carry them, for readers who open a new tab.
    """
    own = {name: value for name, value in query(filters, **extra).items() if name not in {RANGE_KEY, REFRESH_KEY}}
    st.switch_page(str(page_of(key).path), query_params=own)
