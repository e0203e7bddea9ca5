"""The routes by which people come and go: sign in, sign out, choose a password."""

from collections.abc import Callable
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from analytics.core.errors import DependencyError, HelmsightError, InputError, InvariantError, LimitError
from analytics.core.settings import Settings
from analytics.store.engine import session_scope
from analytics.store.queries import identity
from dashboard.auth import accounts
from dashboard.auth.next_path import HOME, safe_next
from dashboard.auth.screens import password_screen, say, sign_in_screen, sign_out_screen
from dashboard.auth.sessions import COOKIE_NAME, SessionEndedError, Viewer
from dashboard.context import AppContext, get_context
from dashboard.middleware.bundles import installed_bundles
from dashboard.middleware.identity import identify, viewer_of

T = TypeVar("T")

_HASHES_AT_ONCE = 2
"""One check of a password takes 64 MB and a core for a moment; more at once would let strangers take the machine."""
_REASONS = {
    "ended": say("note", "Your session ended.", "Sign in again to continue where you were."),
    "signed-out": say("good", "You are signed out."),
    "changed": say("good", "Your password is changed.", "Sign in with the new one."),
}
_MINUTE_S = 60
_limiters: list[CapacityLimiter] = []


async def show_sign_in(request: Request) -> Response:
    """Show the sign-in page, or go on when the person is already signed in."""
    next_path = safe_next(request.query_params.get("next"))
    try:
        if await identify(request.headers) is not None:
            return _go(next_path)
    except (SessionEndedError, DependencyError):
        pass
    notice = _REASONS.get(request.query_params.get("reason", ""), "")
    return sign_in_screen(notice=notice, next_path=next_path, prefetch=installed_bundles().first)


async def sign_in(request: Request) -> Response:
    """Check a password and set the session cookie."""
    context = get_context()
    form = await request.form(max_files=0, max_fields=10)
    email, password = _text(form.get("email")), _text(form.get("password"))
    next_path = safe_next(_text(form.get("next")))
    address = request.client.host if request.client is not None else None
    try:
        done = await _hashing(
            lambda: accounts.sign_in(
                context.engine,
                context.settings.auth,
                email=email,
                password=password,
                address=address,
                user_agent=request.headers.get("user-agent"),
            )
        )
    except HelmsightError as error:
        return _refused(error, email=email, next_path=next_path)
    response = _go("/password" if done.user.must_change_password else next_path)
    set_session_cookie(response, done.token, settings=context.settings, is_https=request.url.scheme == "https")
    return response


async def show_sign_out(request: Request) -> Response:
    """Sign out when one of our own pages leads here; otherwise ask first, so that no other site signs people out."""
    fetch = request.headers
    by_hand = fetch.get("sec-fetch-site") == "same-origin" and fetch.get("sec-fetch-mode") == "navigate"
    return await sign_out(request) if by_hand and "sec-purpose" not in fetch else sign_out_screen()


async def sign_out(request: Request) -> Response:
    """End the session, here and in every tab."""
    viewer = viewer_of(request.scope)
    context = get_context()
    if viewer is not None and viewer.session_id is not None:
        await to_thread.run_sync(_end, context, viewer)
    response = _go("/login?reason=signed-out")
    response.delete_cookie(COOKIE_NAME, path="/", httponly=True, samesite="lax")
    return response


async def show_password(request: Request) -> Response:
    """Show the page on which a person chooses a password."""
    viewer = _person(request)
    return password_screen(
        notice="",
        email=viewer.email,
        is_forced=viewer.must_change_password,
        next_path=safe_next(request.query_params.get("next")),
    )


async def choose_password(request: Request) -> Response:
    """Change the password; other sessions of the account end."""
    context, viewer = get_context(), _person(request)
    form = await request.form(max_files=0, max_fields=10)
    next_path = safe_next(_text(form.get("next")))
    current, new, again = (_text(form.get(name)) for name in ("current", "new", "again"))
    try:
        if new != again:
            raise InputError("The two new passwords differ; nothing was changed. Type the same one twice.")
        if new == current:
            raise InputError("The new password is the present one; nothing was changed. Choose another one.")
        address = request.client.host if request.client is not None else None
        await _hashing(lambda: change_own_password(context, viewer, current=current, new=new, address=address))
    except HelmsightError as error:
        is_wrong = isinstance(error, accounts.SignInRefusedError)
        notice = (
            say("bad", "The present password is wrong.", "Nothing was changed. Check it and try again.")
            if is_wrong
            else say("bad", _headline(error), _advice(error))
        )
        return password_screen(
            notice=notice,
            email=viewer.email,
            is_forced=viewer.must_change_password,
            next_path=next_path,
            status=error.status,
        )
    return _go(next_path)


