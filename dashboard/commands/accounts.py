"""`helmsight user` and `helmsight token`, and the first administrator."""

import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.core.errors import InputError, NotFoundError
from analytics.core.ids import new_secret
from analytics.core.settings import load_settings
from analytics.store.engine import make_engine, session_scope
from analytics.store.migrate import require_current
from analytics.store.paging import MAX_LIMIT
from analytics.store.queries import audit, identity
from dashboard.auth.accounts import change_password, create_user, new_token
from dashboard.auth.roles import Role
from dashboard.processes.addresses import connected

ACTOR = "cli"
FIRST_ADMIN_EMAIL = "admin@localhost"
_ONE_TIME_BYTES = 12


@contextmanager
def store_session() -> Iterator[Session]:
    """Open a transaction on the store the settings name, or the one that runs on their home.

    Raises:
        ConfigError: If there is none, or its schema is not ours.
        DependencyError: If it does not answer.
    """
    engine = make_engine(connected(load_settings()), role="cli")
    try:
        require_current(engine)
        with session_scope(engine) as session:
            yield session
    finally:
        engine.dispose()


def make_first_admin(session: Session) -> tuple[str, str] | None:
    """Make an administrator when there is no account at all; return e-mail and one-time password, or None."""
    if identity.has_users(session):
        return None
    password = one_time_password()
    _add(session, FIRST_ADMIN_EMAIL, name="Administrator", role=Role.ADMIN, password=password, once=True)
    return FIRST_ADMIN_EMAIL, password


def one_time_password() -> str:
    """Return a password to be given out for one use."""
    return new_secret(_ONE_TIME_BYTES)


def add_user(email: str, *, role: str, name: str | None, password_from_input: bool) -> Iterable[str]:
    """Add an account; yield what to print."""
    parsed = Role.parse(role)
    password = _password_from_input() if password_from_input else one_time_password()
    with store_session() as session:
        _add(session, email, name=name or email, role=parsed, password=password, once=not password_from_input)
    yield f"added {email} as {parsed.label}"
    if not password_from_input:
        yield f"one-time password: {password}"


def list_users() -> Iterable[str]:
    """Yield every account as a line: e-mail, role, state, name."""
    with store_session() as session:
        page = 1
        while True:
            found = identity.list_users(session, page=page, limit=MAX_LIMIT)
            for user in found.items:
                state = "disabled" if user.disabled_at is not None else "active"
                yield f"{user.email}\t{user.role}\t{state}\t{user.name}"
            if page >= found.pages:
                return
            page += 1


def set_role(email: str, role: str) -> Iterable[str]:
    """Give an account another role; yield what to print."""
    parsed = Role.parse(role)
    with store_session() as session:
        user = _required(session, email)
        identity.update_user(session, user.id, role=parsed.label)
        _record(session, "user.changed", user.id, role=parsed.label)
    yield f"{user.email} is {parsed.label} now"


def set_password(email: str, *, password_from_input: bool) -> Iterable[str]:
    """Give an account a new password and end its sessions; yield what to print."""
    password = _password_from_input() if password_from_input else one_time_password()
    with store_session() as session:
        user = _required(session, email)
        ended = change_password(
            session, user=user, password=password, must_change_password=not password_from_input, actor=ACTOR
        )
    yield f"{user.email} has a new password; {len(ended)} sessions ended"
    if not password_from_input:
        yield f"one-time password: {password}"


def disable_user(email: str, *, enable: bool) -> Iterable[str]:
    """Disable or enable an account, and end its sessions; yield what to print."""
    with store_session() as session:
        user = _required(session, email)
        identity.update_user(session, user.id, disabled=not enable)
        if not enable:
            identity.revoke_sessions_of(session, user.id, now=utc_now())
        _record(session, "user.changed", user.id, disabled=not enable)
    yield f"{user.email} is {'active' if enable else 'disabled'} now"


def add_token(email: str, *, name: str, role: str | None, days: int) -> Iterable[str]:
    """Make an API token; yield what to print, the secret last."""
    with store_session() as session:
        owner = _required(session, email)
        secret, row = new_token(
            session,
            user_email=owner.email,
            name=name,
            role=Role.parse(role or owner.role),
            expires_at=utc_now() + timedelta(days=days),
        )
        audit.record(session, actor=ACTOR, action="token.created", object_type="token", object_id=str(row.id))
    if owner.must_change_password:
        yield f"{owner.email} must first sign in and change the one-time password; until then the token is refused"
    yield f"token {row.id} of {owner.email} as {row.role}, for {days} days; it is shown only now:"
    yield secret


def list_tokens(email: str | None) -> Iterable[str]:
    """Yield every token as a line: id, prefix, owner, role, state, name."""
    with store_session() as session:
        owner = _required(session, email).id if email is not None else None
        page = 1
        while True:
            found = identity.list_tokens(session, user_id=owner, page=page, limit=MAX_LIMIT)
            for token in found.items:
                yield "\t".join(
                    (str(token.id), token.prefix, token.user.email, token.role, _token_state(token), token.name)
                )
            if page >= found.pages:
                return
            page += 1


def revoke_token(token: str) -> Iterable[str]:
    """End a token; yield what to print."""
    try:
        token_id = uuid.UUID(token)
    except ValueError:
        raise InputError(f"{token!r} is not the id of a token; `helmsight token list` shows them.") from None
    with store_session() as session:
        if not identity.revoke_token(session, token_id, now=utc_now()):
            raise NotFoundError(f"There is no open token {token_id}; nothing was changed.")
        audit.record(session, actor=ACTOR, action="token.revoked", object_type="token", object_id=str(token_id))
    yield f"token {token_id} ended"


def _add(session: Session, email: str, *, name: str, role: Role, password: str, once: bool) -> None:
    user = create_user(session, email=email, name=name, role=role, password=password, must_change_password=once)
    _record(session, "user.created", user.id, role=role.label)


def _record(session: Session, action: str, user_id: uuid.UUID, **detail: object) -> None:
    audit.record(session, actor=ACTOR, action=action, object_type="user", object_id=str(user_id), detail=detail)


def _required(session: Session, email: str) -> identity.UserRow:
    user = identity.find_user(session, email)
    if user is None:
        raise NotFoundError(f"There is no account {email}; `helmsight user list` shows them. Nothing was changed.")
    return user


def _token_state(token: identity.TokenRow) -> str:
    if token.revoked_at is not None:
        return "ended"
    if token.expires_at is not None and token.expires_at <= utc_now():
        return "expired"
    return "active"


def _password_from_input() -> str:
    password = sys.stdin.readline().rstrip("\n")
    if not password:
        raise InputError("No password came on standard input; nothing was changed.")
    return password
