"""Facts about contexts, brought into the table of contexts."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from analytics.contexts.model import ContextEvent


def take_in(session: Session, rows: Sequence[ContextEvent]) -> int:
    """Create, archive and touch the contexts that *rows* tell of; return how many contexts that concerns.

    The same rows twice, or in another order, lead to the same table: times only ever move forward, and what was said
    later replaces what was said earlier. A context that is read before anybody created it is known from then on, with
    its id as name.
    """
    raise NotImplementedError


def note_use(session: Session) -> int:
    """Bring up when contexts were last read and written from the facts; return how many rows changed.

    For facts that were written past :func:`take_in`, such as the demo's by COPY. Reads every fact of a context once.
    """
    raise NotImplementedError
