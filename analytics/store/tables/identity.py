"""Who may do what, and who did what."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, text
from sqlalchemy.dialects.postgresql import CITEXT, INET, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from analytics.store.tables.base import Base, Created, UuidKey

_ROLES = "role IN ('viewer', 'analyst', 'operator', 'admin')"


class User(Base):
    """A local account."""

    __tablename__ = "app_user"
    __table_args__ = (CheckConstraint(_ROLES, name="role"),)

    id: Mapped[UuidKey]
    email: Mapped[str] = mapped_column(CITEXT, unique=True)
    name: Mapped[str]
    role: Mapped[str]
    password_hash: Mapped[str]
    """argon2id, in PHC string form."""
    must_change_password: Mapped[bool] = mapped_column(server_default=text("false"))
    disabled_at: Mapped[datetime | None]
    created_at: Mapped[Created]


class UserSession(Base):
    """A sign-in; the browser holds the token, we hold its SHA-256."""

    __tablename__ = "user_session"
    __table_args__ = (Index("ix_user_session_user_id", "user_id"), Index("ix_user_session_expires_at", "expires_at"))

    id: Mapped[UuidKey]
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("app_user.id", ondelete="CASCADE"))
    created_at: Mapped[Created]
    last_seen_at: Mapped[Created]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    address: Mapped[Any | None] = mapped_column(INET)
    user_agent: Mapped[str | None]


class ApiToken(Base):
    """A token for programs; shown once, kept as SHA-256."""

    __tablename__ = "api_token"
    __table_args__ = (CheckConstraint(_ROLES, name="role"), Index("ix_api_token_user_id", "user_id"))

    id: Mapped[UuidKey]
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("app_user.id", ondelete="CASCADE"))
    name: Mapped[str]
    prefix: Mapped[str]
    """The first characters, by which a person tells tokens apart."""
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    role: Mapped[str]
    created_at: Mapped[Created]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class LoginFailure(Base):
    """A failed sign-in, kept while it counts against the account or the address."""

    __tablename__ = "login_failure"
    __table_args__ = (Index("ix_login_failure_key_at", "key", "at"), Index("ix_login_failure_at", "at"))

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    key: Mapped[str]
    """``account:EMAIL`` or ``address:IP``."""
    at: Mapped[Created]


class AuditEntry(Base):
    """One thing somebody did or was refused; partitioned by month of ``at``, never updated."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("ix_audit_log_at", text("at DESC")),
        Index("ix_audit_log_actor_at", "actor", text("at DESC")),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    id: Mapped[UuidKey]
    at: Mapped[datetime] = mapped_column(primary_key=True, server_default=text("now()"))
    actor: Mapped[str]
    """E-mail of a user, ``token:PREFIX``, or the name of a process."""
    action: Mapped[str]
    """Past tense, for example ``run.queued``."""
    object_type: Mapped[str | None]
    object_id: Mapped[str | None]
    outcome: Mapped[str]
    """``ok`` or ``refused``."""
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    correlation_id: Mapped[str | None]
    address: Mapped[Any | None] = mapped_column(INET)
