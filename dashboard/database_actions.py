"""What administrators can do with the database on its page: have advised indexes made, and dropped again."""

from analytics.database import request_drop, request_index
from analytics.database.model import MadeIndex
from analytics.store.engine import session_scope
from dashboard import database_questions
from dashboard.auth.roles import Role
from dashboard.auth.viewer import current_viewer, require
from dashboard.context import get_context


def make_index(advice: str) -> MadeIndex:
    """Ask for the index that is advised as *advice*; see :func:`analytics.database.making.request_index`."""
    viewer = current_viewer()
    require(viewer, Role.ADMIN, doing="make an index")
    with session_scope(get_context().engine) as session:
        asked = request_index(session, advice, actor=viewer.actor)
    database_questions.database_made_indexes.forget()
    return asked


def drop_index(name: str) -> MadeIndex:
    """Ask for an index to be dropped; see :func:`analytics.database.making.request_drop`."""
    viewer = current_viewer()
    require(viewer, Role.ADMIN, doing="drop an index")
    with session_scope(get_context().engine) as session:
        asked = request_drop(session, name, actor=viewer.actor)
    database_questions.database_made_indexes.forget()
    return asked
