"""Reading at the start what the first visitors are about to ask, so that they do not wait for it.

That is the first screen over the default range, the runs that are under way, who works with whom and how well, and the
contexts in use.
"""

import importlib
import threading
from collections.abc import Iterator

from analytics.core.errors import HelmsightError
from analytics.core.logging import get_logger
from dashboard.context import AppContext, get_context
from dashboard.filters import DEFAULT_RANGE, Span
from dashboard.reading import Question

_FIRST_S = 1.0
"""A visitor who is there already goes first."""

_log = get_logger(__name__)


def warm(context: AppContext, stopping: threading.Event) -> int:
    """Read ahead until *stopping*; return how many answers were read. What fails is read when somebody asks."""
    if stopping.wait(_FIRST_S):
        return 0
    read = 0
    for question, arguments in _wanted():
        if stopping.is_set() or get_context() is not context:
            break
        try:
            question.warm(*arguments)
            read += 1
        except HelmsightError as error:
            _log.info("answer_not_read_ahead", question=question.name, reason=error.message)
    _log.info("caches_warmed", answers=read)
    return read


def _wanted() -> Iterator[tuple[Question[..., object], tuple[object, ...]]]:
    data = importlib.import_module("dashboard.data")  # Streamlit's part of the process, imported ahead by then
    overview = importlib.import_module("dashboard.overview_questions")
    analytics = importlib.import_module("dashboard.analytics_questions")
    contexts = importlib.import_module("dashboard.context_questions")
    span = Span(DEFAULT_RANGE)
    yield data.health, ()
    yield overview.overview, (span,)
    yield data.slos, ()
    yield data.slo_trends, ()
    yield data.latest_runs, ()
    yield data.queue_state, ()
    yield data.graph_of_agents, (span,)
    yield analytics.ranking, (span,)
    yield contexts.context_usage, (span, "UTC")