def change_own_password(context: AppContext, viewer: Viewer, *, current: str, new: str, address: str | None) -> None:
    """Change the password of *viewer*, who proves to know the *current* one; guesses count as failed sign-ins.

    Raises:
        LimitError: If there were too many wrong guesses.
        InputError: If *current* is wrong or *new* cannot be used.
    """
    accounts.prove_password(
        context.engine, context.settings.auth, email=viewer.email, password=current, address=address
    )
    with session_scope(context.engine) as session:
        user = identity.find_user(session, viewer.email)
        if user is None:
            raise InvariantError("A signed-in account is gone.", email=viewer.email)
        accounts.change_password(session, user=user, password=new, keep_session=viewer.session_id)
    context.sessions.forget()


def set_session_cookie(response: Response, token: str, *, settings: Settings, is_https: bool) -> None:
    """Put a session into the browser: unreadable for scripts, not sent along by other sites."""
    is_public_https = (settings.http.public_url or "").startswith("https://")
    response.set_cookie(
        COOKIE_NAME,
        token,
        max_age=int(settings.auth.session_ttl.total_seconds()),
        path="/",
        httponly=True,
        secure=is_https or is_public_https,
        samesite="lax",
    )


def routes() -> list[Route]:
    """Return the routes of this module."""
    return [
        Route("/login", show_sign_in, methods=["GET"]),
        Route("/login", sign_in, methods=["POST"]),
        Route("/logout", show_sign_out, methods=["GET"]),
        Route("/logout", sign_out, methods=["POST"]),
        Route("/password", show_password, methods=["GET"]),
        Route("/password", choose_password, methods=["POST"]),
    ]


def _end(context: AppContext, viewer: Viewer) -> None:
    if viewer.session_id is None:
        return
    with session_scope(context.engine) as session:
        accounts.end_session(session, viewer.session_id, actor=viewer.actor)
    context.sessions.forget(session_id=viewer.session_id)


def _refused(error: HelmsightError, *, email: str, next_path: str) -> Response:
    response = sign_in_screen(
        notice=say("bad", _headline(error), _advice(error)), email=email, next_path=next_path, status=error.status
    )
    retry_after = error.context.get("retry_after_s")
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


def _headline(error: HelmsightError) -> str:
    if isinstance(error, LimitError):
        return "Too many failed attempts."
    if isinstance(error, DependencyError):
        return "Helmsight cannot reach its database."
    if isinstance(error, accounts.SignInRefusedError):
        return "E-mail or password is wrong."
    return "That did not work."


def _advice(error: HelmsightError) -> str:
    if isinstance(error, LimitError):
        return f"Try again in {in_words(int(error.context.get('retry_after_s', _MINUTE_S)))}."
    if isinstance(error, DependencyError):
        return "You are not signed in. Try again in a moment; queued work is kept."
    if isinstance(error, accounts.SignInRefusedError):
        return "Check both and try again."
    return error.message


def in_words(seconds: int) -> str:
    """Return a wait in words, for example ``4 minutes 30 seconds``."""
    minutes, rest = divmod(max(1, seconds), _MINUTE_S)
    parts = []
    if minutes:
        parts.append(f"{minutes} minute{'s' if minutes != 1 else ''}")
    if rest:
        parts.append(f"{rest} second{'s' if rest != 1 else ''}")
    return " ".join(parts)


def _go(path: str) -> RedirectResponse:
    return RedirectResponse(path or HOME, status_code=303, headers={"Cache-Control": "no-store"})


def _person(request: Request) -> Viewer:
    viewer = viewer_of(request.scope)
    if viewer is None or viewer.session_id is None:
        raise InputError("An API token has no password; nothing was changed. Sign in as a person.")
    return viewer


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


async def _hashing(work: Callable[[], T]) -> T:
    if not _limiters:
        _limiters.append(CapacityLimiter(_HASHES_AT_ONCE))
    return await to_thread.run_sync(work, limiter=_limiters[0])
