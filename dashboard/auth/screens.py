"""The pages drawn without Streamlit: sign-in, password, and what to say when Helmsight itself cannot draw.

Plain HTML and CSS: they work without scripts and before anything else works.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from http import HTTPStatus
from pathlib import Path
from string import Template
from typing import Literal

from starlette.responses import HTMLResponse

from dashboard.middleware.headers import FORM_POLICY

Tone = Literal["bad", "good", "note"]

_TEMPLATES = Path(__file__).parent / "templates"
_MARK = (
    '<svg viewBox="0 0 64 64" aria-hidden="true"><rect width="64" height="64" rx="14" fill="#0B5CAD"/>'
    '<g fill="none" stroke="#fff" stroke-width="4" stroke-linecap="round"><circle cx="32" cy="32" r="14"/>'
    '<path d="M32 8v10M32 46v10M8 32h10M46 32h10M15 15l7.1 7.1M41.9 41.9 49 49M49 15l-7.1 7.1M22.1 41.9 15 49"/></g>'
    '<circle cx="32" cy="32" r="5" fill="#fff"/></svg>'
)
_TICK = (
    '<svg viewBox="0 0 20 20" fill="none" stroke="#7cc4ff" stroke-width="2.4" stroke-linecap="round"'
    ' stroke-linejoin="round" aria-hidden="true"><path d="m4 10.5 4 4 8-9"/></svg>'
)
_SIGNS: Mapping[Tone, str] = {
    "bad": '<path d="M12 8v5m0 3.2v.1"/><circle cx="12" cy="12" r="9.2"/>',
    "good": '<path d="m7.8 12.4 2.9 2.9 5.6-6.2"/><circle cx="12" cy="12" r="9.2"/>',
    "note": '<path d="M12 11v5.2m0-8.5v.1"/><circle cx="12" cy="12" r="9.2"/>',
}


def say(tone: Tone, title: str, text: str = "") -> str:
    """Return a notice; bad ones are read out at once."""
    role = "alert" if tone == "bad" else "status"
    sign = (
        '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round"'
        f' stroke-linejoin="round" aria-hidden="true">{_SIGNS[tone]}</svg>'
    )
    more = f" {escape(text)}" if text else ""
    return f'<div class="say {tone}" role="{role}">{sign}<div><strong>{escape(title)}</strong>{more}</div></div>'


def sign_in_screen(
    *, notice: str = "", email: str = "", next_path: str = "/", status: int = 200, prefetch: Sequence[str] = ()
) -> HTMLResponse:
    """Return the sign-in page.

    Args:
        notice: A notice of :func:`say` above the form.
        email: What stands in the first field.
        next_path: Where to go after signing in; already checked.
        status: HTTP status.
        prefetch: Addresses of scripts and styles that the browser may load while the person types.
    """
    wrong = ' aria-invalid="true"' if status == HTTPStatus.UNAUTHORIZED else ""
    focus_email, focus_password = ("", " autofocus") if email else (" autofocus", "")
    body = f"""<p class="lead">Use your Helmsight account.</p>
{notice}
<form method="post" action="/login">
<input type="hidden" name="next" value="{escape(next_path)}">
<div><label for="email">E-mail</label>
<input id="email" name="email" type="email" value="{escape(email)}" autocomplete="username" autocapitalize="none"
 spellcheck="false" maxlength="320" required{focus_email}{wrong}></div>
<div><label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" maxlength="1024"
 required{focus_password}{wrong}></div>
