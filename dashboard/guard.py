"""The edge of pages: whatever goes wrong while one is drawn becomes words on it, and a line in the log.

One of the three places that catch unknown errors. ``guarded`` wraps a page, ``live`` a part of one that renews itself.
"""

from collections.abc import Callable
from datetime import timedelta

import streamlit as st

from analytics.core.errors import DependencyError, InputError, NotFoundError, PolicyError
from analytics.core.logging import correlated, get_logger
from dashboard.auth.sessions import SessionEndedError
from dashboard.components import states
from dashboard.context import get_context
from dashboard.reading import MEMORY

_log = get_logger(__name__)
_SHOWN = "_outages_shown"


def guarded(draw: Callable[[], None], *, name: str) -> None:
    """Call *draw*; an error becomes a state on the page, and one we did not foresee a log line with its number."""
    with correlated() as correlation:
        try:
            draw()
        except SessionEndedError as error:
            states.signed_out(error.message, change_password=bool(error.context.get("change_password")))
        except PolicyError as error:
            states.no_permission(error.message)
        except NotFoundError as error:
            states.missing(error.message)
        except InputError as error:
            states.refused(error)
        except DependencyError as error:
            part = str(error.context.get("part", "postgres"))
            states.away([MEMORY.failed(home(), part, error.message)])
        except Exception:  # noqa: BLE001 - one of the three edges
            _log.exception("page_failed", page=name)
            states.broken(correlation)


def home() -> str:
    """Return what tells this process' context from another's, in tests and after a restart."""
    return get_context().started_at.isoformat()


def live(draw: Callable[[], None], *, name: str, every: timedelta | None) -> None:
    """Draw a part of a page that renews itself each *every*; None draws it once.

    When a part went away, or came back, since the page was last drawn in full, the whole page is drawn again.
    """

    def tick() -> None:
        guarded(draw, name=name)
        shown = st.session_state.get(_SHOWN)
        if every is not None and shown is not None and shown != outages_now():
            st.session_state[_SHOWN] = outages_now()
            st.rerun()

    tick.__name__ = tick.__qualname__ = f"live_{name}"
    st.fragment(tick, run_every=every)()


def outages_now() -> tuple[str, ...]:
    """Return the parts known to be away, in order."""
    return tuple(sorted(outage.part for outage in MEMORY.outages(home())))


def note_outages_shown() -> None:
    """Remember which outages the page shows, so that a live part can tell when they change."""
    st.session_state[_SHOWN] = outages_now()
