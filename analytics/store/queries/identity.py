"""Accounts, sessions, API tokens and failed sign-ins as they are stored. Hashing and cookies are the dashboard's."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, delete, func, or_, select, text, update
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.core.errors import ConflictError, NotFoundError
from analytics.core.ids import new_id
from analytics.store.paging import DEFAULT_LIMIT, Page, check_paging
from analytics.store.tables.identity import ApiToken, LoginFailure, User, UserSession

ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class UserRow:
    """A local account, without its password."""

    id: uuid.UUID
    email: str
    name: str
    role: str
    must_change_password: bool
    disabled_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a sign-in is checked against."""

    user: UserRow
    password_hash: str


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A sign-in and whose it is."""

    id: uuid.UUID
    user: UserRow
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    address: str | None
    user_agent: str | None


@dataclass(frozen=True, slots=True)
class TokenRow:
    """An API token and whose it is; the secret itself is not kept."""

    id: uuid.UUID
    user: UserRow
    name: str
    prefix: str
    role: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


# -- accounts ---------------------------------------------------------------------------------------------------------


def add_user(
    session: Session, *, email: str, name: str, role: str, password_hash: str, must_change_password: bool
) -> UserRow:
    """Add an account.

    Raises:
        ConflictError: If the e-mail is taken; case does not matter.
    """
    if find_user(session, email) is not None:
        raise ConflictError(f"There is already an account for {email}; nothing was changed.", email=email)
    user = User(
        id=new_id(),
        email=email,
        name=name,
        role=role,
        password_hash=password_hash,
        must_change_password=must_change_password,
    )
    session.add(user)
    session.flush()
    session.refresh(user)
    return _user(user)


def find_user(session: Session, email: str) -> UserRow | None:
    """Return the account of *email*, whatever its case, or None."""
    user = session.scalar(select(User).where(User.email == email))
    return _user(user) if user is not None else None


def get_user(session: Session, user_id: uuid.UUID) -> UserRow:
    """Return one account.

    Raises:
        NotFoundError: If there is none.
    """
    user = session.get(User, user_id)
    if user is None:
        raise NotFoundError("There is no such account; nothing was done.", user_id=str(user_id))
    return _user(user)


def find_credentials(session: Session, email: str) -> Credentials | None:
    """Return the account of *email* with its password hash, or None."""
    user = session.scalar(select(User).where(User.email == email))
    return Credentials(_user(user), user.password_hash) if user is not None else None


def has_users(session: Session) -> bool:
    """Tell whether any account exists."""
    return session.scalar(select(User.id).limit(1)) is not None


def list_users(
    session: Session, *, page: int = 1, limit: int = DEFAULT_LIMIT, search: str | None = None
) -> Page[UserRow]:
    """Return accounts by e-mail; *search* is part of an e-mail or name."""
    offset = check_paging(page, limit)
    condition = (
        or_(User.email.icontains(search, autoescape=True), User.name.icontains(search, autoescape=True))
        if search
        else text("true")
    )
    total = session.scalar(select(func.count()).select_from(User).where(condition)) or 0
    rows = session.scalars(select(User).where(condition).order_by(User.email).offset(offset).limit(limit))
    return Page([_user(row) for row in rows], page, limit, total)


def update_user(
    session: Session,
    user_id: uuid.UUID,
    *,
    name: str | None = None,
    role: str | None = None,
    disabled: bool | None = None,
) -> UserRow:
    """Change what is given and return the account.

    Raises:
        NotFoundError: If there is no such account.
        ConflictError: If nobody who can administer would be left.
    """
    session.execute(text("SELECT pg_advisory_xact_lock(hashtext('helmsight.admins'))"))
    user = session.get(User, user_id)
    if user is None:
        raise NotFoundError("There is no such account; nothing was changed.", user_id=str(user_id))
    loses = (role is not None and role != ADMIN) or disabled is True
    if loses and user.role == ADMIN and user.disabled_at is None and _other_admins(session, user_id) == 0:
        raise ConflictError(
            f"{user.email} is the last administrator; nothing was changed. Make somebody else administrator first."
        )
    if name is not None:
        user.name = name
    if role is not None:
        user.role = role
    if disabled is not None:
        user.disabled_at = (user.disabled_at or utc_now()) if disabled else None
    session.flush()
    return _user(user)


def set_password(session: Session, user_id: uuid.UUID, *, password_hash: str, must_change_password: bool) -> None:
    """Replace the password hash of an account.

    Raises:
        NotFoundError: If there is no such account.
    """
    changed = session.scalar(
        update(User)
        .where(User.id == user_id)
        .values(password_hash=password_hash, must_change_password=must_change_password)
        .returning(User.id)
    )
    if changed is None:
        raise NotFoundError("There is no such account; no password was changed.", user_id=str(user_id))


# -- sessions ---------------------------------------------------------------------------------------------------------


def add_session(
    session: Session,
    *,
    user_id: uuid.UUID,
    token_hash: bytes,
    now: datetime,
    expires_at: datetime,
    address: str | None,
    user_agent: str | None,
) -> uuid.UUID:
    """Add a sign-in and return its id."""
    row = UserSession(
        id=new_id(),
        token_hash=token_hash,
        user_id=user_id,
        created_at=now,
        last_seen_at=now,
        expires_at=expires_at,
        address=address,
        user_agent=user_agent,
    )
    session.add(row)
    session.flush()
    return row.id


def find_session(
    session: Session, *, token_hash: bytes | None = None, session_id: uuid.UUID | None = None
) -> SessionRow | None:
    """Return the sign-in with this token hash or this id, ended or not, or None."""
    query = select(UserSession, User).join(User, User.id == UserSession.user_id)
    if token_hash is not None:
        query = query.where(UserSession.token_hash == token_hash)
    else:
        query = query.where(UserSession.id == session_id)
    found = session.execute(query).one_or_none()
    return _session(found[0], found[1]) if found is not None else None


def touch_session(session: Session, session_id: uuid.UUID, *, now: datetime) -> None:
    """Note that the session was used at *now*; never moves back."""
    session.execute(
        update(UserSession).where(UserSession.id == session_id, UserSession.last_seen_at < now).values(last_seen_at=now)
    )


def revoke_session(session: Session, session_id: uuid.UUID, *, now: datetime) -> bool:
    """End a sign-in; return whether it was still open."""
    ended = session.scalar(
        update(UserSession)
        .where(UserSession.id == session_id, UserSession.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(UserSession.id)
    )
    return ended is not None


def revoke_sessions_of(
    session: Session, user_id: uuid.UUID, *, now: datetime, keep: uuid.UUID | None = None
) -> list[uuid.UUID]:
    """End every open sign-in of an account except *keep*; return the ids of those that ended."""
    query = update(UserSession).where(UserSession.user_id == user_id, UserSession.revoked_at.is_(None))
    if keep is not None:
        query = query.where(UserSession.id != keep)
    return list(session.scalars(query.values(revoked_at=now).returning(UserSession.id)))


def open_sessions(
    session: Session, user_id: uuid.UUID, *, now: datetime, limit: int = DEFAULT_LIMIT
) -> list[SessionRow]:
    """Return the open sign-ins of an account, last used first."""
    check_paging(limit=limit)
    rows = session.execute(
        select(UserSession, User)
        .join(User, User.id == UserSession.user_id)
        .where(UserSession.user_id == user_id, UserSession.revoked_at.is_(None), UserSession.expires_at > now)
        .order_by(UserSession.last_seen_at.desc())
        .limit(limit)
    )
    return [_session(row, user) for row, user in rows]


def delete_old_sessions(session: Session, *, before: datetime) -> int:
    """Forget sign-ins that ended before *before*; return how many."""
    gone = session.scalars(
        delete(UserSession)
        .where(or_(UserSession.expires_at < before, UserSession.revoked_at < before))
        .returning(UserSession.id)
    )
    return len(gone.all())


# -- API tokens -------------------------------------------------------------------------------------------------------


def add_token(
    session: Session,
    *,
    user_id: uuid.UUID,
    name: str,
    prefix: str,
    token_hash: bytes,
    role: str,
    expires_at: datetime | None,
) -> TokenRow:
    """Add an API token."""
    token = ApiToken(
        id=new_id(), user_id=user_id, name=name, prefix=prefix, token_hash=token_hash, role=role, expires_at=expires_at
    )
    session.add(token)
    session.flush()
    session.refresh(token)
    return _token(token, session.get_one(User, user_id))


def find_token(
    session: Session, *, token_hash: bytes | None = None, token_id: uuid.UUID | None = None
) -> TokenRow | None:
    """Return the token with this hash or this id, usable or not, or None."""
    query = select(ApiToken, User).join(User, User.id == ApiToken.user_id)
    if token_hash is not None:
        query = query.where(ApiToken.token_hash == token_hash)
    else:
        query = query.where(ApiToken.id == token_id)
    found = session.execute(query).one_or_none()
    return _token(found[0], found[1]) if found is not None else None


def list_tokens(
    session: Session, *, user_id: uuid.UUID | None = None, page: int = 1, limit: int = DEFAULT_LIMIT
) -> Page[TokenRow]:
    """Return tokens, newest first; all of them, or those of one account."""
    offset = check_paging(page, limit)
    condition = ApiToken.user_id == user_id if user_id is not None else text("true")
    total = session.scalar(select(func.count()).select_from(ApiToken).where(condition)) or 0
    rows = session.execute(
        select(ApiToken, User)
        .join(User, User.id == ApiToken.user_id)
        .where(condition)
        .order_by(ApiToken.created_at.desc(), ApiToken.id.desc())
        .offset(offset)
        .limit(limit)
    )
    return Page([_token(token, user) for token, user in rows], page, limit, total)


def revoke_token(session: Session, token_id: uuid.UUID, *, now: datetime) -> bool:
    """End a token; return whether it was still open."""
    ended = session.scalar(
        update(ApiToken)
        .where(ApiToken.id == token_id, ApiToken.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(ApiToken.id)
    )
    return ended is not None


def touch_token(session: Session, token_id: uuid.UUID, *, now: datetime) -> None:
    """Note that the token was used at *now*."""
    session.execute(update(ApiToken).where(ApiToken.id == token_id).values(last_used_at=now))


# -- failed sign-ins --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to sign in: allowed (and counted as failed until it succeeds), or to be made later."""

    failure_ids: Sequence[int]
    """Rows that count this attempt; empty when it is refused."""
    refused_key: str | None
    retry_after: timedelta | None

    @property
    def is_allowed(self) -> bool:
        """Tell whether the password may be looked at."""
        return self.refused_key is None