<button type="submit">Sign in</button>
</form>
<p class="foot">Forgot your password? An administrator can give you a new one.</p>"""
    return screen("Sign in", body, status=status, prefetch=prefetch)


def password_screen(*, notice: str, email: str, is_forced: bool, next_path: str, status: int = 200) -> HTMLResponse:
    """Return the page on which a person chooses a password; *is_forced* when theirs was given out for one use."""
    lead = (
        "Your password was given out for one use. Choose one that only you know."
        if is_forced
        else "Choose a new password. Your other sessions end."
    )
    out = (
        '<form method="post" action="/logout" class="foot">'
        '<button type="submit" class="quiet">Sign out instead</button></form>'
        if is_forced
        else '<p class="foot"><a href="/">Back without a change</a></p>'
    )
    mark = ' aria-invalid="true"'
    wrong_current = mark if status == HTTPStatus.UNAUTHORIZED else ""
    wrong_new = mark if status == HTTPStatus.UNPROCESSABLE_ENTITY else ""
    body = f"""<p class="lead">{lead}</p>
{notice}
<form method="post" action="/password">
<input type="hidden" name="next" value="{escape(next_path)}">
<input type="text" name="email" value="{escape(email)}" autocomplete="username" hidden>
<div><label for="current">Present password</label>
<input id="current" name="current" type="password" autocomplete="current-password" maxlength="1024" required
 autofocus{wrong_current}></div>
<div><label for="new">New password</label>
<input id="new" name="new" type="password" autocomplete="new-password" minlength="10" maxlength="1024" required
 aria-describedby="rule"{wrong_new}><p class="hint" id="rule">At least 10 characters. Length beats symbols.</p></div>
<div><label for="again">New password, again</label>
<input id="again" name="again" type="password" autocomplete="new-password" minlength="10" maxlength="1024"
 required{wrong_new}></div>
<button type="submit">Change password</button>
</form>
{out}"""
    return screen("Choose a password", body, status=status)


def sign_out_screen() -> HTMLResponse:
    """Return the page that asks whether to sign out; for links that did not come from our own pages."""
    body = """<p class="lead">You will need your password to come back.</p>
<form method="post" action="/logout"><button type="submit">Sign out</button></form>
<p class="foot"><a href="/">Stay signed in</a></p>"""
    return screen("Sign out?", body)


def notice_screen(
    title: str,
    text: str,
    *,
    status: int,
    tone: Tone = "bad",
    detail: str = "",
    again_after_s: int | None = None,
    action: tuple[str, str] | None = ("Try again", ""),
) -> HTMLResponse:
    """Return a page that says what is wrong and what to do.

    Args:
        title: Heading.
        text: What happened, in one sentence.
        status: HTTP status.
        tone: How bad it is.
        detail: What to do next.
        again_after_s: Load the page again by itself after this many seconds.
        action: Label and address of the one button; an empty address is the page itself.
    """
    button = f'<a class="button" href="{escape(action[1])}">{escape(action[0])}</a>' if action is not None else ""
    body = f"{say(tone, text, detail)}\n{button}"
    if again_after_s is not None:
        body += f'\n<p class="foot">This page tries again by itself every {again_after_s} seconds.</p>'
    response = screen(title, body, status=status, again_after_s=again_after_s)
    if again_after_s is not None:
        response.headers["Retry-After"] = str(again_after_s)
    return response


def screen(
    title: str, body: str, *, status: int = 200, again_after_s: int | None = None, prefetch: Sequence[str] = ()
) -> HTMLResponse:
    """Return a whole page; *body* is HTML, *title* is text."""
    links = "\n".join(
        f'<link rel="prefetch" href="{escape(address)}" as="{"style" if address.endswith(".css") else "script"}">'
        for address in prefetch
    )
    html = _frame().substitute(
        title=escape(title),
        body=body,
        mark=_MARK,
        tick=_TICK,
        links=links,
        refresh=f'<meta http-equiv="refresh" content="{again_after_s}">' if again_after_s is not None else "",
    )
    return HTMLResponse(
        html,
        status_code=status,
        headers={"Cache-Control": "no-store", "Content-Security-Policy": FORM_POLICY, "X-Frame-Options": "DENY"},
    )


@cache
def _frame() -> Template:
    return Template((_TEMPLATES / "frame.html").read_text(encoding="utf-8"))
