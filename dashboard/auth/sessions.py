"""Who a cookie, a token or a session id stands for, checked against PostgreSQL and remembered for seconds.

Every request and every page run asks; the answer is kept for :data:`FRESH_FOR` so that a page with a hundred requests
asks PostgreSQL once. While PostgreSQL is away, an answer not older than :data:`TRUSTED_FOR` stands, so that pages can
say what is away instead of throwing people out.
"""

import hashlib
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from anyio import to_thread
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.core.errors import DependencyError, PolicyError
from analytics.core.settings import AuthSettings
from analytics.store.engine import session_scope
from analytics.store.queries import identity
from dashboard.auth.roles import Role

COOKIE_NAME = "helmsight_session"
TOKEN_PREFIX = "helm_"  # noqa: S105 - what API tokens begin with, not a token
FRESH_FOR = timedelta(seconds=5)
TRUSTED_FOR = timedelta(minutes=15)
_TOUCH_EVERY = timedelta(seconds=60)
_MOST_REMEMBERED = 20_000


class SessionEndedError(PolicyError):
    """The session ended, expired, or never was; signing in again helps."""

    code = "session_ended"
    status = 401


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who is looking or asking, and what they may do."""

    email: str
    name: str
    role: Role
    session_id: uuid.UUID | None = None
    """The sign-in, when it is a person in a browser."""
    token_id: uuid.UUID | None = None
    """The API token, when it is a program."""
    token_prefix: str | None = None
    must_change_password: bool = False
    """Whether the password was given out for one use; nothing else may be done before it is changed."""

    @property
    def actor(self) -> str:
        """Return how the audit log names them."""
        return f"token:{self.token_prefix}" if self.token_prefix is not None else self.email


@dataclass(slots=True)
class _Remembered:
    viewer: Viewer
    expires_at: datetime | None
    last_seen_at: datetime
    checked_at: float
    """Monotonic clock, seconds."""


def token_hash(secret: str) -> bytes:
    """Return the SHA-256 of a session or API token; only this is stored.

    The tokens are 256 random bits, so that a slow hash would add nothing.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


