"""The caller, accounts, API tokens, tokens for sockets, and the audit log."""

import uuid
from datetime import datetime
from typing import Literal

from pydantic import Field
from sqlalchemy.orm import Session

from analytics.core.clock import utc_now
from analytics.core.errors import NotFoundError, PolicyError
from analytics.core.ids import new_secret
from analytics.store.paging import Page
from analytics.store.queries import audit, identity
from analytics.store.queries.audit import AuditRow
from analytics.store.queries.identity import TokenRow, UserRow
from dashboard.api.operations import (
    Asked,
    Call,
    CursorQuery,
    Listing,
    NumberedQuery,
    Operation,
    SearchQuery,
    decode_cursor,
    listing,
)
from dashboard.auth import accounts, socket_tokens
from dashboard.auth.roles import Role
from dashboard.streamlit_options import cookie_secret

RoleName = Literal["viewer", "analyst", "operator", "admin"]
_ONE_TIME_BYTES = 12


class Me(Asked):
    """Who calls."""

    email: str
    name: str
    role: RoleName
    is_token: bool


class NewUser(Asked):
    """An account to make."""

    email: str = Field(min_length=3, max_length=320)
    name: str = Field(min_length=1, max_length=200)
    role: RoleName = "viewer"


class MadeUser(Asked):
    """A new account, or one with a new password; the password is shown here only and must be changed at sign-in."""

    id: uuid.UUID
    email: str
    one_time_password: str


class UserChange(Asked):
    """What to change of an account; what is not sent stays."""

    name: str | None = Field(default=None, min_length=1, max_length=200)
    role: RoleName | None = None
    disabled: bool | None = None


class TokensQuery(NumberedQuery):
    """Whose tokens."""

    everybody: bool = Field(default=False, description="Those of all accounts; for administrators.")


class NewToken(Asked):
    """An API token to make."""

    name: str = Field(min_length=1, max_length=200, description="What it is for.")
    role: RoleName = Field(default="viewer", description="What it may do; at most what you may.")
    expires_at: datetime | None = Field(default=None, description="When it ends; a year from now at most.")


class MadeToken(Asked):
    """A new token; the secret is shown here only."""

    id: uuid.UUID
    name: str
    prefix: str
    role: RoleName
    expires_at: datetime | None
    secret: str


class SocketToken(Asked):
    """A token that opens live sockets for a few minutes."""

    token: str
    expires_at: datetime


class AuditQuery(CursorQuery):
    """Which entries."""

    actor: str | None = Field(default=None, max_length=320, description="Only entries of this actor.")
    action: str | None = Field(
        default=None, max_length=100, description="Only this action, or, with a dot at its end, all that begin so."
    )
    outcome: Literal["ok", "refused"] | None = Field(default=None, description="Only what was done, or refused.")


async def get_me(call: Call) -> Me:
    """Return who calls."""
    viewer = call.viewer
    return Me(email=viewer.email, name=viewer.name, role=_role_name(viewer.role), is_token=viewer.token_id is not None)


async def list_users(call: Call) -> Page[UserRow]:
    """Return accounts."""
    query = call.query(SearchQuery)
    return await call.ask(identity.list_users, page=query.page, limit=query.limit, search=query.search)


async def create_user(call: Call) -> MadeUser:
    """Make an account with a one-time password."""
    body, password = call.body(NewUser), new_secret(_ONE_TIME_BYTES)

    def work(session: Session) -> MadeUser:
        row = accounts.create_user(
            session,
            email=body.email,
            name=body.name,
            role=Role.parse(body.role),
            password=password,
            must_change_password=True,
        )
        call.record(
            session,
            "user.created",
            object_type="user",
            object_id=row.id,
            detail={"email": row.email, "role": row.role},
        )
        return MadeUser(id=row.id, email=row.email, one_time_password=password)

    return await call.ask(work)


async def change_user(call: Call) -> UserRow:
    """Change an account."""
    body, user_id = call.body(UserChange), call.path("user_id")

    def work(session: Session) -> UserRow:
        row = identity.update_user(session, user_id, name=body.name, role=body.role, disabled=body.disabled)
        if body.disabled:
            identity.revoke_sessions_of(session, user_id, now=utc_now())
        call.record(
            session,
            "user.changed",
            object_type="user",
            object_id=user_id,
            detail={"email": row.email, **body.model_dump(exclude_none=True)},
        )
        return row

    row = await call.ask(work)
    call.context.sessions.forget()
    return row


async def reset_password(call: Call) -> MadeUser:
    """Give an account a one-time password and end its sessions."""
    user_id, password = call.path("user_id"), new_secret(_ONE_TIME_BYTES)

    def work(session: Session) -> MadeUser:
        row = identity.get_user(session, user_id)
        accounts.change_password(
            session, user=row, password=password, must_change_password=True, actor=call.viewer.actor
        )
        return MadeUser(id=row.id, email=row.email, one_time_password=password)

    made = await call.ask(work)
    call.context.sessions.forget()
    return made


