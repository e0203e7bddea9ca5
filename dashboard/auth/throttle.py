"""How often somebody may guess a password, counted in PostgreSQL so that it holds on all processes.

An attempt counts as failed before the password is looked at and is taken back when it succeeds, so that a thousand
attempts at one moment are not a thousand guesses.
"""

import ipaddress
from datetime import datetime

from sqlalchemy import Engine

from analytics.core.errors import LimitError
from analytics.core.settings import AuthSettings
from analytics.core.telemetry import LIMIT_HITS
from analytics.store.engine import session_scope
from analytics.store.queries import audit, identity

ADDRESS_FACTOR = 4
"""An address may fail this many times as often as an account: whole offices share one."""
_IPV6_NETWORK_BITS = 64
_MOST_CHARACTERS = 320


def account_key(email: str) -> str:
    """Return the key under which failures of an account count, whatever the case of its e-mail."""
    return f"account:{email.strip().lower()[:_MOST_CHARACTERS]}"


def address_key(address: str | None) -> str | None:
    """Return the key under which failures of an address count, or None when it is unknown.

    An IPv6 address counts with its /64 network, because one machine owns all of it.
    """
    if address is None:
        return None
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return f"address:{parsed.ipv4_mapped}"
        return f"address:{ipaddress.ip_network((parsed, _IPV6_NETWORK_BITS), strict=False)}"
    return f"address:{parsed}"


def limits_of(email: str, address: str | None, settings: AuthSettings) -> dict[str, int]:
    """Return the keys an attempt counts under, each with the most failures it may have."""
    limits = {account_key(email): settings.login_attempts}
    from_address = address_key(address)
    if from_address is not None:
        limits[from_address] = settings.login_attempts * ADDRESS_FACTOR
    return limits


def reserve(
    engine: Engine, *, email: str, address: str | None, settings: AuthSettings, now: datetime
) -> identity.Attempt:
    """Count an attempt to sign in.

    Raises:
        LimitError: If the account or the address has failed too often; the password must not be looked at.
    """
    with session_scope(engine) as session:
        attempt = identity.reserve_attempt(
            session, limits_of(email, address, settings), window=settings.login_window, now=now
        )
        if attempt.refused_key is not None:
            audit.record(
                session,
                actor=email[:_MOST_CHARACTERS].lower(),
                action="login.throttled",
                outcome=audit.REFUSED,
                address=known_address(address),
            )
    if attempt.retry_after is not None:
        LIMIT_HITS.labels("login").inc()
        raise LimitError(
            "Too many failed sign-ins; the password was not looked at. Wait and try again.",
            retry_after_s=int(attempt.retry_after.total_seconds() + 0.999),
        )
    return attempt


def forgive(engine: Engine, attempt: identity.Attempt, *, email: str, settings: AuthSettings, now: datetime) -> None:
    """Take back an attempt that succeeded, with all earlier failures of its account."""
    with session_scope(engine) as session:
        identity.forgive_attempt(session, attempt, account_key=account_key(email))
        identity.delete_old_failures(session, before=now - 2 * settings.login_window)


def known_address(address: str | None) -> str | None:
    """Return *address* if it is one; a proxy may hand on anything."""
    return address if address_key(address) is not None else None
