"""Short-lived tokens for sockets, for programs that cannot send a header when they open one.

A token names a session or an API token; what it may do is looked up when it is used, never read from it.
"""

import uuid
from datetime import datetime, timedelta

import jwt

from dashboard.auth.sessions import SessionBook, SessionEndedError, Viewer

LIFE = timedelta(minutes=5)
_AUDIENCE = "helmsight.sockets"
_ALGORITHM = "HS256"


def issue(viewer: Viewer, *, secret: str, now: datetime) -> str:
    """Return a token for *viewer* that opens sockets until *now* plus :data:`LIFE`."""
    claims = {"sub": viewer.email, "aud": _AUDIENCE, "iat": now, "exp": now + LIFE}
    if viewer.session_id is not None:
        claims["sid"] = str(viewer.session_id)
    if viewer.token_id is not None:
        claims["tid"] = str(viewer.token_id)
    return jwt.encode(claims, secret, algorithm=_ALGORITHM)


def redeem(token: str, *, secret: str, sessions: SessionBook) -> Viewer:
    """Return whom *token* stands for, looked up now; asks PostgreSQL, so call it in a thread.

    Raises:
        SessionEndedError: If the token is not ours, expired, or what it names ended.
    """
    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=[_ALGORITHM],
            audience=_AUDIENCE,
            options={"require": ["sub", "aud", "iat", "exp"]},
        )
        session_id = uuid.UUID(claims["sid"]) if "sid" in claims else None
        token_id = uuid.UUID(claims["tid"]) if "tid" in claims else None
    except jwt.MissingRequiredClaimError as error:
        raise SessionEndedError(f"The socket token lacks {error.claim!r}; the socket was not opened.") from error
    except jwt.ExpiredSignatureError as error:
        raise SessionEndedError("The socket token expired; ask for a new one at /api/v1/socket-tokens.") from error
    except (jwt.InvalidTokenError, ValueError) as error:
        raise SessionEndedError("The socket token is not valid; ask for one at /api/v1/socket-tokens.") from error
    if session_id is not None:
        viewer = sessions.of_session(session_id)
    elif token_id is not None:
        viewer = sessions.of_token_id(token_id)
    else:
        raise SessionEndedError("The socket token names no session; ask for one at /api/v1/socket-tokens.")
    if viewer.email.lower() != str(claims["sub"]).lower():
        raise SessionEndedError("The socket token names somebody else; the socket was not opened.")
    return viewer