class SessionBook:
    """Answers whose a credential is; safe for threads, one in a process."""

    def __init__(self, engine: Engine, settings: AuthSettings) -> None:
        self._engine = engine
        self._settings = settings
        self._known: dict[tuple[str, bytes | uuid.UUID], _Remembered] = {}
        self._lock = threading.Lock()

    def of_cookie(self, value: str) -> Viewer:
        """Return who signed in with the cookie *value*.

        Raises:
            SessionEndedError: If the session is unknown, signed out, expired, or its account disabled.
            DependencyError: If PostgreSQL is away and the session was not seen lately.
        """
        digest = token_hash(value)
        return self._viewer(("cookie", digest), lambda session: self._read_session(session, digest=digest))

    def of_session(self, session_id: uuid.UUID) -> Viewer:
        """Return whose sign-in *session_id* is; raises as :meth:`of_cookie`."""
        return self._viewer(("session", session_id), lambda session: self._read_session(session, session_id=session_id))

    def of_token(self, secret: str) -> Viewer:
        """Return what the API token *secret* stands for: its owner, with the lower role of the two.

        Raises:
            SessionEndedError: If the token is unknown, revoked, expired, or its account disabled.
            DependencyError: If PostgreSQL is away and the token was not seen lately.
        """
        digest = token_hash(secret)
        return self._viewer(("token", digest), lambda session: self._read_token(session, digest=digest))

    def of_token_id(self, token_id: uuid.UUID) -> Viewer:
        """Do what :meth:`of_token` does, for a token known by its id."""
        return self._viewer(("token", token_id), lambda session: self._read_token(session, token_id=token_id))

    async def cookie(self, value: str) -> Viewer:
        """Do what :meth:`of_cookie` does, without holding up the event loop."""
        found = self._fresh(("cookie", token_hash(value)))
        return found if found is not None else await to_thread.run_sync(self.of_cookie, value)

    async def token(self, secret: str) -> Viewer:
        """Do what :meth:`of_token` does, without holding up the event loop."""
        found = self._fresh(("token", token_hash(secret)))
        return found if found is not None else await to_thread.run_sync(self.of_token, secret)

    async def again(self, viewer: Viewer) -> Viewer:
        """Check a known *viewer* again, as long-lived connections must; raises as :meth:`of_cookie`."""
        if viewer.session_id is not None:
            found = self._fresh(("session", viewer.session_id))
            return found if found is not None else await to_thread.run_sync(self.of_session, viewer.session_id)
        if viewer.token_id is not None:
            found = self._fresh(("token", viewer.token_id))
            return found if found is not None else await to_thread.run_sync(self.of_token_id, viewer.token_id)
        return viewer

    def forget(self, *, session_id: uuid.UUID | None = None, token_id: uuid.UUID | None = None) -> None:
        """Ask PostgreSQL again the next time this session or token is seen; without one, for all of them."""
        with self._lock:
            if session_id is None and token_id is None:
                self._known.clear()
                return
            gone = [
                key
                for key, entry in self._known.items()
                if (session_id is not None and entry.viewer.session_id == session_id)
                or (token_id is not None and entry.viewer.token_id == token_id)
            ]
            for key in gone:
                del self._known[key]

    def _fresh(self, key: tuple[str, bytes | uuid.UUID]) -> Viewer | None:
        entry = self._known.get(key)
        if entry is None or time.monotonic() - entry.checked_at > FRESH_FOR.total_seconds():
            return None
        return entry.viewer if self._still_runs(entry) else None

    def _viewer(self, key: tuple[str, bytes | uuid.UUID], read: Callable[[Session], _Remembered]) -> Viewer:
        found = self._fresh(key)
        if found is not None:
            return found
        try:
            with session_scope(self._engine) as session:
                entry = read(session)
        except SessionEndedError:
            with self._lock:
                self._known.pop(key, None)
            raise
        except DependencyError:
            known = self._known.get(key)
            if (
                known is None
                or time.monotonic() - known.checked_at > TRUSTED_FOR.total_seconds()
                or not self._still_runs(known)
            ):
                raise
            return known.viewer
        with self._lock:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            self._known[key] = entry
        return entry.viewer

    def _still_runs(self, entry: _Remembered) -> bool:
        return entry.expires_at is None or utc_now() < entry.expires_at

    def _read_session(
        self, session: Session, *, digest: bytes | None = None, session_id: uuid.UUID | None = None
    ) -> _Remembered:
        row = identity.find_session(session, token_hash=digest, session_id=session_id)
        now = utc_now()
        if row is None or row.revoked_at is not None or row.user.disabled_at is not None:
            raise SessionEndedError("You are signed out; nothing was done. Sign in again.")
        if now >= row.expires_at or now - row.last_seen_at >= self._settings.session_idle:
            raise SessionEndedError("Your session expired; nothing was done. Sign in again.")
        if now - row.last_seen_at >= min(_TOUCH_EVERY, self._settings.session_idle / 4):
            identity.touch_session(session, row.id, now=now)
        viewer = Viewer(
            email=row.user.email,
            name=row.user.name,
            role=Role.parse(row.user.role),
            session_id=row.id,
            must_change_password=row.user.must_change_password,
        )
        return _Remembered(viewer, row.expires_at, now, time.monotonic())

    def _read_token(
        self, session: Session, *, digest: bytes | None = None, token_id: uuid.UUID | None = None
    ) -> _Remembered:
        row = identity.find_token(session, token_hash=digest, token_id=token_id)
        now = utc_now()
        if row is None or row.revoked_at is not None or row.user.disabled_at is not None:
            raise SessionEndedError("This API token is not valid; nothing was done. Make a new one on the Admin page.")
        if row.expires_at is not None and now >= row.expires_at:
            raise SessionEndedError("This API token expired; nothing was done. Make a new one on the Admin page.")
        if row.user.must_change_password:
            raise SessionEndedError("The owner of this API token must first change a one-time password.")
        if row.last_used_at is None or now - row.last_used_at >= _TOUCH_EVERY:
            identity.touch_token(session, row.id, now=now)
        viewer = Viewer(
            email=row.user.email,
            name=row.name,
            role=min(Role.parse(row.role), Role.parse(row.user.role)),
            token_id=row.id,
            token_prefix=row.prefix,
        )
        return _Remembered(viewer, row.expires_at, now, time.monotonic())
