"""Accounts of people and tokens of programs: made, checked, changed. Pages, routes and the command line use it."""

import re
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from analytics.core.clock import require_aware, utc_now
from analytics.core.errors import InputError, NotFoundError, PolicyError
from analytics.core.ids import new_secret
from analytics.core.settings import AuthSettings
from analytics.core.telemetry import LOGINS
from analytics.store.engine import session_scope
from analytics.store.queries import audit, identity
from dashboard.auth import throttle
from dashboard.auth.roles import Role
from dashboard.auth.sessions import TOKEN_PREFIX, token_hash

MIN_PASSWORD = 10
MAX_PASSWORD = 1024
MAX_TOKEN_LIFE = timedelta(days=366)
_SHOWN_PREFIX = len(TOKEN_PREFIX) + 6
_EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,255}")
_MAX_NAME = 200
_MAX_AGENT = 400
_MAX_ACTOR = 320
_KEEP_ENDED = timedelta(days=30)

_hasher = PasswordHasher()


class SignInRefusedError(PolicyError):
    """E-mail and password do not belong together; which of the two is wrong is not told."""

    code = "sign_in_refused"
    status = 401


@dataclass(frozen=True, slots=True)
class SignIn:
    """A fresh sign-in; *token* goes into the cookie and is not kept anywhere else."""

    token: str
    session_id: uuid.UUID
    user: identity.UserRow


def create_user(
    session: Session, *, email: str, name: str, role: Role, password: str, must_change_password: bool = False
) -> identity.UserRow:
    """Add an account.

    Args:
        session: The caller's transaction.
        email: What the person signs in with; case does not matter.
        name: What pages call them.
        role: What they may do.
        password: At least 10 characters.
        must_change_password: Whether *password* was given out for one use.

    Raises:
        InputError: If the e-mail, the name or the password cannot be used.
        ConflictError: If the e-mail is taken.
    """
    email = email.strip()
    if not _EMAIL.fullmatch(email):
        raise InputError(f"{email[:80]!r} is not an e-mail address; no account was made.")
    return identity.add_user(
        session,
        email=email,
        name=_checked_name(name),
        role=role.label,
        password_hash=_hasher.hash(checked_password(password, email=email)),
        must_change_password=must_change_password,
    )


def checked_password(password: str, *, email: str) -> str:
    """Return *password* if it may be used.

    Raises:
        InputError: If it is too short, too long, or the e-mail itself.
    """
    if len(password) < MIN_PASSWORD:
        raise InputError(
            f"A password has at least {MIN_PASSWORD} characters; nothing was changed. Choose a longer one."
        )
    if len(password) > MAX_PASSWORD:
        raise InputError(f"A password has at most {MAX_PASSWORD} characters; nothing was changed.")
    if password.lower() in {email.lower(), email.lower().partition("@")[0]} or len(set(password)) < 3:  # noqa: PLR2004
        raise InputError("This password is too easy to guess; nothing was changed. Choose another one.")
    return password


def verify_password(credentials: identity.Credentials | None, password: str) -> bool:
    """Tell whether *password* is the one of *credentials*.

    An unknown account takes as long as a known one, so that time does not tell which accounts exist.
    """
    stored = credentials.password_hash if credentials is not None else _nobody()
    try:
        _hasher.verify(stored, password[: MAX_PASSWORD + 1])
    except (VerificationError, InvalidHashError):
        return False
    return credentials is not None and len(password) <= MAX_PASSWORD


def sign_in(
    engine: Engine, settings: AuthSettings, *, email: str, password: str, address: str | None, user_agent: str | None
) -> SignIn:
    """Check a password and open a session; each outcome is counted and audited.

    Raises:
        LimitError: If the account or the address has failed too often.
        SignInRefusedError: If e-mail and password do not belong together, or the account is disabled.
        DependencyError: If PostgreSQL is away.
    """
    credentials = prove_password(engine, settings, email=email, password=password, address=address)
    known_address = throttle.known_address(address)
    with session_scope(engine) as session:
        if _hasher.check_needs_rehash(credentials.password_hash):
            identity.set_password(
                session,
                credentials.user.id,
                password_hash=_hasher.hash(password),
                must_change_password=credentials.user.must_change_password,
            )
        token, session_id = open_session(
            session, settings, user=credentials.user, address=known_address, user_agent=user_agent
        )
        identity.delete_old_sessions(session, before=utc_now() - _KEEP_ENDED)
        audit.record(session, actor=credentials.user.email, action="login.succeeded", address=known_address)
    LOGINS.labels("succeeded").inc()
    return SignIn(token, session_id, credentials.user)


