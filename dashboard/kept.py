"""What pages and the API read alike and keep together, in the shared caches of the process."""

from analytics.live.cache import cached, user_tag
from analytics.store.engine import session_scope
from analytics.store.queries import views
from dashboard.context import AppContext


@cached("users", of=list[views.SavedViewRow], tags=lambda owner, _: ("views", user_tag(owner)))
def views_of(context: AppContext, owner: str, page: str) -> list[views.SavedViewRow]:
    """Return the views of *page* that *owner* keeps and that others share."""
    with session_scope(context.engine) as session:
        return list(views.list_views(session, owner=owner, page=page))
