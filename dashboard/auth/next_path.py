"""Where to go after signing in: a page of this site and nothing else."""

from urllib.parse import quote, urlsplit

HOME = "/"
_MOST_CHARACTERS = 2000
_NOT_PAGES = ("/login", "/logout", "/password", "/api/", "/_stcore/", "/media/", "/static/", "/assets/", "/ws/")


def safe_next(path: str | None) -> str:
    r"""Return *path* if it is a page of this site, else the first page.

    ``//host`` and ``/\\host`` name another site to a browser, control characters are dropped by it, and a path that is
    no page would show a stranger's file or sign the person out again.
    """
    if not path or len(path) > _MOST_CHARACTERS or not path.startswith("/"):
        return HOME
    if path.startswith(("//", "/\\")) or "\\" in path or not path.isprintable():
        return HOME
    try:
        parts = urlsplit(path)
    except ValueError:
        return HOME
    if parts.scheme or parts.netloc or parts.path.startswith("//") or parts.path.startswith(_NOT_PAGES):
        return HOME
    return path


def login_address(path: str, query: str = "", *, reason: str | None = None) -> str:
    """Return the address of the sign-in page that leads back to *path*."""
    wanted = safe_next(f"{path}?{query}" if query else path)
    parts = []
    if wanted != HOME:
        parts.append(f"next={quote(wanted, safe='')}")
    if reason is not None:
        parts.append(f"reason={reason}")
    return "/login" + (f"?{'&'.join(parts)}" if parts else "")