async def list_tokens(call: Call) -> Page[TokenRow]:
    """Return API tokens."""
    query = call.query(TokensQuery)
    if query.everybody and call.viewer.role < Role.ADMIN:
        raise PolicyError("Only administrators see the tokens of others; nothing was read. Leave `everybody` out.")

    def work(session: Session) -> Page[TokenRow]:
        owner = None if query.everybody else _own_id(session, call)
        return identity.list_tokens(session, user_id=owner, page=query.page, limit=query.limit)

    return await call.ask(work)


async def create_token(call: Call) -> MadeToken:
    """Make an API token of one's own."""
    body = call.body(NewToken)
    role = Role.parse(body.role)
    if role > call.viewer.role:
        raise PolicyError(f"As {call.viewer.role.label} you may not make a token for {role.label}; none was made.")

    def work(session: Session) -> MadeToken:
        secret, row = accounts.new_token(
            session, user_email=call.viewer.email, name=body.name, role=role, expires_at=body.expires_at
        )
        call.record(
            session,
            "token.created",
            object_type="token",
            object_id=row.id,
            detail={"name": row.name, "prefix": row.prefix, "role": row.role},
        )
        return MadeToken(
            id=row.id,
            name=row.name,
            prefix=row.prefix,
            role=_role_name(role),
            expires_at=row.expires_at,
            secret=secret,
        )

    return await call.ask(work)


async def revoke_token(call: Call) -> None:
    """End an API token: one's own, or as administrator anybody's."""
    token_id: uuid.UUID = call.path("token_id")

    def work(session: Session) -> None:
        row = identity.find_token(session, token_id=token_id)
        is_own = row is not None and row.user.email.lower() == call.viewer.email.lower()
        if row is None or not (is_own or call.viewer.role >= Role.ADMIN):
            raise NotFoundError("You have no such token; nothing was changed.")
        if identity.revoke_token(session, token_id, now=utc_now()):
            call.record(
                session, "token.revoked", object_type="token", object_id=token_id, detail={"prefix": row.prefix}
            )

    await call.ask(work)
    call.context.sessions.forget(token_id=token_id)


async def create_socket_token(call: Call) -> SocketToken:
    """Return a short-lived token for live sockets."""
    now = utc_now()
    token = socket_tokens.issue(call.viewer, secret=cookie_secret(call.context.settings), now=now)
    return SocketToken(token=token, expires_at=now + socket_tokens.LIFE)


async def list_audit(call: Call) -> Listing:
    """Return the audit log."""
    query = call.query(AuditQuery)
    rows = await call.ask(
        audit.list_audit,
        actor=query.actor,
        action=query.action,
        outcome=query.outcome,
        before=decode_cursor(query.after),
        limit=query.limit,
    )
    return listing(rows, query.limit, lambda row: (row.at, row.id))


def _own_id(session: Session, call: Call) -> uuid.UUID:
    user = identity.find_user(session, call.viewer.email)
    if user is None:
        raise NotFoundError("Your account is gone; nothing was read.")
    return user.id


def _role_name(role: Role) -> RoleName:
    match role:
        case Role.VIEWER:
            return "viewer"
        case Role.ANALYST:
            return "analyst"
        case Role.OPERATOR:
            return "operator"
        case Role.ADMIN:
            return "admin"


_USER, _PEOPLE = "/users/{user_id:uuid}", "manage accounts"

OPERATIONS = (
    Operation("GET", "/me", get_me, "Return who you are and what you may do.", Role.VIEWER, Me),
    Operation(
        "GET", "/users", list_users, "List accounts.", Role.ADMIN, Page[UserRow], query=SearchQuery, doing=_PEOPLE
    ),
    Operation(
        "POST",
        "/users",
        create_user,
        "Make an account; the answer holds its one-time password.",
        Role.ADMIN,
        MadeUser,
        body=NewUser,
        status=201,
        doing=_PEOPLE,
    ),
    Operation(
        "PATCH",
        _USER,
        change_user,
        "Change name or role of an account, or disable it; the last administrator stays.",
        Role.ADMIN,
        UserRow,
        body=UserChange,
        doing=_PEOPLE,
    ),
    Operation(
        "POST",
        f"{_USER}/password",
        reset_password,
        "Give an account a one-time password and end its sessions.",
        Role.ADMIN,
        MadeUser,
        doing=_PEOPLE,
    ),
    Operation("GET", "/tokens", list_tokens, "List API tokens.", Role.VIEWER, Page[TokenRow], query=TokensQuery),
    Operation(
        "POST",
        "/tokens",
        create_token,
        "Make an API token; the answer holds its secret, which is not shown again.",
        Role.VIEWER,
        MadeToken,
        body=NewToken,
        status=201,
        doing="make a token",
    ),
    Operation(
        "DELETE", "/tokens/{token_id:uuid}", revoke_token, "End an API token.", Role.VIEWER, status=204, doing="end it"
    ),
    Operation(
        "POST",
        "/socket-tokens",
        create_socket_token,
        "Return a token that opens live sockets for five minutes, for programs that cannot send headers.",
        Role.VIEWER,
        SocketToken,
        status=201,
        doing="open sockets",
    ),
    Operation(
        "GET",
        "/audit",
        list_audit,
        "List who did what and who was refused, newest first.",
        Role.ADMIN,
        AuditRow,
        query=AuditQuery,
        doing="read the audit log",
    ),
)