def reserve_attempt(session: Session, limits: Mapping[str, int], *, window: timedelta, now: datetime) -> Attempt:
    """Count one attempt under each key of *limits*, unless a key already has its limit within *window*.

    The keys are locked until the transaction ends, so that attempts made at the same moment through any number of
    processes are counted one after the other.
    """
    since = now - window
    for key in sorted(limits):
        session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": f"login:{key}"})
    for key, limit in limits.items():
        recent = list(
            session.scalars(
                select(LoginFailure.at)
                .where(LoginFailure.key == key, LoginFailure.at > since)
                .order_by(LoginFailure.at.desc())
                .limit(limit)
            )
        )
        if len(recent) >= limit:
            return Attempt((), key, max(recent[-1] + window - now, timedelta(seconds=1)))
    rows = [LoginFailure(key=key, at=now) for key in limits]
    session.add_all(rows)
    session.flush()
    return Attempt(tuple(row.id for row in rows), None, None)


def forgive_attempt(session: Session, attempt: Attempt, *, account_key: str) -> None:
    """Take back what counts against *attempt*, which succeeded, and all that counts against its account."""
    session.execute(
        delete(LoginFailure).where(or_(LoginFailure.id.in_(attempt.failure_ids), LoginFailure.key == account_key))
    )


def delete_old_failures(session: Session, *, before: datetime) -> None:
    """Forget failed sign-ins that no longer count."""
    session.execute(delete(LoginFailure).where(LoginFailure.at < before))


