"""Whether a request comes from our own pages: what stands between a session cookie and other sites."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from analytics.core.settings import HttpSettings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def is_same_site(headers: Mapping[str, str], settings: HttpSettings) -> bool:
    """Tell whether the request was made by one of our pages, or by no page at all.

    Browsers send ``Origin`` with every socket and every request that changes something. Programs that are no browser
    send none and carry no foreign cookies, so that its absence is allowed unless the browser says otherwise.
    """
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "none") in {"none", "same-origin"}
    return is_own_origin(origin, headers.get("host"), settings)


def is_own_origin(origin: str, host: str | None, settings: HttpSettings) -> bool:
    """Tell whether *origin* is the host that was asked, the public address, or one that the settings allow."""
    if origin in settings.allowed_origins:
        return True
    parts = urlsplit(origin)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        return False
    if host is not None and parts.netloc.lower() == host.lower():
        return True
    if settings.public_url is None:
        return False
    public = urlsplit(settings.public_url)
    return (parts.scheme, parts.netloc.lower()) == (public.scheme, public.netloc.lower())