def prove_password(
    engine: Engine, settings: AuthSettings, *, email: str, password: str, address: str | None
) -> identity.Credentials:
    """Return the account that *email* and *password* belong to; guesses are counted and refusals audited.

    Raises:
        LimitError: If the account or the address has failed too often.
        SignInRefusedError: If the two do not belong together, or the account is disabled.
        DependencyError: If PostgreSQL is away.
    """
    email = email.strip()
    now = utc_now()
    try:
        attempt = throttle.reserve(engine, email=email, address=address, settings=settings, now=now)
    except PolicyError:
        LOGINS.labels("throttled").inc()
        raise
    with session_scope(engine) as session:
        credentials = identity.find_credentials(session, email) if _EMAIL.fullmatch(email) else None
    if not verify_password(credentials, password) or credentials is None or credentials.user.disabled_at is not None:
        LOGINS.labels("refused").inc()
        with session_scope(engine) as session:
            audit.record(
                session,
                actor=email[:_MAX_ACTOR].lower(),
                action="login.refused",
                outcome=audit.REFUSED,
                address=throttle.known_address(address),
            )
        raise SignInRefusedError("E-mail and password do not match an account; you are not signed in. Try again.")
    throttle.forgive(engine, attempt, email=email, settings=settings, now=now)
    return credentials


def open_session(
    session: Session, settings: AuthSettings, *, user: identity.UserRow, address: str | None, user_agent: str | None
) -> tuple[str, uuid.UUID]:
    """Open a session of *user* and return its token, which is shown only here, and its id."""
    token = new_secret()
    now = utc_now()
    session_id = identity.add_session(
        session,
        user_id=user.id,
        token_hash=token_hash(token),
        now=now,
        expires_at=now + settings.session_ttl,
        address=address,
        user_agent=user_agent[:_MAX_AGENT] if user_agent else None,
    )
    return token, session_id


def end_session(session: Session, session_id: uuid.UUID, *, actor: str) -> bool:
    """Sign out; return whether the session was still open. Safe to run twice."""
    ended = identity.revoke_session(session, session_id, now=utc_now())
    if ended:
        audit.record(session, actor=actor, action="login.ended", object_type="session", object_id=str(session_id))
    return ended


def change_password(
    session: Session,
    *,
    user: identity.UserRow,
    password: str,
    keep_session: uuid.UUID | None = None,
    must_change_password: bool = False,
    actor: str | None = None,
) -> list[uuid.UUID]:
    """Give *user* a new password and end their other sessions; return the ids of those.

    Raises:
        InputError: If the password cannot be used.
    """
    identity.set_password(
        session,
        user.id,
        password_hash=_hasher.hash(checked_password(password, email=user.email)),
        must_change_password=must_change_password,
    )
    audit.record(
        session, actor=actor or user.email, action="password.changed", object_type="user", object_id=str(user.id)
    )
    return identity.revoke_sessions_of(session, user.id, now=utc_now(), keep=keep_session)


def new_token(
    session: Session, *, user_email: str, name: str, role: Role, expires_at: datetime | None
) -> tuple[str, identity.TokenRow]:
    """Make an API token; the secret is returned here and never again.

    Args:
        session: The caller's transaction.
        user_email: Whose token it is; it never may do more than they may.
        name: What it is for.
        role: What it may do, at most the role of its owner.
        expires_at: When it ends; None for a year from now, the longest there is.

    Raises:
        NotFoundError: If there is no such account.
        InputError: If the role is above the owner's, the name is empty, or the time is past or too far.
    """
    owner = identity.find_user(session, user_email)
    if owner is None:
        raise NotFoundError(f"There is no account {user_email}; no token was made.")
    if role > Role.parse(owner.role):
        raise InputError(f"{owner.email} is {owner.role}; a token for {role.label} was not made.")
    now = utc_now()
    until = require_aware(expires_at) if expires_at is not None else now + MAX_TOKEN_LIFE
    if not now < until <= now + MAX_TOKEN_LIFE:
        raise InputError("A token ends in the future, within a year; no token was made.")
    secret = TOKEN_PREFIX + new_secret()
    row = identity.add_token(
        session,
        user_id=owner.id,
        name=_checked_name(name),
        prefix=secret[:_SHOWN_PREFIX],
        token_hash=token_hash(secret),
        role=role.label,
        expires_at=until,
    )
    return secret, row


def _checked_name(name: str) -> str:
    name = " ".join(name.split())
    if not 0 < len(name) <= _MAX_NAME or not name.isprintable():
        raise InputError(f"A name has 1 to {_MAX_NAME} printable characters; nothing was changed.")
    return name


@cache
def _nobody() -> str:
    return _hasher.hash(new_secret())