# -- rows -------------------------------------------------------------------------------------------------------------


def _other_admins(session: Session, user_id: uuid.UUID) -> int:
    return (
        session.scalar(
            select(func.count())
            .select_from(User)
            .where(and_(User.role == ADMIN, User.disabled_at.is_(None), User.id != user_id))
        )
        or 0
    )


def _user(user: User) -> UserRow:
    return UserRow(
        id=user.id,
        email=user.email,
        name=user.name,
        role=user.role,
        must_change_password=user.must_change_password,
        disabled_at=user.disabled_at,
        created_at=user.created_at,
    )


def _session(row: UserSession, user: User) -> SessionRow:
    return SessionRow(
        id=row.id,
        user=_user(user),
        created_at=row.created_at,
        last_seen_at=row.last_seen_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        address=_text(row.address),
        user_agent=row.user_agent,
    )


def _token(token: ApiToken, user: User) -> TokenRow:
    return TokenRow(
        id=token.id,
        user=_user(user),
        name=token.name,
        prefix=token.prefix,
        role=token.role,
        created_at=token.created_at,
        expires_at=token.expires_at,
        last_used_at=token.last_used_at,
        revoked_at=token.revoked_at,
    )


def _text(value: Any) -> str | None:
    return str(value) if value is not None else None
