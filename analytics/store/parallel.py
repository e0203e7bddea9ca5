"""Several questions to PostgreSQL at once, each in a transaction of its own."""

import contextvars
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from analytics.store.engine import session_scope

T = TypeVar("T")

_executors: "WeakKeyDictionary[Engine, ThreadPoolExecutor]" = WeakKeyDictionary()
_lock = threading.Lock()
_within = threading.local()


def gather(engine: Engine, questions: Mapping[str, Callable[[Session], T]]) -> dict[str, T]:
    """Ask all *questions* at the same time and return the answers by name, in the order of *questions*.

    Each sees the database as it is when it begins, so two answers may be a moment apart. All gatherings of a process
    together use at most half of the connections that *engine* keeps, so that they exhaust no pool; a question that
    never touches its session takes none. Do not call it while holding a session: the caller's connection would wait.

    Raises:
        HelmsightError: What the first of the failing questions raised, in the order of *questions*, once all ended.
    """
    if len(questions) < 2 or getattr(_within, "gathering", False):  # noqa: PLR2004 - nothing to share
        return {name: _ask(engine, question) for name, question in questions.items()}
    executor = _executor(engine)
    asked = {
        name: executor.submit(contextvars.copy_context().run, partial(_inside, engine, question))
        for name, question in questions.items()
    }
    wait_for(asked.values())
    return {name: future.result() for name, future in asked.items()}


def _inside(engine: Engine, question: Callable[[Session], Any]) -> Any:
    _within.gathering = True
    return _ask(engine, question)


def _ask(engine: Engine, question: Callable[[Session], Any]) -> Any:
    with session_scope(engine) as session:
        return question(session)


def _executor(engine: Engine) -> ThreadPoolExecutor:
    with _lock:
        found = _executors.get(engine)
        if found is None:
            size = engine.pool.size() if isinstance(engine.pool, QueuePool) else 2
            found = ThreadPoolExecutor(max_workers=max(1, size // 2), thread_name_prefix="gather")
            _executors[engine] = found
        return found
