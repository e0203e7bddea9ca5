"""Accounts, sessions and attempts in a real database."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from analytics.core.clock import Interval, utc_now
from analytics.core.errors import ConflictError, DependencyError, InputError, NotFoundError
from analytics.core.settings import AuthSettings, Settings
from analytics.store.engine import session_scope
from analytics.store.queries import audit, identity
from dashboard.auth import accounts, socket_tokens
from dashboard.auth.roles import Role
from dashboard.auth.sessions import SessionBook, SessionEndedError

pytestmark = pytest.mark.integration
SECRET = "s" * 40


def _ada(session: Session, role: Role = Role.OPERATOR) -> identity.UserRow:
    return accounts.create_user(
        session, email="Ada@example.org", name="Ada  Lovelace", role=role, password="analytical engine"
    )


def test_twenty_attempts_at_one_moment_are_five_guesses(engine: Engine) -> None:
    now = utc_now()

    def attempt(_: int) -> bool:
        with session_scope(engine) as session:
            return identity.reserve_attempt(
                session, {"account:a@b": 5, "address:192.0.2.7": 20}, window=timedelta(minutes=5), now=now
            ).is_allowed

    with ThreadPoolExecutor(8) as threads:
        allowed = list(threads.map(attempt, range(20)))
    assert sum(allowed) == 5


def test_the_wait_ends_when_the_oldest_failure_that_counts_is_old(session: Session) -> None:
    now, window = utc_now(), timedelta(minutes=5)
    limits = {"account:a@b": 2}
    for age in (timedelta(minutes=4), timedelta(minutes=1)):
        assert identity.reserve_attempt(session, limits, window=window, now=now - age).is_allowed
    refused = identity.reserve_attempt(session, limits, window=window, now=now)
    assert (refused.refused_key, refused.retry_after) == ("account:a@b", timedelta(minutes=1))
    assert identity.reserve_attempt(session, limits, window=window, now=now + timedelta(minutes=1)).is_allowed


def test_an_account_is_found_whatever_the_case_and_made_only_once(session: Session) -> None:
    made = _ada(session)
    assert made.name == "Ada Lovelace"
    assert identity.find_user(session, "ADA@EXAMPLE.ORG") == made
    with pytest.raises(ConflictError, match="already an account"):
        _ada(session)
    with pytest.raises(InputError, match="not an e-mail address"):
        accounts.create_user(session, email="ada", name="A", role=Role.VIEWER, password="analytical engine")
    with pytest.raises(NotFoundError):
        identity.get_user(session, made.id.__class__(int=0))


def test_passwords_are_kept_as_argon2id(session: Session) -> None:
    _ada(session)
    credentials = identity.find_credentials(session, "ada@example.org")
    assert credentials is not None
    assert credentials.password_hash.startswith("$argon2id$")
    assert accounts.verify_password(credentials, "analytical engine")
    assert not accounts.verify_password(credentials, "Analytical engine")


def test_a_session_ends_when_idle_too_long_when_too_old_and_when_revoked(engine: Engine) -> None:
    settings = AuthSettings(session_ttl=timedelta(hours=12), session_idle=timedelta(hours=2))
    with session_scope(engine) as session:
        user = _ada(session)
        opened = [
            accounts.open_session(session, settings, user=user, address="192.0.2.7", user_agent="x" * 999)
            for _ in range(3)
        ]
        identity.touch_session(session, opened[0][1], now=utc_now())
    book = SessionBook(engine, settings)
    assert [book.of_cookie(token).email for token, _ in opened] == ["Ada@example.org"] * 3
    book.forget()
    with engine.begin() as connection:
        for column, span, (_, session_id) in zip(
            ("last_seen_at", "expires_at"), ("3 hours", "13 hours"), opened, strict=False
        ):
            connection.exec_driver_sql(
                f"UPDATE user_session SET {column} = {column} - interval '{span}' WHERE id = '{session_id}'"  # noqa: S608 - constants
            )
    with session_scope(engine) as session:
        assert accounts.end_session(session, opened[2][1], actor="Ada@example.org")
        assert not accounts.end_session(session, opened[2][1], actor="Ada@example.org")
    for (token, session_id), words in zip(opened, ("expired", "expired", "signed out"), strict=True):
        with pytest.raises(SessionEndedError, match=words):
            book.of_cookie(token)
        with pytest.raises(SessionEndedError, match=words):
            book.of_session(session_id)


def test_a_new_password_ends_other_sessions(session: Session) -> None:
    user = _ada(session)
    kept, other = (
        accounts.open_session(session, AuthSettings(), user=user, address=None, user_agent=None)[1] for _ in range(2)
    )
    assert accounts.change_password(session, user=user, password="difference engine", keep_session=kept) == [other]
    assert [row.id for row in identity.open_sessions(session, user.id, now=utc_now())] == [kept]


def test_while_postgres_is_away_a_session_seen_lately_stands_and_a_stranger_does_not(
    engine: Engine, settings: Settings
) -> None:
    with session_scope(engine) as session:
        token, _ = accounts.open_session(session, settings.auth, user=_ada(session), address=None, user_agent=None)
    book = SessionBook(engine, settings.auth)
    assert book.of_cookie(token).role is Role.OPERATOR
    for entry in book._known.values():
        entry.checked_at -= 60
    book._engine = _Away()  # type: ignore[assignment]
    assert book.of_cookie(token).role is Role.OPERATOR
    with pytest.raises(DependencyError):
        book.of_cookie("somebody else's")


class _Away:
    """An engine whose server is gone."""

    def __getattr__(self, name: str) -> object:
        raise DependencyError("PostgreSQL is away.", part="postgres")


def test_a_token_is_worth_what_its_owner_is_worth_now(engine: Engine) -> None:
    with session_scope(engine) as session:
        user = _ada(session)
        secret, row = accounts.new_token(session, user_email=user.email, name="ci", role=Role.OPERATOR, expires_at=None)
        with pytest.raises(InputError, match="was not made"):
            accounts.new_token(session, user_email=user.email, name="ci", role=Role.ADMIN, expires_at=None)
        with pytest.raises(InputError, match="within a year"):
            accounts.new_token(
                session, user_email=user.email, name="ci", role=Role.VIEWER, expires_at=utc_now() + timedelta(days=400)
            )
    assert secret.startswith(row.prefix)
    book = SessionBook(engine, AuthSettings())
    assert book.of_token(secret).actor == f"token:{row.prefix}"
    with session_scope(engine) as session:
        identity.update_user(session, user.id, role="viewer")
    book.forget()
    assert book.of_token(secret).role is Role.VIEWER
    with session_scope(engine) as session:
        assert identity.revoke_token(session, row.id, now=utc_now())
    book.forget(token_id=row.id)
    with pytest.raises(SessionEndedError):
        book.of_token(secret)


def test_a_socket_token_is_worth_what_its_session_is_worth_now_and_expires(engine: Engine) -> None:
    with session_scope(engine) as session:
        token, session_id = accounts.open_session(
            session, AuthSettings(), user=_ada(session), address=None, user_agent=None
        )
    book = SessionBook(engine, AuthSettings())
    viewer = book.of_cookie(token)
    fresh = socket_tokens.issue(viewer, secret=SECRET, now=utc_now())
    assert socket_tokens.redeem(fresh, secret=SECRET, sessions=book).session_id == session_id
    with pytest.raises(SessionEndedError, match="not valid"):
        socket_tokens.redeem(fresh, secret="t" * 40, sessions=book)
    old = socket_tokens.issue(viewer, secret=SECRET, now=utc_now() - timedelta(minutes=6))
    with pytest.raises(SessionEndedError, match="expired"):
        socket_tokens.redeem(old, secret=SECRET, sessions=book)
    with session_scope(engine) as session:
        accounts.end_session(session, session_id, actor="x")
    book.forget()
    with pytest.raises(SessionEndedError, match="signed out"):
        socket_tokens.redeem(fresh, secret=SECRET, sessions=book)


def test_the_audit_log_is_read_newest_first_and_by_what_happened(session: Session) -> None:
    for action, outcome in (("run.queued", "ok"), ("run.cancelled", "ok"), ("access.refused", "refused")):
        audit.record(session, actor="ada", action=action, outcome=outcome, address="192.0.2.7", detail={"n": 1})
    rows = audit.list_audit(session, interval=Interval.last(timedelta(minutes=1), now=utc_now() + timedelta(seconds=1)))
    assert [row.action for row in rows] == ["access.refused", "run.cancelled", "run.queued"]
    assert [row.action for row in audit.list_audit(session, action="run.")] == ["run.cancelled", "run.queued"]
    assert [row.outcome for row in audit.list_audit(session, outcome="refused")] == ["refused"]
    after = audit.list_audit(session, before=(rows[1].at, rows[1].id))
    assert [row.action for row in after] == ["run.queued"]
    assert rows[0].address == "192.0.2.7"
